"""`TargetScores`: all that target spectra say of given components."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from specxfer._threads import in_parallel
from specxfer.linear._scores import BLOCK

__all__ = ["TargetScores"]

VAGUE = 0.01  # inverse variance of a prior that hardly shrinks anything
CHUNK = 64  # rows that a thread works on at a time


@dataclass(frozen=True)
class TargetScores:
    """What each target spectrum says of its coefficients on given components.

    A spectrum y with weights w = 1 / (noise + misfit of the components) and
    components L enters a sum of weighted squares by ``b = L W (y − mean)`` and
    ``G = L W Lᵀ`` alone. Components of several parts of the spectrum stand side by
    side, each part in units of what its components explain, so that all count alike.

    Parameters
    ----------
    projection : ndarray of float32 of shape (n, k)
        b.
    grams : tuple of ndarray of float32 of shape (n, k_part, k_part)
        The blocks of G, one for each part.
    posterior : ndarray of shape (n, k)
        The coefficients' posterior means, of unit variance over the stars.
    size : ndarray of shape (k,)
        Standard deviation of the flux that each coefficient stands for, summed over
        pixels in quadrature.
    unit : ndarray of shape (k,)
        What the sum of squares of each coefficient's part was divided by.
    excess : ndarray of shape (n,)
        Σ w (y − mean)² less the noise in it, Σ w / ivar, of the last part.
    weight : ndarray of shape (n,)
        Σ w of the last part.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.linear import SpectralPCA
    >>> from specxfer.neural._target_scores import TargetScores
    >>> depth = np.linspace(0.1, 0.5, 20)[:, None]
    >>> y = Spectra(1 - depth * [[0.5, 1.0]], np.full((20, 2), 1e4), medium="air",
    ...             wave=[5000.0, 5001.0])
    >>> pca = SpectralPCA(n_components=1).fit(y)
    >>> scores = TargetScores.of(y, pca)
    >>> scores.grams[0].shape, scores.weight.round(-2)[:2]
    ((20, 1, 1), array([20000., 20000.]))
    """

    projection: np.ndarray
    grams: tuple
    posterior: np.ndarray
    size: np.ndarray
    unit: np.ndarray
    excess: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, y, pca):
        """From spectra, a block at a time.

        Parameters
        ----------
        y : Spectra of shape (n, n_pixels)
        pca : SpectralPCA
            Fitted to such spectra.

        Returns
        -------
        TargetScores
        """
        model, n, k = pca._model, len(y), pca.n_components_
        projection, gram = np.empty((n, k), "f4"), np.empty((n, k, k), "f4")
        posterior = np.empty((n, k))
        excess, weight = np.empty(n), np.empty(n)
        for rows, block in y.iter_blocks(BLOCK):
            mean, covariance, chi2 = model.posterior(block)
            precision = np.linalg.inv(covariance)
            b = np.matmul(precision, mean[:, :, None])[:, :, 0]
            precision[:, range(k), range(k)] -= 1  # that of the prior
            projection[rows], gram[rows], posterior[rows] = b, precision, mean
            noise, weight[rows], n_valid = _pixel_sums(block, model)
            fitted = (mean * b).sum(axis=1) + (mean**2).sum(axis=1)
            excess[rows] = chi2 * n_valid + fitted - noise
        unit = float((projection * posterior).sum(axis=1).mean())
        unit = max(unit, float(np.finfo("f4").tiny))
        size = np.sqrt((model.loadings.astype(float) ** 2).sum(axis=1))
        projection /= np.float32(unit)
        gram /= np.float32(unit)
        unit = np.full(k, unit)
        return cls(projection, (gram,), posterior, size, unit, excess, weight)

    def beside(self, other):
        """These and further components, of another part of the spectrum.

        Parameters
        ----------
        other : TargetScores
            Of the same stars.

        Returns
        -------
        TargetScores
        """
        return TargetScores(
            np.concatenate([self.projection, other.projection], axis=1),
            (*self.grams, *other.grams),
            np.concatenate([self.posterior, other.posterior], axis=1),
            np.concatenate([self.size, other.size]),
            np.concatenate([self.unit, other.unit]),
            other.excess,
            other.weight,
        )

    @property
    def parts(self):
        """The coefficients of each part, slices."""
        ends = np.cumsum([0, *(gram.shape[1] for gram in self.grams)])
        return [slice(a, b) for a, b in pairwise(ends.tolist())]

    def _covariance(self, rows):
        """Covariance of `estimates`, in units of their part, (n, k, k)."""
        k = self.projection.shape[1]
        found = np.zeros((len(self.projection[rows]), k, k))
        for gram, part in zip(self.grams, self.parts):
            vague = np.diag(VAGUE / self.unit[part])
            found[:, part, part] = np.linalg.inv(gram[rows] + vague)
        return found

    def known(self):
        """Share of each star's variance that its spectrum settles, shape (n,).

        Of all coefficients by the flux they stand for: 1 without noise, 0 where nothing
        is known.
        """
        total, known = 0.0, 0.0
        for gram, part in zip(self.grams, self.parts):
            k, square = gram.shape[1], self.size[part] ** 2
            precision = gram * self.unit[part][:, None] + np.eye(k)
            variance = np.linalg.inv(precision)[:, range(k), range(k)]
            total, known = total + square.sum(), known + (1 - variance) @ square
        return known / max(total, np.finfo(float).tiny)

    def in_units_of(self, other):
        """The same in the units of other spectra on the same components."""
        if np.array_equal(self.unit, other.unit):
            return self
        factor = self.unit / other.unit
        grams = tuple(
            (gram * factor[part][:, None]).astype("f4")
            for gram, part in zip(self.grams, self.parts)
        )
        projection = (self.projection * factor).astype("f4")
        return replace(self, projection=projection, grams=grams, unit=other.unit)

    def estimates(self):
        """Coefficients by weighted least squares, all but free of a prior.

        Returns
        -------
        values : ndarray of shape (n, k)
        ivar : ndarray of shape (n, k)
            Inverse of the variance of each.
        """
        k = self.projection.shape[1]
        values, ivar = np.empty((2, *self.projection.shape))

        def one(start):
            rows = slice(start, start + CHUNK)
            covariance = self._covariance(rows)
            values[rows] = np.matmul(covariance, self.projection[rows, :, None])[..., 0]
            ivar[rows] = self.unit / covariance[:, range(k), range(k)]

        in_parallel(one, range(0, len(values), CHUNK))
        return values, ivar

    def missed(self, coefficients, sample_weight):
        """Covariance of the coefficients about those predicted, noise taken off.

        Parameters
        ----------
        coefficients : ndarray of shape (n, k)
            Predicted by what has not seen the star.
        sample_weight : ndarray of shape (n,)

        Returns
        -------
        ndarray of shape (k, k)
            With no negative eigenvalue.
        """
        k = coefficients.shape[1]
        root = 1 / np.sqrt(self.unit)

        def one(start):
            rows = slice(start, start + CHUNK)
            noise = self._covariance(rows)
            left = np.matmul(noise, self.projection[rows, :, None])[..., 0]
            left -= coefficients[rows]
            noise *= np.outer(root, root)
            typical = noise[:, range(k), range(k)].mean(axis=1)
            weight = sample_weight[rows] / (1 + typical) ** 2
            square = (left * weight[:, None]).T @ left
            return square - np.tensordot(weight, noise, axes=1), weight.sum()

        found = in_parallel(one, range(0, len(coefficients), CHUNK))
        square, total = (sum(part) for part in zip(*found))
        values, vectors = np.linalg.eigh(square / total)
        return (vectors * np.maximum(values, 0)) @ vectors.T

    def error(self, quadratic, judges, rows=slice(None)):
        """Rms flux error of coefficients, noise taken off, in continuum units.

        Parameters
        ----------
        quadratic : ndarray of shape (m,)
            What `QuadraticError.of_parts` finds of coefficients in the last part.
        judges : ndarray of shape (m,)
            Weight of each star.
        rows : slice or ndarray of int of shape (m,)
            The stars these are of; all by default.

        Returns
        -------
        float
            Over all known pixels of the last part, by their weights; 0 where noise
            explains all that is left.
        """
        left = quadratic * self.unit[-1] + self.excess[rows]
        total = judges @ self.weight[rows]
        return float(np.sqrt(max(judges @ left, 0) / total)) if total else 0.0


def _pixel_sums(block, model):
    """Σ w / ivar, Σ w and the number of known pixels of each spectrum."""
    n = len(block)
    noise, total, n_valid = np.zeros(n), np.empty(n), np.empty(n, int)
    usual = np.where(model.used, model.misfit + model.noise, 1)

    def one(start):
        rows = slice(start, start + CHUNK)
        ivar = np.where(model.used, block[rows].weights(), 0)
        known = ivar > 0
        n_valid[rows] = known.sum(axis=1)
        if block.has_noise:
            share = known / (1 + model.misfit * ivar)  # of noise in the variance
            noise[rows] = share.sum(axis=1, dtype=float)
            total[rows] = (share * ivar).sum(axis=1, dtype=float)
        else:
            total[rows] = (known / usual).sum(axis=1, dtype=float)

    in_parallel(one, range(0, n, CHUNK))
    return noise, total, n_valid
