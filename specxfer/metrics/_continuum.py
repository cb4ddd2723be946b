"""A low polynomial on each chip, divided out before spectra are compared."""

from numbers import Integral

import numpy as np
from numpy.polynomial.legendre import legvander

from specxfer._checks import check_same_grid
from specxfer.continuum import (
    FLOOR,
    chip_pixels,
    products_of,
    rowwise,
    scaled,
    solve,
)
from specxfer.spectra import Spectra, as_spectra

__all__ = ["match_continuum"]


def match_continuum(y_true, y_pred, degree=2, *, wave=None, medium=None, ivar=None):
    """Predicted spectra with the continuum of the observed ones.

    Each predicted spectrum is multiplied, chip by chip, by the polynomial in wavelength
    that brings it nearest to the observed one: what pipelines do differently to the
    continuum is then no error. The metrics do so with ``continuum_degree=``.

    Parameters
    ----------
    y_true : Spectra or array of shape (n, p)
        Observed flux. Masked pixels (NaN or ivar 0) do not count.
    y_pred : Spectra or array of shape (n, p)
        Predicted flux.
    degree : int, default=2
        Degree of the polynomial; 0 is one constant for each chip.
    wave, medium : array-like of shape (p,) and {"air", "vacuum"}, optional
        The grid of a plain array, which tells its chips apart.
    ivar : array-like of shape (n, p), optional
        Inverse variance of a plain array.

    Returns
    -------
    Spectra or ndarray of shape (n, p)
        As `y_pred`; its ivar follows. NaN on chips with fewer than ``degree + 2``
        pixels that are both observed and predicted.

    Raises
    ------
    ValueError
        If shapes or grids differ, or the degree is negative.

    Notes
    -----
    Weighted least squares, a pixel's weight being 1 / (σ² + 0.01²), or the same for all
    where no noise is known. It takes ``degree + 1`` degrees of freedom from each chip:
    of pure noise, mean squares fall by that over the number of pixels, 0.07% of a CCD
    of 4096 pixels for a quadratic. A line that the prediction lacks, of equivalent
    width W, is taken for continuum to a small part only: on a chip of length L the
    level moves by no more than (degree + 1)² W / L, and by 2.25 W / L in the middle,
    for a quadratic. Molecular bands and the wings of Balmer lines, which are as wide as
    the polynomial's features, can be eaten.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import match_continuum
    >>> predicted = np.array([[1.0, 0.5, 1.0, 0.8, 1.0]])
    >>> match_continuum(1.1 * predicted, predicted, degree=0)
    array([[1.1 , 0.55, 1.1 , 0.88, 1.1 ]])
    """
    checked_degree(degree)
    y = as_spectra(y_true, wave, medium, name="y_true")
    y = y if ivar is None else y.replace(ivar=ivar)
    y_pred = checked_prediction(y, y_pred)
    spectra = isinstance(y_pred, Spectra)
    dtype = np.result_type(y_pred.dtype, np.float32)
    flux = np.empty(y.shape, dtype)
    new_ivar = np.empty(y.shape, dtype) if spectra and y_pred.has_noise else None
    for rows, block in y.iter_blocks():
        predicted = np.asarray(y_pred[rows])
        factor = continuum_factor(block, predicted, degree)
        flux[rows] = predicted * factor
        if new_ivar is not None:
            weight = y_pred[rows].weights() / factor**2
            new_ivar[rows] = np.where(np.isfinite(weight), weight, 0)
    if not spectra:
        return flux
    return y_pred.replace(flux=flux, ivar=new_ivar, covariance=None)


def continuum_factor(y, predicted, degree):
    """What to multiply the prediction for a block by, (n, p)."""
    weight = y.weights().astype(float)
    if y.has_noise:
        weight /= 1 + weight * FLOOR**2
    used = (weight > 0) & np.isfinite(predicted) & (predicted != 0)
    predicted = np.where(used, predicted, 1).astype(float)
    weight = np.where(used, weight * predicted**2, 0)
    ratio = np.where(used, y.flux, 0) / predicted
    factor = np.full(y.shape, np.nan)
    for pixels in chip_pixels(y.chip):
        if len(pixels) < degree + 2:
            continue
        basis = legvander(scaled(y.wave, pixels), degree)
        # in C order, so that a row's sums have the same bits whatever its company
        here = (np.ascontiguousarray(a[:, pixels]) for a in (weight, ratio))
        coef = solve(*here, basis, products_of(basis))
        known = used[:, pixels].sum(axis=1) >= degree + 2
        factor[np.ix_(known, pixels)] = rowwise(coef, basis.T)[known]
    return factor


def checked_degree(degree):
    if not isinstance(degree, Integral) or degree < 0:
        raise ValueError(f"degree is {degree!r}; expected an int, 0 or more.")


def checked_prediction(y, y_pred):
    if isinstance(y_pred, Spectra):
        if y.wave is not None:
            check_same_grid(y, y_pred, "y_true", "y_pred")
    elif not hasattr(y_pred, "shape"):
        y_pred = np.asarray(y_pred)
    if y_pred.shape != y.shape:
        raise ValueError(
            f"y_pred has shape {y_pred.shape} and y_true {y.shape}: expected one "
            "predicted flux per observed one."
        )
    named = getattr(y_pred, "ids", None)
    if named is not None and y.ids is not None and not np.array_equal(named, y.ids):
        row = int(np.flatnonzero(named != y.ids)[0])
        raise ValueError(
            f"y_pred and y_true name different stars, first in row {row}: "
            f"{named[row]} and {y.ids[row]}. Bring them into the same order, or give "
            "y_pred.flux if the spectra of others are the prediction."
        )
    return y_pred
