"""VelocityCheck: are the spectra at rest?"""

from numbers import Integral, Real

import numpy as np
from astropy.table import Column, Table
from sklearn.base import OneToOneFeatureMixin, _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from specxfer.lines import Line, window_pixels
from specxfer.preprocessing._moments import moments
from specxfer.preprocessing._transformer import SpectraTransformer
from specxfer.spectra import Spectra
from specxfer.velocity import measure_velocity

SIGNIFICANT = 7.0  # σ, of the peak: noise alone reaches about 4


class VelocityCheck(OneToOneFeatureMixin, SpectraTransformer):
    """Measure the shift of each spectrum against the mean training spectrum.

    Spectra pass unchanged; `transform` writes three columns into their `meta`, by which
    rows can be chosen, or shifted by `VelocityShifter`.

    Parameters
    ----------
    threshold : float, default=1.0
        Largest residual velocity, in km/s, that is all right.
    template : array-like of shape (n_pixels,), optional
        A spectrum at rest, in place of the training mean.
    exclude : Line, (lo, hi) or list of these, optional
        Wavelength intervals in Å without a say, such as telluric bands, or Balmer lines
        of a computed template. Pairs are in the medium of the spectra; lines are
        converted to it. What lies outside the grid is ignored.
    max_velocity : float, default=50.0
        Largest shift looked for, in km/s.
    degree : int, default=2
        Degree of the continuum polynomial fitted to each chip.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of plain arrays; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Attributes
    ----------
    template_ : ndarray of shape (n_features_in_,)
        What the spectra are compared with; NaN where it is unknown or excluded.
    wave_, medium_ : ndarray of shape (n_features_in_,) and str, or None
        The grid of the fit.
    n_features_in_ : int
        Number of pixels of the input.

    See Also
    --------
    specxfer.velocity.measure_velocity : The method, its errors and its biases.

    Notes
    -----
    The columns are ``velocity_residual`` and ``velocity_error`` (km/s), NaN where there
    is no peak within `max_velocity`, and ``velocity_ok``: whether the shift is within
    the threshold and the peak stands out of the noise, by 7σ. A row that is not ok may
    be shifted, or of a star so unlike the template (or so noisy) that nothing can be
    said.

    The mean spectrum is as much at rest as the training spectra are on average. Its
    lines are broadened by their scatter, which does not bias.

    Plain arrays have nowhere to keep the columns and pass as they are: use `measure`.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.preprocessing import VelocityCheck
    >>> wave = np.arange(5000.0, 5040.0, 0.05)
    >>> shift = np.array([[0.0], [0.0], [0.0], [2.0]]) / 299_792.458
    >>> flux = 1 - 0.5 * np.exp(-0.5 * ((wave / (1 + shift) % 4 - 2) / 0.1) ** 2)
    >>> X = Spectra(flux, np.full(flux.shape, 1e4), wave=wave, medium="air")
    >>> checked = VelocityCheck().fit(X[:3]).transform(X)
    >>> checked.meta["velocity_residual"].value.round(2) + 0
    array([0., 0., 0., 2.])
    >>> checked.meta["velocity_ok"].value
    array([ True,  True,  True, False])
    """

    _parameter_constraints: dict = {
        **SpectraTransformer._parameter_constraints,
        "threshold": [Interval(Real, 0, None, closed="neither")],
        "template": ["array-like", None],
        "exclude": ["array-like", Line, None],
        "max_velocity": [Interval(Real, 0, None, closed="neither")],
        "degree": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        threshold=1.0,
        *,
        template=None,
        exclude=None,
        max_velocity=50.0,
        degree=2,
        wave=None,
        medium=None,
    ):
        self.threshold = threshold
        self.template = template
        self.exclude = exclude
        self.max_velocity = max_velocity
        self.degree = degree
        self.wave = wave
        self.medium = medium

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the mean spectrum.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_pixels)
            Continuum-normalised. Memory-mapped `Spectra` are read once, a block of rows
            at a time.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `exclude` is given and there are no wavelengths, or the template has
            another grid.
        """
        X = self._check_X(X, reset=True)
        if self.template is None:
            self.template_, _ = moments(X)
        else:
            self.template_ = np.array(self.template, dtype=float).reshape(-1)
            if len(self.template_) != X.shape[1]:
                raise ValueError(
                    f"template has {len(self.template_)} pixels and X {X.shape[1]}."
                )
        if self.exclude is not None:
            out = window_pixels(self.exclude, X.wave, X.medium, outside="ignore")
            self.template_[out] = np.nan
        return self

    def measure(self, X):
        """Residual velocity of each spectrum.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        velocity, error, significance : ndarray of shape (n_spectra,)
            As from `specxfer.velocity.measure_velocity`.

        Raises
        ------
        ValueError
            If there are no wavelengths, or the template has no lines.
        """
        check_is_fitted(self)
        X = self._check_X(X, reset=False)
        if X.wave is None and self.wave_ is not None:
            X = X.replace(wave=self.wave_, medium=self.medium_)
        return measure_velocity(
            X, self.template_, degree=self.degree, max_velocity=self.max_velocity
        )

    def transform(self, X):
        """Write what was measured into `meta`.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_features_in_)
            X itself, or the same `Spectra` with more `meta`.
        """
        check_is_fitted(self)
        spectra = self._check_X(X, reset=False)
        if not isinstance(X, Spectra):
            return spectra.flux
        velocity, error, significance = self.measure(spectra)
        meta = Table() if X.meta is None else X.meta.copy()
        meta["velocity_residual"] = Column(velocity, unit="km/s")
        meta["velocity_error"] = Column(error, unit="km/s")
        with np.errstate(invalid="ignore"):
            still = np.abs(velocity) <= self.threshold
        meta["velocity_ok"] = still & (significance >= SIGNIFICANT)
        return X.replace(meta=meta)
