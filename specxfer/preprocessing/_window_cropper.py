"""WindowCropper: keep the pixels of some windows."""

from numbers import Real

from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from specxfer.lines import Line
from specxfer.preprocessing._transformer import PixelSelector, select
from specxfer.preprocessing._windows import chosen_pixels
from specxfer.spectra import Spectra


class WindowCropper(PixelSelector):
    """Keep only the pixels of some windows of the source spectrum.

    Parameters
    ----------
    windows : Line, (lo, hi) or list of these, optional
        Wavelength intervals in Å. Pairs are in the medium of the spectra; lines are
        converted to it. Windows may overlap: their union is kept.
    pixels : slice or array-like of bool or int, optional
        Pixels to keep, besides those of `windows`. With neither, all are kept.
    pad : float, default=0.0
        Å by which each window grows on both sides.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of plain arrays; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Attributes
    ----------
    pixels_ : ndarray of bool of shape (n_features_in_,)
        The pixels kept.
    wave_, medium_ : ndarray of shape (n_features_in_,) and str, or None
        The grid of the fit.
    n_features_in_ : int
        Number of pixels of the input.

    Notes
    -----
    Nothing is read: memory-mapped `Spectra` stay on disk.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.preprocessing import WindowCropper
    >>> X = Spectra(np.ones((2, 6)), wave=np.arange(5000.0, 5006.0), medium="air")
    >>> WindowCropper([(5000.5, 5001.5), (5004, 5005)]).fit_transform(X).wave
    array([5001., 5004., 5005.])
    """

    _parameter_constraints: dict = {
        **PixelSelector._parameter_constraints,
        "windows": ["array-like", Line, None],
        "pixels": ["array-like", slice, None],
        "pad": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, windows=None, *, pixels=None, pad=0.0, wave=None, medium=None):
        self.windows = windows
        self.pixels = pixels
        self.pad = pad
        self.wave = wave
        self.medium = medium

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Find the pixels of the windows on the grid of X.

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
            If a window is empty, outside the grid or in a gap of it, or if there are
            windows and no wavelengths.
        """
        X = self._check_X(X, reset=True)
        self.pixels_ = chosen_pixels(
            self.windows, self.pixels, self.pad, X.wave, X.medium, X.shape[1]
        )
        return self

    def transform(self, X):
        """Keep the pixels of the windows.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_kept)
            `Spectra` if X is, otherwise an array.
        """
        check_is_fitted(self)
        spectra = select(self._check_X(X, reset=False), self.pixels_)
        return spectra if isinstance(X, Spectra) else spectra.flux
