"""EquivalentWidths: the strengths of lines as features, with their errors."""

from numbers import Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from specxfer.linear._score_array import Scores
from specxfer.lines import Line, each_window, window_names
from specxfer.metrics._equivalent_width import (
    measured_widths,
    rescaling,
    window_widths,
)
from specxfer.preprocessing._transformer import SpectraTransformer

BLOCK_ROWS = 64


class EquivalentWidths(SpectraTransformer):
    """Equivalent widths of lines, in mÅ, as features that know their errors.

    Parameters
    ----------
    lines : Line, (lo, hi) in Å, or list of these
        The windows.
    noise_correlation : float, default=0.0
        Of neighbouring pixels, for spectra whose covariance is not known; see
        `specxfer.metrics.equivalent_width`.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of plain arrays; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Attributes
    ----------
    wave_, medium_ : ndarray of shape (n_features_in_,) and str, or None
        The grid of the fit.
    n_features_in_ : int
        Number of pixels of the input.

    See Also
    --------
    specxfer.metrics.equivalent_width : How they are measured.

    Notes
    -----
    What `transform` returns carries the `covariance` of the widths, (n, n_lines,
    n_lines), which `specxfer.linear.SpectralRidge` carries on. It is that of the flux
    where the spectra have one, as translated ones do: their lines err together.

    A line of which more than a fifth is masked is NaN. Estimators that take none need
    a step between that fills it, such as scikit-learn's ``SimpleImputer``, and that
    drops the covariance.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.abundances import EquivalentWidths
    >>> flux = np.array([[1.0, 0.9, 0.5, 0.9, 1.0]])
    >>> X = Spectra(flux, np.full((1, 5), 1e4), wave=np.arange(5000.0, 5005),
    ...             medium="air")
    >>> widths = EquivalentWidths((5000.5, 5003.5)).fit_transform(X)
    >>> print(widths, widths.covariance[0])  # 3 pixels of 1 Å, 10 mÅ each
    [[700.]] [[300.]]
    """

    _parameter_constraints: dict = {
        **SpectraTransformer._parameter_constraints,
        "lines": ["array-like", Line],
        "noise_correlation": [Interval(Real, -1, 1, closed="both")],
    }

    def __init__(self, lines, *, noise_correlation=0.0, wave=None, medium=None):
        self.lines = lines
        self.noise_correlation = noise_correlation
        self.wave = wave
        self.medium = medium

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check that the grid covers the lines.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_pixels)
            No flux is read.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a line has no window, the grid does not cover it, or there are no
            wavelengths.
        """
        X = self._check_X(X, reset=True)
        window_widths(self.lines, X)
        return self

    def transform(self, X):
        """Measure the lines.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        ndarray of shape (n_spectra, n_lines)
            mÅ, with the attribute ``covariance`` of shape (n_spectra, n_lines,
            n_lines); None where the noise of X is unknown.
        """
        check_is_fitted(self)
        X = self._check_X(X, reset=False)
        widths, full = window_widths(self.lines, X)
        cols = np.flatnonzero(widths.any(axis=1))
        X, widths = X[:, cols], widths[cols]
        n, m = len(X), len(full)
        ew = np.empty((n, m))
        covariance = np.empty((n, m, m)) if X.has_noise or X.covariance else None
        for rows, block in X.iter_blocks(BLOCK_ROWS):
            ew[rows], error = measured_widths(
                block, widths, full, self.noise_correlation
            )
            if covariance is not None:
                covariance[rows] = _covariance(block, widths, full, error)
        return Scores(ew, covariance)

    def get_feature_names_out(self, input_features=None):
        """Names of the lines.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        return np.array(window_names(each_window(self.lines)), dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _covariance(block, widths, full, error):
    """Of the widths of each spectrum, (n, m, m); NaN for one that is not measured."""
    if block.covariance is None:
        return np.eye(error.shape[1]) * (error**2)[:, None, :]
    good = block.valid()
    weights = good[:, :, None] * widths * rescaling(good, widths, full)[:, None]
    between = np.where(good[:, :, None] & good[:, None], block.covariance.dense(), 0)
    known = np.isfinite(weights).all(axis=1)
    weights = np.where(known[:, None], weights, 0)
    found = np.matmul(weights.transpose(0, 2, 1), np.matmul(between, weights))
    return np.where(known[:, :, None] & known[:, None], found, np.nan)
