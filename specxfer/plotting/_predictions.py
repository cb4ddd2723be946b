"""Observed and predicted spectra as pictures need them."""

import numpy as np

from specxfer._compositions import predict_like, resolution_of, translate, translator_of
from specxfer.spectra import Spectra, as_spectra


def translated_like(model, X, y):
    """What `model` makes of X, to be compared with y, with its errors if known.

    Parameters
    ----------
    model : estimator
        Fitted.
    X : Spectra or array-like of shape (n, n_features_in)
    y : Spectra or array-like of shape (n, n_pixels_out), or None
        Of the same stars; each is written at the resolving power of its row.

    Returns
    -------
    Spectra or ndarray of shape (n, n_pixels_out)
        An array where the model is no translator or does not know its errors.
    """
    try:
        translator_of(model, None, "translate", transform=False)
    except TypeError:  # any other regressor
        return model.predict(X)
    power = None if y is None else resolution_of(model, y)
    try:
        return translate(model, X, resolution=power)
    except NotImplementedError:  # it does not know its errors
        return model.predict(X) if y is None else predict_like(model, X, y)


def paired(y_true, y_pred, std=None, wave=None, medium=None):
    """Observed and predicted flux as `Spectra` on one grid.

    Parameters
    ----------
    y_true : Spectra, array of shape (n, p) or None
    y_pred : Spectra or array of shape (n, p)
    std : array of shape (n, p), optional
        Of the predicted flux; that of Spectra is in their ivar.
    wave, medium : array-like of shape (p,) and {"air", "vacuum"}, optional
        The grid, where neither has it.

    Returns
    -------
    observed : Spectra or None
    predicted : Spectra
    """
    grid = next(
        (s for s in (y_true, y_pred) if isinstance(s, Spectra) and s.wave is not None),
        None,
    )
    if grid is not None and wave is None:
        wave, medium = grid.wave, grid.medium
    observed = None if y_true is None else as_spectra(y_true, wave, medium, "y_true")
    predicted = as_spectra(y_pred, wave, medium, "y_pred")
    if observed is not None and observed.shape != predicted.shape:
        raise ValueError(
            f"y_pred has shape {predicted.shape}, y_true {observed.shape}: give the "
            "same stars on the same pixels."
        )
    if std is not None:
        std = np.asarray(std)
        if std.shape != predicted.shape:
            raise ValueError(f"std has shape {std.shape}, y_pred {predicted.shape}.")
        ivar = np.zeros(std.shape)
        np.divide(1, std.astype(float) ** 2, out=ivar, where=std > 0)
        ivar[~np.isfinite(ivar)] = 0
        predicted = predicted.replace(ivar=ivar, covariance=None)
    return observed, predicted


def one_star(spectra, row):
    """Flux and standard deviation of a row, NaN where masked; std None if unknown."""
    star = spectra[[row]].load()
    good = star.valid()[0]
    flux = np.where(good, star.flux[0], np.nan).astype(float)
    if not star.has_noise:
        return flux, None
    std = np.full(len(flux), np.nan)
    np.divide(1, np.sqrt(star.ivar[0], dtype=float), out=std, where=good)
    return flux, std


def only_flux(spectra, row, like):
    """Flux of a row of anything on the grid of `like`; None stays None."""
    if spectra is None:
        return None
    return one_star(as_spectra(spectra, like.wave, like.medium), row)[0]
