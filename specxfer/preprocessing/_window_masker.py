"""WindowMasker: hide the pixels of some windows."""

from numbers import Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from specxfer.lines import Line
from specxfer.preprocessing._transformer import SpectraTransformer
from specxfer.preprocessing._windows import chosen_pixels
from specxfer.spectra import Spectra


class WindowMasker(SpectraTransformer):
    """Hide the pixels of some windows: the complement of `WindowCropper`.

    What is hidden becomes NaN, with ivar 0, and the grid stays as it is. Before a
    translator in a Pipeline it makes one that has never seen these pixels.

    Parameters
    ----------
    windows : Line, (lo, hi) or list of these, optional
        Wavelength intervals in Å. Pairs are in the medium of the spectra; lines are
        converted to it. Windows may overlap: their union is hidden.
    pixels : slice or array-like of bool or int, optional
        Pixels to hide, besides those of `windows`. With neither, none are.
    pad : float, default=0.0
        Å by which each window grows on both sides.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of plain arrays; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Attributes
    ----------
    pixels_ : ndarray of bool of shape (n_features_in_,)
        The pixels hidden.
    wave_, medium_ : ndarray of shape (n_features_in_,) and str, or None
        The grid of the fit.
    n_features_in_ : int
        Number of pixels of the input.

    See Also
    --------
    specxfer.validation.leakage_test : How skill falls without an element's lines.

    Notes
    -----
    Translators take NaN as it is. Before a plain scikit-learn step put `GapMasker`
    next, which drops the pixels that no star has.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.preprocessing import WindowMasker
    >>> X = Spectra(np.ones((1, 4)), wave=np.arange(5000.0, 5004.0), medium="air")
    >>> WindowMasker((5000.5, 5002.5)).fit_transform(X).flux
    array([[ 1., nan, nan,  1.]])
    """

    _parameter_constraints: dict = {
        **SpectraTransformer._parameter_constraints,
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
            If a window is empty, outside the grid or in a gap of it, if there are
            windows and no wavelengths, or if nothing would be left.
        """
        X = self._check_X(X, reset=True)
        if self.windows is None and self.pixels is None:
            self.pixels_ = np.zeros(X.shape[1], dtype=bool)
            return self
        self.pixels_ = chosen_pixels(
            self.windows, self.pixels, self.pad, X.wave, X.medium, X.shape[1]
        )
        if self.pixels_.all():
            raise ValueError(
                f"the windows hold all of the {X.shape[1]} pixels: nothing is left."
            )
        return self

    def transform(self, X):
        """Hide the pixels of the windows.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_features_in_)
            `Spectra` if X is, otherwise an array; a copy, in memory, if anything is
            hidden.
        """
        check_is_fitted(self)
        spectra = self._check_X(X, reset=False)
        if self.pixels_.any():
            flux = np.array(spectra.flux)
            flux[:, self.pixels_] = np.nan
            ivar = None
            if spectra.has_noise:
                ivar = np.array(spectra.ivar)
                ivar[:, self.pixels_] = 0
            spectra = spectra.replace(flux=flux, ivar=ivar)
        return spectra if isinstance(X, Spectra) else spectra.flux

    def get_feature_names_out(self, input_features=None):
        """Names of the pixels, all of which stay.

        Parameters
        ----------
        input_features : array-like of str, optional
            By default the names seen in `fit`, or x0, x1 and so on.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        return _check_feature_names_in(self, input_features)
