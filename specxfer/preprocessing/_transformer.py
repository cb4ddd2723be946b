"""What the transformers share: `Spectra` in, `Spectra` out; arrays in, arrays out."""

from functools import wraps

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from specxfer._checks import check_same_grid
from specxfer.spectra import Spectra, as_plain, as_spectra


class SpectraTransformer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Base of the transformers: reads the input and remembers its grid.

    A subclass has the parameters `wave` and `medium`, for plain arrays. Its
    `transform` obeys `set_output` where the input is no `Spectra`.
    """

    _parameter_constraints: dict = {
        "wave": ["array-like", None],
        "medium": [StrOptions({"air", "vacuum"}), None],
    }

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "transform" in cls.__dict__:
            cls.transform = _keep_spectra(cls.transform)

    def fit_transform(self, X, y=None):
        """Fit to X, then transform it.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_pixels)
        y : ignored

        Returns
        -------
        Spectra or ndarray
            `Spectra` if X is, otherwise an array.
        """
        return self.fit(X, y).transform(X)

    def _check_X(self, X, reset):
        """X as `Spectra`, on the grid of the fit unless `reset`."""
        if isinstance(X, Spectra):
            if reset and 0 in X.shape:
                raise ValueError(
                    f"X holds {len(X)} spectra of {X.shape[1]} pixels; "
                    f"{type(self).__name__} needs at least one of each."
                )
            validate_data(self, X, reset=reset, skip_check_array=True)
            X = as_spectra(X, self.wave, self.medium)
        else:
            X = validate_data(
                self,
                as_plain(X),
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_all_finite="allow-nan",
            )
            wave, medium = self.wave, self.medium
            if not reset:
                wave, medium = self.wave_, self.medium_
            X = as_spectra(X, wave, medium)
        if reset:
            self.wave_, self.medium_, self.chip_ = X.wave, X.medium, X.chip
        elif X.wave is not None:
            _check_grid(X, self.wave_, self.medium_)
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class PixelSelector(SpectraTransformer):
    """Base of the transformers that keep some pixels: `fit` sets ``pixels_``."""

    def inverse_transform(self, X):
        """Put the pixels back where they were, NaN in between.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_kept)

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_features_in_)
            As `X`. Pixels that were dropped are NaN, with ivar 0.
        """
        check_is_fitted(self)
        plain = not isinstance(X, Spectra)
        wave = None if self.wave_ is None else self.wave_[self.pixels_]
        X = as_spectra(as_plain(X)) if plain else X
        kept = int(self.pixels_.sum())
        if X.shape[1] != kept:
            raise ValueError(
                f"X has {X.shape[1]} pixels; this {type(self).__name__} keeps {kept}."
            )
        if plain:
            return spread(X.flux, self.pixels_)
        if wave is None and X.wave is not None:
            raise ValueError(
                f"this {type(self).__name__} was fitted without wavelengths and cannot "
                "restore those of Spectra: fit it on Spectra, or give the flux alone."
            )
        _check_grid(X, wave, self.medium_)
        return X.replace(
            flux=spread(X.flux, self.pixels_),
            ivar=spread(X.ivar, self.pixels_, 0) if X.has_noise else None,
            wave=self.wave_,
            chip=self.chip_,
            covariance=None,
        )

    def get_feature_names_out(self, input_features=None):
        """Names of the pixels kept.

        Parameters
        ----------
        input_features : array-like of str, optional
            By default the names seen in `fit`, or x0, x1, …

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        return _check_feature_names_in(self, input_features)[self.pixels_]


def select(X, pixels):
    """The `pixels` (a mask) of `Spectra`; a slice, and so a view, where possible."""
    if pixels.all():
        return X
    if is_run(pixels):
        start = int(np.argmax(pixels))
        return X[:, start : start + int(pixels.sum())]
    return X[:, pixels]


def is_run(pixels):
    """Whether the True values of a mask stand together."""
    return np.count_nonzero(np.diff(pixels, prepend=False, append=False)) == 2


def spread(values, pixels, fill=np.nan):
    """`values` at `pixels` (a mask) of rows that hold `fill` elsewhere."""
    full = np.full((len(values), len(pixels)), fill, dtype=values.dtype)
    full[:, pixels] = values
    return full


def _check_grid(X, wave, medium):
    if wave is not None:
        fitted = Spectra(np.empty((0, len(wave))), wave=wave, medium=medium)
        check_same_grid(X, fitted, "X", "the training data")


def _keep_spectra(transform):
    """Let `set_output` wrap arrays only: a data frame would drop ivar and ids."""

    @wraps(transform)
    def transform_or_keep(self, X):
        if isinstance(X, Spectra):
            return transform.__wrapped__(self, X)
        return transform(self, X)

    return transform_or_keep
