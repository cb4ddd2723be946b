"""Rebinner: fewer, wider pixels."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from specxfer.preprocessing._transformer import SpectraTransformer
from specxfer.resampling import broaden, pixel_edges, pixel_steps
from specxfer.spectra import Spectra


class Rebinner(ClassNamePrefixFeaturesOutMixin, SpectraTransformer):
    """Average neighbouring pixels, by a whole number or down to a resolving power.

    The flux of a bin is the mean of its pixels weighted by ivar, its ivar their sum,
    its wavelength the plain mean of theirs: the same for every star. Masked pixels
    have no weight. A bin without any weight has ivar 0: NaN, or the plain mean of its
    pixels if they were filled in.

    Parameters
    ----------
    factor : int, optional
        Pixels per bin. By default as many as leave two bins for each resolution
        element of `resolution`, on each chip; 2 if `resolution` is not given either.
    resolution : float, optional
        Resolving power λ/FWHM to which spectra are broadened before they are binned.
    resolution_in : float, optional
        Resolving power of the input, ``inf`` if it is far higher than `resolution`.
        By default that of each `Spectra` row. Rows of unknown resolution, or one below
        `resolution`, become NaN: they are never sharpened.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of plain arrays; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Attributes
    ----------
    starts_ : ndarray of int of shape (n_bins,)
        The first pixel of each bin.
    wave_out_ : ndarray of shape (n_bins,) or None
        Wavelengths of the bins.
    wave_, medium_ : ndarray of shape (n_features_in_,) and str, or None
        The grid of the fit.
    n_features_in_ : int
        Number of pixels of the input.

    Notes
    -----
    Bins end at gaps and at the ends of chips, so the last one there may hold fewer
    pixels; none is lost. Where single pixels are missing from the grid, a bin spans
    the same wavelengths with fewer of them.

    Broadening, too, weighs pixels by ivar, and correlates the noise of neighbours.
    The ivar counts each input pixel once, as if it did not: right for sums over many
    bins, pessimistic for a single one. Binning itself is not counted in the
    `resolution` of the output.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.preprocessing import Rebinner
    >>> X = Spectra([[1.0, 0.7, 0.9, np.nan]], [[3.0, 1.0, 2.0, 0.0]],
    ...             wave=[5000, 5001, 5002, 5003], medium="air")
    >>> binned = Rebinner(factor=2).fit_transform(X)
    >>> binned.flux, binned.ivar, binned.wave
    (array([[0.925, 0.9  ]]), array([[4., 2.]]), array([5000.5, 5002.5]))
    """

    _parameter_constraints: dict = {
        **SpectraTransformer._parameter_constraints,
        "factor": [Interval(Integral, 1, None, closed="left"), None],
        "resolution": [Interval(Real, 0, None, closed="neither"), None],
        "resolution_in": [Interval(Real, 0, None, closed="right"), None],
    }

    def __init__(
        self,
        factor=None,
        *,
        resolution=None,
        resolution_in=None,
        wave=None,
        medium=None,
    ):
        self.factor = factor
        self.resolution = resolution
        self.resolution_in = resolution_in
        self.wave = wave
        self.medium = medium

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Lay out the bins on the grid of X.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_pixels)
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a resolution is wanted and the wavelengths, or the resolution of the
            input, are not known.
        """
        X = self._check_X(X, reset=True)
        if self.resolution is not None:
            self._check_resolution_known(X)
        self.starts_ = self._starts()
        self.wave_out_ = None
        if X.wave is not None:
            self.wave_out_ = np.add.reduceat(X.wave, self.starts_) / self._sizes()
        self._n_features_out = len(self.starts_)
        return self

    def transform(self, X):
        """Broaden, where asked to, and bin.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_bins)
            `Spectra` if X is, otherwise an array; in memory.
        """
        check_is_fitted(self)
        spectra = self._check_X(X, reset=False)
        if self.resolution is not None:
            self._check_resolution_known(spectra)
        shape = len(spectra), len(self.starts_)
        flux = np.empty(shape, spectra.dtype)
        ivar = np.empty(shape, spectra.dtype) if spectra.has_noise else None
        for rows, block in spectra.iter_blocks(_rows_at_a_time(spectra)):
            flux[rows], weight = self._bin(block)
            if ivar is not None:
                ivar[rows] = weight
        if not isinstance(X, Spectra):
            return flux
        return spectra.replace(
            flux=flux,
            ivar=ivar,
            wave=self.wave_out_,
            chip=self.chip_[self.starts_],
            resolution=self._resolution_out(spectra),
            covariance=None,
        )

    def _bin(self, X):
        """Flux and weight of the bins of a block."""
        weight = X.weights()
        flux = X.flux
        if self.resolution is not None:
            flux = self._broadened(flux, weight, X)
        finite = np.isfinite(flux)
        flux = np.where(finite, flux, 0)
        weight = np.where(finite, weight, 0)
        total = count = self._sum(weight)
        if (total == 0).any():  # no weight: fill-ins may count among themselves
            alone = np.repeat(total == 0, self._sizes(), axis=1) & finite
            weight = np.where(alone, 1, weight)
            count = self._sum(weight)
        empty = np.full(count.shape, np.nan)
        mean = np.divide(self._sum(flux * weight), count, out=empty, where=count > 0)
        return mean, total

    def _broadened(self, flux, weight, X):
        """Broadened, each pixel counting by its ivar: noisy ones stay at home."""
        known = weight > 0
        largest = weight.max(axis=1, keepdims=True, initial=0)
        weight = weight / np.where(largest > 0, largest, 1)
        uneven = (known & (weight < 0.999)).any(axis=1)
        flux, weight = (np.where(known, a, np.nan) for a in (flux, weight))

        def broadened(values, rows):
            resolution_in = self._resolution_of(X[rows])
            return broaden(values[rows], X.wave, self.resolution, resolution_in)

        out = np.empty_like(flux)
        out[~uneven] = broadened(flux, ~uneven)
        depth = broadened(weight * (flux - 1), uneven)
        total = broadened(weight, uneven)
        # a narrow kernel has negative lobes: nothing to divide by at a bad pixel
        usable = total > 0.01 * np.where(known, weight, 0)[uneven]
        nowhere = np.full_like(depth, np.nan)
        out[uneven] = np.divide(depth, total, out=nowhere, where=usable) + 1
        return out

    def _sum(self, values):
        return np.add.reduceat(values, self.starts_, axis=1, dtype=np.float64)

    def _sizes(self):
        return np.diff(np.append(self.starts_, self.n_features_in_))

    def _starts(self):
        """First pixel of each bin."""
        if self.n_features_in_ == 1 or self.wave_ is None:
            return np.arange(0, self.n_features_in_, self.factor or 2)
        lower, upper = pixel_edges(self.wave_)
        steps = pixel_steps(self.wave_)
        # A hole narrower than the bins is a missing pixel, not the end of a run.
        widest = self.factor or self._factor(lower, upper)
        ends = (steps > widest) | (np.diff(self.chip_) > 0)
        starts = []
        for run in np.split(np.arange(len(self.wave_)), np.flatnonzero(ends) + 1):
            factor = self.factor or self._factor(lower[run], upper[run])
            bin_of = np.concatenate([[0], np.cumsum(steps[run[:-1]])]) // factor
            starts.append(run[np.concatenate([[True], np.diff(bin_of) > 0])])
        return np.concatenate(starts)

    def _factor(self, lower, upper):
        """Pixels per bin that leave two bins per resolution element."""
        if self.resolution is None:
            return 2
        element = (lower + upper) / 2 / self.resolution
        return max(1, int(np.min(element / (upper - lower)) / 2 + 1e-9))

    def _check_resolution_known(self, X):
        if X.wave is None:
            raise ValueError(
                "resolution= needs wavelengths: give Spectra, or wave= and medium=."
            )
        if self.resolution_in is None and X.resolution is None:
            raise ValueError(
                "the resolution of the input is not known: give Spectra that carry it, "
                "or resolution_in= (inf if it is far higher than resolution=)."
            )

    def _resolution_of(self, X):
        if self.resolution_in is not None:
            return self.resolution_in
        has = X.resolution
        return has[:, self.chip_] if has.ndim == 2 else has

    def _resolution_out(self, X):
        if self.resolution is None:
            return X.resolution
        if self.resolution_in is not None:
            return np.full(len(X), float(self.resolution))
        enough = X.resolution >= self.resolution * (1 - 1e-6)
        return np.where(enough, float(self.resolution), np.nan)


def _rows_at_a_time(X):
    return max(1, 2**21 // X.shape[1])  # temporaries of 16 MiB stay near the core
