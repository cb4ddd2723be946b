"""`Blend`: between a linear translator and networks, as far as these have proved."""

from dataclasses import dataclass

import numpy as np

from specxfer._plausible import inside_a_fit
from specxfer.linear import SpectralRidge
from specxfer.spectra import Spectra

__all__ = ["Blend"]

TINY = np.finfo(float).tiny
MOST = 0.3  # of the squared distance, that averaging is trusted to remove


@dataclass(frozen=True)
class Blend:
    """The target's coefficients, between a linear translator's and the networks'.

    ``c = linear + share (networks − linear)``, with a share for each coefficient that
    stars left out of both decide: 0 where the networks are no better.

    Parameters
    ----------
    ridge : SpectralRidge
        From the linear translator's features to the coefficients.
    share : ndarray of shape (k,)
        From 0 to 1.
    """

    ridge: SpectralRidge
    share: np.ndarray

    @classmethod
    def of(cls, features, parts, observed, networks, wander, sample_weight):
        """Find the shares.

        Parameters
        ----------
        features : ndarray of shape (n, n_features)
            Of the linear translator.
        parts : list of ndarray of int
            Stars that are left out together.
        observed : tuple of ndarray of shape (n, k)
            The coefficients of the target spectra, and the inverse variance of each.
        networks : ndarray of shape (n, k)
            Coefficients by networks that have not seen the star.
        wander : ndarray of shape (n, k)
            Variance by which `networks` vary more than those of predictions will,
            which are means of more members.
        sample_weight : ndarray of shape (n,)

        Returns
        -------
        blend : Blend
        coefficients : ndarray of shape (n, k)
            Of each star, by what has not seen it.

        Notes
        -----
        The share is that of least squares, ``Σ w d (observed − linear) / Σ w d²`` with
        ``d = networks − linear``, held between 0 and 1 (Wolpert 1992, Neural Networks
        5, 241; Breiman 1996, Machine Learning 24, 49). From the denominator the
        variance is taken off that averaging over members will remove, within reason.
        """
        values, ivar = observed
        linear = np.empty_like(values)
        stars = np.arange(len(values))
        for part in parts:
            others = np.setdiff1d(stars, part)
            ridge = _fitted(features, values, ivar, sample_weight, others)
            linear[part] = ridge.predict(features[part])
        weight = ivar * sample_weight[:, None]
        apart = networks - linear
        gained = (weight * apart * (values - linear)).sum(axis=0)
        square = (weight * apart**2).sum(axis=0)
        possible = square - np.minimum((weight * wander).sum(axis=0), MOST * square)
        share = np.clip(gained / np.maximum(possible, TINY), 0, 1)
        blend = cls(_fitted(features, values, ivar, sample_weight, stars), share)
        return blend, linear + share * apart

    def mean(self, features, networks):
        """Coefficients of stars, shape (n, k).

        Parameters
        ----------
        features : ndarray of shape (n, n_features)
        networks : ndarray of shape (n, k)
        """
        linear = self.ridge.predict(features)
        return linear + self.share * (networks - linear)

    def spread(self, of_features, of_networks):
        """Covariance of the coefficients, shape (n, k, k).

        Both err by the noise of the same spectrum: where their variances are equal, so
        is that of the blend.

        Parameters
        ----------
        of_features : ndarray of shape (n, n_features, n_features)
        of_networks : ndarray of shape (n, k, k)
        """
        coef = self.ridge.coef_.astype(float)
        some, rest = np.sqrt(self.share), np.sqrt(1 - self.share)
        linear = np.matmul(coef.T, np.matmul(of_features, coef))
        return linear * np.outer(rest, rest) + of_networks * np.outer(some, some)


def _fitted(features, values, ivar, sample_weight, rows):
    """A ridge from features to coefficients, each with its own noise."""
    order = np.arange(1.0, values.shape[1] + 1)
    target = Spectra(values[rows], ivar[rows], wave=order, medium="vacuum")
    ridge = SpectralRidge(n_factors=0)
    with inside_a_fit():  # these are no spectra
        return ridge.fit(features[rows], target, sample_weight[rows])
