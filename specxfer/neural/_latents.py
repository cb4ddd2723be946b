"""`Latents`: a few numbers of each star's residual, of unit variance if all is right."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from specxfer._exact import rowwise_matmul

__all__ = ["Latents", "Information", "Whitening"]

PIXELS = 2048  # summed at a time, so that their products stay in the cache
FAINT = 1e-6  # of the largest variance: directions of less are rounding
LEAST = 1e-6  # variance that a pixel has at least, of the mean one


class Whitening(NamedTuple):
    """How a star's latents and the coefficients of its covariance hang together.

    Attributes
    ----------
    read : ndarray of shape (n, d, r)
        ``read @ z`` are the latents of coefficients z.
    gain : ndarray of shape (n, r, d)
        ``gain @ u`` are the coefficients to be expected of latents u.
    """

    read: np.ndarray
    gain: np.ndarray


class Information(NamedTuple):
    """What observed spectra say of latents: ``exp(ηᵀu − uᵀΛu / 2)``.

    Attributes
    ----------
    eta : ndarray of shape (n, d)
    precision : ndarray of shape (n, d, d)
        Λ: 0 where nothing is observed.
    """

    eta: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class Latents:
    """The directions in which the training targets can tell a shape.

    A predictive covariance is ``AᵀCA`` and what pixels have alone. The latents of an
    error ``Aᵀz`` are its sums over pixels by d filters, in units of what this star's C
    leads one to expect: where the errors are Gaussian latents are N(0, 1), in giants
    and dwarfs, of good and of poor source spectra. All else in z follows the latents
    linearly, with a Gaussian rest.

    Parameters
    ----------
    filters : ndarray of shape (d, n_pixels)
    strength : ndarray of shape (d,)
        Variance of each latent over that of the noise in it, of the typical star.
    """

    filters: np.ndarray
    strength: np.ndarray

    @classmethod
    def of(cls, covariance, ivar, n_latents, least=1.0):
        """The directions that stand out of the targets' noise.

        Parameters
        ----------
        covariance : LowRankCovariance of n spectra
            Of a sample of the training stars.
        ivar : ndarray of shape (n, n_pixels)
            Of their target spectra; infinite where those are free of noise.
        n_latents : int
            Directions, at most.
        least : float, default=1.0
            Variance over that of the noise that a direction needs.

        Returns
        -------
        Latents
        """
        weights = weights_of(covariance, ivar)
        gram = np.mean(grams(covariance, weights), axis=0)
        root = _root(covariance.core.mean(axis=0))
        values, vectors = np.linalg.eigh(root.T @ gram @ root)
        kept = np.flatnonzero(values > least)[::-1][:n_latents]
        along = (root @ vectors[:, kept]).T
        basis = covariance.basis.astype(float)
        if covariance.amplitude is not None:
            usual = np.sqrt(np.mean(covariance.amplitude.astype(float) ** 2, axis=0))
            basis = np.where(covariance.scaled[:, None], basis * usual, basis)
        filters = (along @ basis) * weights.mean(axis=0)
        size = np.sqrt(np.square(filters).sum(axis=1, keepdims=True))
        filters /= np.where(size > 0, size, 1)
        return cls(filters.astype(covariance.basis.dtype), values[kept])

    def whitening(self, covariance):
        """Of each star.

        Parameters
        ----------
        covariance : LowRankCovariance

        Returns
        -------
        Whitening
        """
        basis, scaled = covariance.basis, covariance.scaled
        n, r = covariance.core.shape[:2]
        sums = np.empty((n, len(self.filters), r))
        fixed = np.ones(r, bool) if scaled is None else ~scaled
        sums[:, :, fixed] = self.filters.astype(float) @ basis[fixed].T.astype(float)
        if not fixed.all():
            products = (self.filters[:, None] * basis[scaled]).reshape(-1, basis.shape[1])
            products = np.ascontiguousarray(products.T)
            found = rowwise_matmul(covariance.amplitude, products)
            sums[:, :, scaled] = found.reshape(n, len(self.filters), -1)
        core = covariance.core.astype(float)
        to = core @ sums.transpose(0, 2, 1)
        variance = sums @ to
        d = len(self.filters)
        ridge = FAINT * variance[:, range(d), range(d)].max(axis=1)
        ridge += np.finfo(float).tiny
        variance[:, range(d), range(d)] += ridge[:, None]
        half = np.linalg.inv(np.linalg.cholesky(variance))
        return Whitening(half @ sums, to @ half.transpose(0, 2, 1))

    def information(self, covariance, ivar, left):
        """What observed spectra say of their stars' latents.

        Parameters
        ----------
        covariance : LowRankCovariance of n spectra
        ivar : ndarray of shape (n, n_pixels)
            Infinite where the spectra are free of noise.
        left : ndarray of shape (n, n_pixels)
            Observed less predicted flux; anything where ivar is 0.

        Returns
        -------
        Information

        Notes
        -----
        With ``P = (C⁻¹ + AWAᵀ)⁻¹``, the coefficients' posterior covariance under their
        Gaussian prior (Woodbury 1950), the latents' is ``V = B P Bᵀ`` and their mean
        ``m = B P A W left``; what the spectrum alone says is that less the prior N(0, 1):
        ``Λ = V⁻¹ − 1``, ``η = V⁻¹ m``.
        """
        weights = weights_of(covariance, ivar)
        gram = grams(covariance, weights)
        heard = np.where(weights > 0, left, 0) * weights
        target = heard @ covariance.basis.T
        if covariance.amplitude is not None:
            some = covariance.scaled
            target[:, some] = (heard * covariance.amplitude) @ covariance.basis[some].T
        eta, precision = [], []
        read = self.whitening(covariance).read
        for core, g, b, reading in zip(covariance.core, gram, target, read):
            root = _root(core)
            inner = root.T @ g @ root + np.eye(len(core))
            half = np.linalg.solve(inner, root.T @ np.column_stack([reading.T, b]))
            posterior = reading @ root @ half
            inverse = np.linalg.inv(posterior[:, :-1])
            eta.append(inverse @ posterior[:, -1])
            precision.append((inverse + inverse.T) / 2 - np.eye(len(inverse)))
        return Information(np.array(eta), np.array(precision))


def weights_of(covariance, ivar):
    """Inverse variance of what a pixel shows beside the basis, (n, n_pixels)."""
    alone = np.broadcast_to(covariance.diagonal, ivar.shape)
    if covariance.line is not None:
        alone = alone + (covariance.amplitude * covariance.line_std) ** 2
    variance = np.full(ivar.shape, np.inf, alone.dtype)
    np.divide(1, ivar, out=variance, where=ivar > 0)
    variance += alone
    variance += LEAST * np.mean(alone) + np.finfo(alone.dtype).tiny
    return 1 / variance


def grams(covariance, weights):
    """``A W Aᵀ`` of each star, (n, r, r), in single precision."""
    basis = covariance.basis.astype("f4")
    n, (r, p) = len(weights), basis.shape
    found = np.zeros((n, r, r))
    root = np.sqrt(weights).astype("f4")
    for i in range(n):
        for a in range(0, p, PIXELS):
            pixels = slice(a, a + PIXELS)
            heard = basis[:, pixels] * root[i, pixels]
            if covariance.amplitude is not None:
                heard[covariance.scaled] *= covariance.amplitude[i, pixels]
            found[i] += heard @ heard.T
    return found


def _root(covariance):
    """R, of which R Rᵀ is the covariance, whatever its rank."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, float))
    return vectors * np.sqrt(np.maximum(values, 0))
