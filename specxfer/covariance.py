"""The covariance of predicted spectra: errors that run together along a line."""

from dataclasses import dataclass

import numpy as np

from specxfer._exact import exact_matmul
from specxfer._lazy import as_index, split_key

__all__ = ["LowRankCovariance"]


@dataclass(frozen=True)
class LowRankCovariance:
    """Low-rank plus diagonal covariance of the flux errors of many spectra.

    Spectrum `i` has the covariance ``basis.T @ core[i] @ basis + diag(diagonal)``.
    The pixels of one line err together, so an equivalent width's error needs the
    covariance: from the variances alone it comes out several times too small.

    Parameters
    ----------
    core : ndarray of shape (n_spectra, r, r)
        Covariance of the coefficients of the basis, continuum units squared.
    basis : ndarray of shape (r, n_pixels)
        Directions in which the fluxes err together.
    diagonal : ndarray of shape (n_spectra, n_pixels) or (n_pixels,)
        Variance of what is left, independent from pixel to pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.covariance import LowRankCovariance
    >>> cov = LowRankCovariance(np.full((1, 1, 1), 0.01), np.ones((1, 3)), np.zeros(3))
    >>> cov.functional_variance(np.ones((3, 1)))  # three pixels that err as one
    array([[0.09]])
    """

    core: np.ndarray
    basis: np.ndarray
    diagonal: np.ndarray

    def __len__(self):
        return len(self.core)

    def __getitem__(self, key):
        rows, cols = split_key(key)
        rows = as_index(rows, len(self), "row")
        cols = as_index(cols, self.basis.shape[1], "pixel")
        diagonal = self.diagonal
        if diagonal.ndim == 2:
            diagonal = diagonal[rows]
        return LowRankCovariance(
            self.core[rows], self.basis[:, cols], diagonal[..., cols]
        )

    def on(self, bases, mix=None):
        """The same errors on other bases, mixed for each spectrum.

        Parameters
        ----------
        bases : ndarray of shape (m, r, n_pixels)
            What the basis becomes under each of m linear changes of the spectra.
        mix : ndarray of shape (n_spectra, m), optional
            The change of a spectrum is the sum of the m with these weights; by
            default m is 1.

        Returns
        -------
        LowRankCovariance
        """
        m, r, n_pixels = bases.shape
        core = self.core
        if mix is not None:
            both = mix[:, :, None, None, None] * mix[:, None, None, :, None]
            core = (both * core[:, None, :, None, :]).reshape(len(core), m * r, m * r)
        return LowRankCovariance(
            core.astype(self.core.dtype),
            bases.reshape(m * r, n_pixels).astype(self.basis.dtype),
            self.diagonal,
        )

    def functional_variance(self, weights):
        """Variance of weighted sums of pixels, such as equivalent widths.

        Parameters
        ----------
        weights : ndarray of shape (n_pixels, m) or (n_spectra, n_pixels, m)
            One column a sum. Pixels that are not to count have weight 0; where the
            covariance is unknown (NaN) and the weight is not 0 the result is NaN.

        Returns
        -------
        ndarray of shape (n_spectra, m)
        """
        weights = np.asarray(weights)
        known = np.isfinite(self.basis).all(axis=0) & np.isfinite(self.diagonal)
        basis = np.where(np.isfinite(self.basis), self.basis, 0)
        diagonal = np.atleast_2d(np.where(known, self.diagonal, 0))
        if weights.ndim == 3:
            along = np.einsum("rp,npm->nrm", basis, weights)
            own = np.einsum("np,npm->nm", diagonal, weights**2)
        else:
            along = (basis @ weights)[None]
            own = diagonal @ weights**2
        variance = _quadratic(along, self.core) + own
        if not known.all():
            asked = ~np.atleast_2d(known)[..., None] & (weights != 0)
            variance[np.broadcast_to(asked.any(axis=1), variance.shape)] = np.nan
        return variance

    def variance(self):
        """Variance of each pixel, shape (n_spectra, n_pixels)."""
        n, p = len(self), self.basis.shape[1]
        i, j = np.triu_indices(len(self.basis))
        twice = np.where(i == j, 1, 2)
        packed = self.core[:, i, j] * twice
        variance = np.empty((n, p), dtype=self.basis.dtype)
        step = max(1, 2**24 // max(1, len(i)))  # products of 64 MiB at a time
        for a in range(0, p, step):
            part = self.basis[:, a : a + step]
            variance[:, a : a + step] = exact_matmul(packed, part[i] * part[j])
        return variance + self.diagonal

    def draw(self, i, n_draws, rng):
        """Draws of the flux error of spectrum `i`.

        Parameters
        ----------
        i : int
        n_draws : int
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of shape (n_draws, n_pixels)
        """
        values, vectors = np.linalg.eigh(self.core[i].astype(float))
        root = vectors * np.sqrt(np.maximum(values, 0))
        together = rng.standard_normal((n_draws, len(values))) @ root.T @ self.basis
        alone = np.sqrt(self.diagonal if self.diagonal.ndim == 1 else self.diagonal[i])
        return together + alone * rng.standard_normal((n_draws, len(alone)))

    def shares_basis(self, other):
        """Whether two covariances differ in nothing but their spectra.

        Parameters
        ----------
        other : LowRankCovariance or None

        Returns
        -------
        bool
        """
        if other is None or self.diagonal.ndim != other.diagonal.ndim:
            return False
        pairs = [(self.basis, other.basis)]
        if self.diagonal.ndim == 1:
            pairs.append((self.diagonal, other.diagonal))
        return all(a is b or np.array_equal(a, b, equal_nan=True) for a, b in pairs)

    @staticmethod
    def concatenate(covariances):
        """Stack covariances that share their basis.

        Parameters
        ----------
        covariances : sequence of LowRankCovariance

        Returns
        -------
        LowRankCovariance
        """
        first = covariances[0]
        for i, other in enumerate(covariances):
            if not other.shares_basis(first):
                raise ValueError(
                    f"covariance {i} has another basis or shared diagonal than the "
                    "first: only those of one model can be stacked."
                )
        diagonal = first.diagonal
        if diagonal.ndim == 2:
            diagonal = np.concatenate([c.diagonal for c in covariances])
        core = np.concatenate([c.core for c in covariances])
        return LowRankCovariance(core, first.basis, diagonal)


def _quadratic(along, core):
    """``along.T @ core @ along`` for each spectrum and column, shape (n, m)."""
    return (along * np.matmul(core, along)).sum(axis=1)
