"""VelocityShifter: spectra at rest."""

from numbers import Real

import numpy as np
from sklearn.base import OneToOneFeatureMixin, _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from specxfer._grids import SPEED_OF_LIGHT
from specxfer.preprocessing._transformer import SpectraTransformer
from specxfer.spectra import Spectra
from specxfer.velocity import remove_velocity


class VelocityShifter(OneToOneFeatureMixin, SpectraTransformer):
    """Remove a radial velocity from each spectrum, on the grid it has.

    Puts spectra of the observed frame at rest, and removes the residual shifts that
    `VelocityCheck` finds: ``make_pipeline(VelocityCheck(),
    VelocityShifter("velocity_residual"))``.

    Parameters
    ----------
    velocity : str or float, default=0.0
        What to remove, in km/s: a column of `meta`, or one number for all spectra. A
        positive velocity, of a star that recedes, shifts to the blue.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of plain arrays, which are needed unless the velocity is 0.
        `Spectra` have their own.
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
    specxfer.velocity.remove_velocity : How it is done, and how well.

    Notes
    -----
    A spectrum whose velocity is unknown (NaN) becomes unknown. The columns of `meta`
    stay as they are: shifting twice removes the velocity twice. The readers' ``rv_com``
    is what they have removed already.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.preprocessing import VelocityShifter
    >>> wave = np.arange(5000.0, 5010.0, 0.05)
    >>> line = 1 - 0.5 * np.exp(-0.5 * ((wave - 5005.5) / 0.1) ** 2)
    >>> X = Spectra(line[None], wave=wave, medium="air", meta={"rv": [29.95]})
    >>> rest = VelocityShifter("rv").fit_transform(X)
    >>> float(rest.wave[np.nanargmin(rest.flux[0])].round(2))
    5005.0
    """

    _parameter_constraints: dict = {
        **SpectraTransformer._parameter_constraints,
        "velocity": [
            str,
            Interval(Real, -SPEED_OF_LIGHT, SPEED_OF_LIGHT, closed="neither"),
        ],
    }

    def __init__(self, velocity=0.0, *, wave=None, medium=None):
        self.velocity = velocity
        self.wave = wave
        self.medium = medium

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Remember the grid.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_pixels)
            Nothing of it is read.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are no wavelengths and the velocity is not 0, or X has no such
            column.
        """
        spectra = self._check_X(X, reset=True)
        self._velocities(spectra)
        if self.velocity != 0:
            spectra._require_wave("VelocityShifter")
        return self

    def transform(self, X):
        """Shift the spectra.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_features_in_)
            `Spectra` if X is, otherwise an array; in memory.

        Raises
        ------
        ValueError
            If X has no such column.
        """
        check_is_fitted(self)
        spectra = self._check_X(X, reset=False)
        if spectra.wave is None and self.wave_ is not None:
            spectra = spectra.replace(wave=self.wave_, medium=self.medium_)
        rest = remove_velocity(spectra, self._velocities(spectra))
        if not isinstance(X, Spectra):
            return rest.flux
        return rest

    def _velocities(self, X):
        if not isinstance(self.velocity, str):
            return np.full(len(X), float(self.velocity))
        columns = [] if X.meta is None else X.meta.colnames
        if self.velocity not in columns:
            raise ValueError(
                f"velocity={self.velocity!r} is not in the meta of the spectra, which "
                f"has {columns}: give one of these, or Spectra with meta, or a number "
                "in km/s."
            )
        column = X.meta[self.velocity]
        if column.unit is not None:
            column = column.quantity.to("km/s")
        return np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)
