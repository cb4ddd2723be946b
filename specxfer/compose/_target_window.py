"""TargetWindow: some windows of the target alone."""

from numbers import Real

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import check_array

from specxfer._checks import check_same_grid
from specxfer._compositions import last_of, parameter_of_last
from specxfer._resolution import LSF_SHAPE
from specxfer.compose._meta_translator import MetaTranslator
from specxfer.covariance import LowRankCovariance
from specxfer.lines import Line, as_windows
from specxfer.metrics._equivalent_width import overlap
from specxfer.preprocessing._transformer import select, spread
from specxfer.preprocessing._windows import chosen_pixels
from specxfer.spectra import Spectra, as_plain, as_spectra

ROUNDING = 1e-6  # Å: an edge between two pixels touches both


class TargetWindow(MetaTranslator):
    """Train and predict only some windows of the target spectrum.

    The estimator inside predicts those pixels alone; what comes out is on the full grid
    of the target, NaN elsewhere. A translator that learns from the whole target what
    kind of star it sees, as `neural.CNNTranslator` does, is given it as `context`.

    Parameters
    ----------
    estimator : estimator
        A translator or any regressor of many outputs; also a Pipeline or a search.
    windows : Line, (lo, hi) or list of these, optional
        Wavelength intervals in Å. Pairs are in the medium of the target; lines are
        converted to it. Windows may overlap: their union is used.
    pixels : slice or array-like of bool or int, optional
        Target pixels, besides those of `windows`. With neither, all are used.
    pad : float, default=0.0
        Å by which each window grows on both sides. A pixel is used if any part of it
        is in a window: equivalent widths need the pixels that the edges cut.
    wave : array-like of shape (n_pixels_out,), optional
        Wavelengths in Å of a plain target; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone, whose target is the windows.
    pixels_ : ndarray of bool of shape (n_pixels_out_,)
        The target pixels used.
    n_pixels_out_ : int
        Pixels of the full target.
    wave_out_, medium_out_ : ndarray of shape (n_pixels_out_,) and str, or None
        Grid of the full target.

    Notes
    -----
    It may stand inside a Pipeline or a search, or around one. Search over the windows
    with a scorer of a fixed line list: the default score is the estimator's own, over
    whatever pixels it has, and so is easiest to raise by leaving out hard lines.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from specxfer import Spectra
    >>> from specxfer.compose import TargetWindow
    >>> X = np.arange(12.0).reshape(6, 2) ** 2
    >>> y = Spectra(X @ np.ones((2, 4)), wave=np.arange(5000.0, 5004.0), medium="air")
    >>> model = TargetWindow(LinearRegression(), windows=(5001, 5002)).fit(X, y)
    >>> model.predict(X[:1]).round(6)
    array([[nan,  1.,  1., nan]])
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "windows": ["array-like", Line, None],
        "pixels": ["array-like", slice, None],
        "pad": [Interval(Real, 0, None, closed="left")],
        "wave": ["array-like", None],
        "medium": [StrOptions({"air", "vacuum"}), None],
    }

    def __init__(
        self, estimator, windows=None, *, pixels=None, pad=0.0, wave=None, medium=None
    ):
        self.estimator = estimator
        self.windows = windows
        self.pixels = pixels
        self.pad = pad
        self.wave = wave
        self.medium = medium

    # ------------------------------------------------------------------ fitting
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, **fit_params):
        """Fit a clone of the estimator to the windows of the target.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features)
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
        sample_weight : array-like of shape (n_spectra,), optional
            Handed to the estimator, if given; to the last step of a Pipeline.
        **fit_params
            Handed to the ``fit`` of the estimator.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a window is empty, outside the grid or in a gap of it, or if there are
            windows and no wavelengths.
        """
        if y is None:
            raise ValueError(
                "TargetWindow requires y to be passed, but the target y is None: it "
                "holds the target spectra."
            )
        grid = self._grid_of(y)
        self.wave_out_, self.medium_out_, self.chip_out_, self.n_pixels_out_ = grid
        self.pixels_ = chosen_pixels(
            self.windows, self.pixels, self.pad, *grid[:2], self.n_pixels_out_
        )
        self.pixels_ |= self._cut_by_edges()
        if getattr(last_of(self.estimator), "_uses_context", False):
            name = parameter_of_last(self.estimator, "context")
            if not (_routing_enabled() or self.pixels_.all()):
                fit_params = {name: y, **fit_params}
        routed = self._route("fit", sample_weight, fit_params)
        cropped = self._windows_of(y)
        self._chips = self._chips_of(cropped)
        self.estimator_ = clone(self.estimator).fit(X, cropped, **routed)
        self._take_features()
        return self

    def _cut_by_edges(self):
        """The pixels that have a part of a window, though maybe not their centre."""
        if self.windows is None or self.n_pixels_out_ < 2:
            return np.zeros(self.n_pixels_out_, dtype=bool)
        windows = as_windows(self.windows, self.medium_out_)
        windows = windows + np.array([-self.pad, self.pad])
        part = overlap(windows, self.wave_out_, self.chip_out_)
        return (part > ROUNDING).any(axis=1)

    def _grid_of(self, y):
        """Wavelengths, medium, chips and number of pixels of a target."""
        if not isinstance(y, Spectra):
            empty = np.empty((0, _n_pixels(y)))
            y = Spectra(empty, wave=self.wave, medium=self.medium)
        else:
            y = as_spectra(y, self.wave, self.medium, name="y")
        return y.wave, y.medium, None if y.wave is None else y.chip, y.shape[1]

    def _chips_of(self, cropped):
        """The chip of each that the windows have: a window may look like one."""
        if self.chip_out_ is None:
            return None
        chip = self.chip_out_[self.pixels_]
        if not isinstance(cropped, Spectra) or cropped.wave is None:
            return np.unique(chip)
        return chip[np.unique(cropped.chip, return_index=True)[1]]

    def _crop(self, y):
        self._check_target(y)
        return self._windows_of(y)

    def _windows_of(self, y):
        """The windows of a target on the full grid, as what it came as."""
        if isinstance(y, Spectra):
            return select(y, self.pixels_)
        if self.pixels_.all():  # leave every check to the estimator
            return y
        y = check_array(as_plain(y), dtype=None, ensure_all_finite=False)
        return y[:, self.pixels_]

    def _check_target(self, y):
        n_pixels = _n_pixels(y)
        if n_pixels != self.n_pixels_out_:
            raise ValueError(
                f"y has {n_pixels} pixels, the fit had {self.n_pixels_out_}: give the "
                "target on its full grid, not the windows."
            )
        if isinstance(y, Spectra) and None not in (y.medium, self.medium_out_):
            fitted = np.empty((0, n_pixels))
            fitted = Spectra(fitted, wave=self.wave_out_, medium=self.medium_out_)
            check_same_grid(y, fitted, "y", "the training target")

    def _expand(self, values):
        """Values at the windows, on the full grid: (…, n_windowed) to (…, n_out)."""
        if self.pixels_.all():
            return values
        values = np.asarray(values)
        if values.ndim == 1:  # some regressors flatten a single output
            values = values[:, None]
        dtype = np.result_type(values, np.float32)
        full = np.full((*values.shape[:-1], self.n_pixels_out_), np.nan, dtype)
        full[..., self.pixels_] = values
        return full

    def _expand_spectra(self, spectra):
        ivar = spectra.ivar
        meta = spectra.meta
        if meta is not None and LSF_SHAPE in meta.colnames:
            meta = meta.copy(copy_data=False)
            meta[LSF_SHAPE] = self._expand_resolution(np.asarray(meta[LSF_SHAPE]))
        return spectra.replace(
            meta=meta,
            flux=self._expand(spectra.flux),
            ivar=None if ivar is None else spread(ivar, self.pixels_, 0),
            wave=self.wave_out_,
            medium=self.medium_out_,
            chip=self.chip_out_,
            resolution=self._expand_resolution(spectra.resolution),
            covariance=self._expand_covariance(spectra.covariance),
        )

    def _crop_resolution(self, resolution):
        """Of the chips that have a window."""
        if np.ndim(resolution) < 2 or self.chip_out_ is None:
            return resolution
        return np.asarray(resolution)[:, self._chips]

    def _expand_resolution(self, resolution):
        if resolution is None or resolution.ndim == 1:
            return resolution
        full = np.full((len(resolution), self.chip_out_[-1] + 1), np.nan)
        full[:, self._chips] = resolution
        return full

    def _expand_covariance(self, covariance):
        if not isinstance(covariance, LowRankCovariance):
            return None
        diagonal = np.atleast_2d(covariance.diagonal)
        diagonal = spread(diagonal, self.pixels_).reshape(
            *covariance.diagonal.shape[:-1], self.n_pixels_out_
        )
        # The diagonal alone says that a pixel is unknown: NaN in the basis would
        # spread through sums of pixels.
        basis = spread(covariance.basis, self.pixels_, 0)
        amplitude = covariance.amplitude
        if amplitude is not None:
            amplitude = spread(amplitude, self.pixels_, 0)
        line, line_std = covariance.line, covariance.line_std
        if line is not None:
            line = spread(line[None], self.pixels_, -1)[0]
            line_std = spread(line_std[None], self.pixels_, 0)[0]
        return LowRankCovariance(
            covariance.core,
            basis,
            diagonal,
            amplitude,
            covariance.scaled,
            line_std,
            line,
            covariance.scale
            if covariance.scale is None
            else spread(covariance.scale, self.pixels_, 0),
        )


def _n_pixels(y):
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    return shape[1] if len(shape) > 1 else 1
