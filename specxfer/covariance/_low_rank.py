"""Errors that run together along lines: a few directions and the rest."""

from dataclasses import dataclass, replace

import numpy as np

from specxfer._lazy import as_index, split_key, take
from specxfer._rowwise import rowwise_matmul


@dataclass(frozen=True, repr=False)
class LowRankCovariance:
    """Low-rank plus diagonal covariance of the flux errors of many spectra.

    Spectrum `i` has the covariance ``basis.T @ core[i] @ basis + diag(diagonal)``, or
    with a `scale` that of ``basis * scale[i]``.
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
    amplitude : ndarray of shape (n_spectra, n_pixels), optional
        What spectrum `i` has the directions `scaled` multiplied with, pixel by pixel:
        how strong its own lines are.
    scaled : ndarray of bool of shape (r,), optional
        Which directions that is. Needed with `amplitude`.
    line_std : ndarray of shape (n_pixels,), optional
        Standard deviation, to be multiplied with `amplitude`, of a further error that
        all pixels of one line share. Needs `amplitude` and `line`.
    line : ndarray of int of shape (n_pixels,), optional
        The line that each pixel belongs to.
    scale : ndarray of shape (n_spectra, n_pixels), optional
        What the basis is multiplied with, pixel by pixel, for each spectrum: spectra
        that were partly observed keep little of the basis where the observation is
        good. By default 1.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.covariance import LowRankCovariance
    >>> cov = LowRankCovariance(np.full((1, 1, 1), 0.01), np.ones((1, 3)), np.zeros(3))
    >>> cov.functional_variance(np.ones((3, 1)))  # three pixels that err as one
    array([[0.09]])
    >>> cov
    <LowRankCovariance of 1 spectra × 3 pixels: low rank (1) + diagonal>
    """

    core: np.ndarray
    basis: np.ndarray
    diagonal: np.ndarray
    amplitude: np.ndarray | None = None
    scaled: np.ndarray | None = None
    line_std: np.ndarray | None = None
    line: np.ndarray | None = None
    scale: np.ndarray | None = None

    form = "low rank + diagonal"

    @property
    def shape(self):
        """(n_spectra, n_pixels)."""
        return len(self.core), self.basis.shape[1]

    def __len__(self):
        return len(self.core)

    def __repr__(self):
        n, p = self.shape
        form = f"low rank ({len(self.basis)}) + diagonal"
        return f"<{type(self).__name__} of {n} spectra × {p} pixels: {form}>"

    def __getitem__(self, key):
        rows, cols = split_key(key)
        rows = as_index(rows, len(self), "row")
        cols = as_index(cols, self.basis.shape[1], "pixel")
        diagonal = self.diagonal
        if diagonal.ndim == 2:
            diagonal = diagonal[rows]
        amplitude = self.amplitude
        if amplitude is not None:
            amplitude = take(amplitude, rows, cols)
        return LowRankCovariance(
            self.core[rows],
            self.basis[:, cols],
            diagonal[..., cols],
            amplitude,
            self.scaled,
            None if self.line is None else self.line_std[cols],
            None if self.line is None else self.line[cols],
            None if self.scale is None else take(self.scale, rows, cols),
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

        Raises
        ------
        ValueError
            If each spectrum has a `scale` of its own: no bases are shared then.
        """
        if self.scale is not None:
            raise ValueError(
                "this covariance has a scale for each spectrum, as that of denoised "
                "spectra has, and no bases that all of them share: change the spectra "
                "before they are denoised, or drop it with replace(covariance=None)."
            )
        m, r, n_pixels = bases.shape
        core = self.core
        if mix is not None:
            both = mix[:, :, None, None, None] * mix[:, None, None, :, None]
            core = (both * core[:, None, :, None, :]).reshape(len(core), m * r, m * r)
        return LowRankCovariance(
            core.astype(self.core.dtype),
            bases.reshape(m * r, n_pixels).astype(self.basis.dtype),
            self.diagonal,
            self.amplitude,
            None if self.scaled is None else np.tile(self.scaled, m),
            self.line_std,
            self.line,
        )

    def times(self, factor):
        """The covariance of errors that are larger by a factor in each pixel.

        Parameters
        ----------
        factor : ndarray of shape (n_pixels,) or (n_spectra, n_pixels)
            With one factor for all spectra they go on sharing their basis; else each
            has a `scale`.

        Returns
        -------
        LowRankCovariance
        """
        factor = np.asarray(factor, self.basis.dtype)
        changed = {"diagonal": self.diagonal * factor**2}
        if factor.ndim == 1:
            changed["basis"] = self.basis * factor
            if self.line is not None:
                changed["line_std"] = self.line_std * factor
        else:
            changed["scale"] = factor if self.scale is None else self.scale * factor
        return replace(self, **changed)

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
        own = self.scale is not None or self.amplitude is not None
        if own and weights.ndim == 2:  # of the pixels that count
            used = np.flatnonzero((weights != 0).any(axis=1))
            if len(used) < len(weights):
                return self[:, used].functional_variance(weights[used])
        known = np.isfinite(self.basis).all(axis=0) & np.isfinite(self.diagonal)
        basis = np.where(np.isfinite(self.basis), self.basis, 0)
        diagonal = np.atleast_2d(np.where(known, self.diagonal, 0))
        low_rank = weights
        if self.scale is not None or self.amplitude is not None:
            low_rank = weights = weights if weights.ndim == 3 else weights[None]
        if self.scale is not None:
            low_rank = self.scale[:, :, None] * weights
        if weights.ndim == 3:
            along = self._along(basis, low_rank)
            own = np.einsum("np,npm->nm", diagonal, weights**2)
        else:
            along = (basis @ weights)[None]
            own = diagonal @ weights**2
        variance = _quadratic(along, self.core) + own
        if self.line is not None:
            variance += self._of_lines(low_rank)
        if not known.all():
            asked = ~np.atleast_2d(known)[..., None] & (weights != 0)
            variance[np.broadcast_to(asked.any(axis=1), variance.shape)] = np.nan
        return variance

    def dense(self):
        """The covariance of every pair of pixels, (n_spectra, n_pixels, n_pixels).

        For a selection of few pixels: ``covariance[:, pixels].dense()``.

        Returns
        -------
        ndarray
        """
        n, p = self.shape
        basis = np.broadcast_to(self.basis, (n, *self.basis.shape))
        if self.amplitude is not None:
            each = self.basis * self.amplitude[:, None]
            basis = np.where(self.scaled[:, None], each, self.basis)
        out = np.matmul(basis.transpose(0, 2, 1), np.matmul(self.core, basis))
        if self.line is not None:
            shared = self.amplitude * self.line_std
            alike = self.line[:, None] == self.line
            out += shared[:, :, None] * shared[:, None] * alike
        if self.scale is not None:
            out *= self.scale[:, :, None] * self.scale[:, None]
        out[:, range(p), range(p)] += self.diagonal
        return out

    def _along(self, basis, weights):
        """Sums of each direction, (n_spectra or 1, r, m), of weights of 3 axes."""
        if self.amplitude is None:
            return np.einsum("rp,npm->nrm", basis, weights)
        used = np.flatnonzero((weights != 0).any(axis=(0, 2)))
        basis, weights = basis[:, used], weights[:, used]
        amplitude = self.amplitude[:, used, None]
        along = np.empty((len(self), len(basis), weights.shape[2]))
        along[:, ~self.scaled] = np.matmul(basis[~self.scaled], weights)
        along[:, self.scaled] = np.matmul(basis[self.scaled], amplitude * weights)
        return along

    def _of_lines(self, weights):
        """Variance of weighted sums by what pixels of a line share, (n, m)."""
        variance = np.empty((len(self), weights.shape[2]))
        for m in range(weights.shape[2]):
            used = np.flatnonzero((weights[:, :, m] != 0).any(axis=0))
            values = self.amplitude[:, used] * self.line_std[used]
            member = self.line[used, None] == np.unique(self.line[used])
            sums = (values * weights[:, used, m]) @ member
            variance[:, m] = (sums**2).sum(axis=1)
        return variance

    def variance(self):
        """Variance of each pixel, shape (n_spectra, n_pixels)."""
        n, p = len(self), self.basis.shape[1]
        i, j = np.triu_indices(len(self.basis))
        twice = np.where(i == j, 1, 2)
        packed = self.core[:, i, j] * twice
        scaled = np.zeros(len(self.basis), bool) if self.scaled is None else self.scaled
        n_scaled = scaled[i].astype(int) + scaled[j]
        n_scaled[~packed.any(axis=0)] = -1  # most of a core of several parts is 0
        variance = np.zeros((n, p), dtype=self.basis.dtype)
        step = max(1, 2**24 // max(1, len(i)))  # products of 64 MiB at a time
        for a in range(0, p, step):
            pixels = slice(a, a + step)
            part = self.basis[:, pixels]
            for k in np.unique(n_scaled[n_scaled >= 0]):
                these = n_scaled == k
                products = part[i[these]] * part[j[these]]
                share = rowwise_matmul(packed[:, these], products)
                if k:
                    share *= self.amplitude[:, pixels] ** k
                variance[:, pixels] += share
        if self.line is not None:
            variance += (self.amplitude * self.line_std) ** 2
        if self.scale is not None:
            variance *= self.scale**2
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
        basis = self.basis
        if self.amplitude is not None:
            basis = np.where(self.scaled[:, None], basis * self.amplitude[i], basis)
        together = rng.standard_normal((n_draws, len(values))) @ root.T @ basis
        if self.line is not None:
            each, line = np.unique(self.line, return_inverse=True)
            of_lines = rng.standard_normal((n_draws, len(each)))[:, line]
            together += of_lines * (self.amplitude[i] * self.line_std)
        if self.scale is not None:
            together *= self.scale[i]
        alone = np.sqrt(self.diagonal if self.diagonal.ndim == 1 else self.diagonal[i])
        return together + alone * rng.standard_normal((n_draws, len(alone)))

    def shares_basis(self, other):
        """Whether two covariances differ in nothing but their spectra.

        Parameters
        ----------
        other : LowRankCovariance, BandedCovariance or None

        Returns
        -------
        bool
        """
        if not isinstance(other, LowRankCovariance):
            return False
        if self.diagonal.ndim != other.diagonal.ndim:
            return False
        for name in ("scale", "amplitude"):
            if (getattr(self, name) is None) != (getattr(other, name) is None):
                return False
        pairs = [(self.basis, other.basis)]
        for name in ("scaled", "line_std", "line"):
            mine, its = getattr(self, name), getattr(other, name)
            if (mine is None) != (its is None):
                return False
            if mine is not None:
                pairs.append((mine, its))
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
        own = {}
        for name in ("amplitude", "scale"):
            if getattr(first, name) is not None:
                own[name] = np.concatenate([getattr(c, name) for c in covariances])
        return replace(first, core=core, diagonal=diagonal, **own)


def _quadratic(along, core):
    """``along.T @ core @ along`` for each spectrum and column, shape (n, m)."""
    return (along * np.matmul(core, along)).sum(axis=1)
