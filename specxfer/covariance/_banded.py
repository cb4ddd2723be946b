"""Noise that neighbouring pixels share, because it was convolved."""

from dataclasses import dataclass, replace

import numpy as np

from specxfer._lazy import as_index, split_key, take


@dataclass(frozen=True, repr=False)
class BandedCovariance:
    r"""Covariance of noise that was convolved along each chip.

    The errors of pixels :math:`i` and :math:`j` of one chip have the covariance
    :math:`\sigma_i \sigma_j \rho(|i - j|)`, and those of two chips none. The
    correlation is that of white noise convolved with a kernel,
    :math:`\rho(l) = \sum_t k_t k_{t + l} / \sum_t k_t^2`, which each spectrum has
    for each chip.

    Parameters
    ----------
    ivar : ndarray of shape (n_spectra, n_pixels)
        Inverse variance of each pixel; 0 where it is unknown.
    kernel : ndarray of shape (n_spectra, n_chips, n_taps)
        The kernels. Their scale does not matter.
    position : ndarray of int of shape (n_pixels,)
        Place of each pixel on its chip, in pixels: a pixel that was left out still
        lies between its neighbours.
    chip : ndarray of int of shape (n_pixels,)
        The chip of each pixel, as `kernel` counts them.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.covariance import BandedCovariance
    >>> pair = np.array([[[0.5, 0.5]]])  # the mean of two pixels
    >>> cov = BandedCovariance(np.ones((1, 3)), pair, np.arange(3), np.zeros(3, int))
    >>> cov.functional_variance(np.ones((3, 1)))  # 3 + 2 × (0.5 + 0.5)
    array([[5.]])
    >>> cov
    <BandedCovariance of 1 spectra × 3 pixels: banded along each chip>
    """

    ivar: np.ndarray
    kernel: np.ndarray
    position: np.ndarray
    chip: np.ndarray

    form = "banded along each chip"

    @property
    def shape(self):
        """(n_spectra, n_pixels)."""
        return self.ivar.shape

    def __len__(self):
        return len(self.ivar)

    def __repr__(self):
        n, p = self.shape
        return f"<{type(self).__name__} of {n} spectra × {p} pixels: {self.form}>"

    def __getitem__(self, key):
        rows, cols = split_key(key)
        rows = as_index(rows, len(self), "row")
        cols = as_index(cols, self.shape[1], "pixel")
        return BandedCovariance(
            take(self.ivar, rows, cols),
            self.kernel[rows],
            self.position[cols],
            self.chip[cols],
        )

    def correlation(self):
        """Correlation of pixels 0, 1, 2, … apart on each chip.

        Returns
        -------
        ndarray of shape (n_spectra, n_chips, n_taps)
            NaN for a chip without a kernel.
        """
        kernel = self.kernel.astype(float)
        n_taps = kernel.shape[-1]
        lags = [
            (kernel[..., lag:] * kernel[..., : n_taps - lag]).sum(axis=-1)
            for lag in range(n_taps)
        ]
        with np.errstate(invalid="ignore"):
            return np.stack(lags, axis=-1) / lags[0][..., None]

    def times(self, factor):
        """The covariance of errors that are larger by a factor in each pixel.

        Parameters
        ----------
        factor : ndarray of shape (n_pixels,) or (n_spectra, n_pixels)

        Returns
        -------
        BandedCovariance
        """
        ivar = (self.ivar / np.asarray(factor) ** 2).astype(self.ivar.dtype)
        return replace(self, ivar=ivar)

    def functional_variance(self, weights):
        """Variance of weighted sums of pixels, such as equivalent widths.

        Parameters
        ----------
        weights : ndarray of shape (n_pixels, m) or (n_spectra, n_pixels, m)
            One column a sum. Pixels that are not to count have weight 0; where the
            variance is unknown and the weight is not 0 the result is NaN.

        Returns
        -------
        ndarray of shape (n_spectra, m)
        """
        weights = np.asarray(weights)
        each = weights if weights.ndim == 3 else weights[None]
        correlation = np.nan_to_num(self.correlation())
        sigma = np.sqrt(self.variance())
        variance = np.zeros((len(self), weights.shape[-1]))
        for column in range(weights.shape[-1]):
            pixels = np.flatnonzero((each[..., column] != 0).any(axis=0))
            weight = each[:, pixels, column]
            values = np.where(weight != 0, weight * sigma[:, pixels], 0)
            for lag, one, other in self._pairs(pixels):
                products = values[:, one] * values[:, other]
                products *= correlation[:, self.chip[pixels[one]], lag]
                variance[:, column] += (2 if lag else 1) * products.sum(axis=1)
        return variance

    def _pairs(self, pixels):
        """Pairs of the pixels (by rank) on one chip, for each distance."""
        chip, position = self.chip[pixels], self.position[pixels]
        order = np.lexsort((position, chip))
        n_taps = self.kernel.shape[-1]
        place = chip[order] * (position.max(initial=0) + n_taps) + position[order]
        for lag in range(n_taps):
            found = np.searchsorted(place, place + lag)
            here = found < len(place)
            here[here] = place[found[here]] == place[here] + lag
            yield lag, order[here], order[found[here]]

    def dense(self):
        """The covariance of every pair of pixels, (n_spectra, n_pixels, n_pixels).

        For a selection of few pixels: ``covariance[:, pixels].dense()``.

        Returns
        -------
        ndarray
            NaN where the variance is unknown.
        """
        apart = np.abs(self.position[:, None] - self.position)
        correlation = np.nan_to_num(self.correlation())
        near = apart < correlation.shape[-1]
        near &= self.chip[:, None] == self.chip
        lag = np.where(near, apart, 0)
        rho = np.where(near, correlation[:, self.chip[:, None], lag], 0)
        sigma = np.sqrt(self.variance())
        return sigma[:, :, None] * sigma[:, None] * rho

    def variance(self):
        """Variance of each pixel, shape (n_spectra, n_pixels); NaN if unknown."""
        unknown = np.full(self.shape, np.nan, self.ivar.dtype)
        return np.divide(1, self.ivar, out=unknown, where=self.ivar > 0)

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
            NaN where the variance is unknown.
        """
        draws = np.empty((n_draws, self.shape[1]))
        for c in np.unique(self.chip):
            pixels = np.flatnonzero(self.chip == c)
            place = self.position[pixels] - self.position[pixels].min()
            kernel = self.kernel[i, c].astype(float)
            norm = np.sqrt(np.sum(kernel**2))
            white = rng.standard_normal((n_draws, place.max() + len(kernel)))
            if norm > 0:
                kernel = kernel / norm
            for draw, noise in zip(draws, white):
                draw[pixels] = np.convolve(noise, kernel, "valid")[place]
        return draws * np.sqrt(self[[i]].variance())

    def shares_basis(self, other):
        """Whether two covariances differ in nothing but their spectra.

        Parameters
        ----------
        other : BandedCovariance, LowRankCovariance or None

        Returns
        -------
        bool
        """
        return (
            isinstance(other, BandedCovariance)
            and self.kernel.shape[1] == other.kernel.shape[1]
            and np.array_equal(self.position, other.position)
            and np.array_equal(self.chip, other.chip)
        )

    @staticmethod
    def concatenate(covariances):
        """Stack covariances of one grid.

        Parameters
        ----------
        covariances : sequence of BandedCovariance

        Returns
        -------
        BandedCovariance
        """
        first = covariances[0]
        for i, other in enumerate(covariances):
            if not other.shares_basis(first):
                raise ValueError(
                    f"covariance {i} is of other pixels than the first: only those of "
                    "one grid can be stacked."
                )
        n_taps = max(c.kernel.shape[-1] for c in covariances)
        kernels = [
            np.pad(c.kernel, ((0, 0), (0, 0), (0, n_taps - c.kernel.shape[-1])))
            for c in covariances
        ]
        return BandedCovariance(
            np.concatenate([c.ivar for c in covariances]),
            np.concatenate(kernels),
            first.position,
            first.chip,
        )
