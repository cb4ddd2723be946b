"""Mean squared errors of predicted flux, with the noise of the observed taken off."""

import numpy as np

from specxfer.metrics._continuum import checked_prediction
from specxfer.metrics._sums import (
    difference_blocks,
    known_truth,
    mean_over_stars,
    squared_sums,
    weights,
)

__all__ = ["mse", "mse_per_pixel", "mse_per_star", "signed_root"]


def mse(
    y_true,
    y_pred,
    lines=None,
    *,
    noise="subtract",
    error_floor=0.01,
    continuum_degree=None,
    wave=None,
    medium=None,
    ivar=None,
):
    """Signed, noise-corrected mean squared error of the flux, over each window.

    The mean of (predicted − observed)² − σ². Its expectation is the mean squared
    error against the truth behind the noisy observation, so that it may come out
    negative where the error is far below the noise. It is never clipped: clipped
    values would average to too much.

    Parameters
    ----------
    y_true : Spectra or array of shape (n, p)
        Observed flux. Masked pixels (NaN or ivar 0) do not count.
    y_pred : Spectra or array of shape (n, p)
        Predicted flux, not fitted to these very pixels.
    lines : Line, (lo, hi) in Å, or list of these, optional
        The windows, m of them. None takes all pixels as one window.
    noise : {"subtract", "none"}, default="subtract"
        "subtract" takes off σ² = 1/ivar; "none" does not, for simulated truth.
    error_floor : float, default=0.01
        A pixel weighs 1/(σ² + error_floor²): pixels quieter than the floor count
        alike, noisier ones less. Infinity makes all count alike; 0 weighs by ivar.
    continuum_degree : int, optional
        Before it is compared, the prediction is multiplied, chip by chip, by the
        polynomial of this degree that brings it nearest to y_true: 0 for a constant, 2
        for a quadratic. See `match_continuum` for what that costs. By default it is
        compared as it is.
    wave, medium : array-like of shape (p,) and {"air", "vacuum"}, optional
        The grid of a plain array; needed for `lines`.
    ivar : array-like of shape (n, p), optional
        Inverse variance of a plain array.

    Returns
    -------
    ndarray of shape (m,)
        Flux squared. NaN for a window that no star observes.

    Raises
    ------
    ValueError
        If the noise is unknown and to be subtracted, if the grid lacks a window, or
        if the prediction is NaN where y_true observes: an error never shrinks by
        leaving pixels out. (Without `lines`, up to 1% of the pixels may lack a
        prediction, such as the ends of a chip.)

    Notes
    -----
    The result is as good as σ: see `noise_scale`.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import mse, signed_root
    >>> rng = np.random.default_rng(0)
    >>> truth = np.ones((200, 100))
    >>> observed = truth + 0.02 * rng.standard_normal(truth.shape)
    >>> error = mse(observed, truth + 0.01, ivar=np.full(truth.shape, 0.02**-2))
    >>> signed_root(error)  # the error of 0.01 under noise of 0.02
    array([0.010])
    """
    y = known_truth(y_true, noise, wave, medium, ivar)
    sums = squared_sums(
        y,
        y_pred,
        lines,
        noise=noise,
        error_floor=error_floor,
        continuum_degree=continuum_degree,
    )
    return mean_over_stars(sums, np.arange(len(y))).mean


def mse_per_star(
    y_true,
    y_pred,
    lines=None,
    *,
    noise="subtract",
    error_floor=0.01,
    continuum_degree=None,
    wave=None,
    medium=None,
    ivar=None,
):
    """As `mse`, for each spectrum: signed, noise-corrected, over each window.

    Parameters
    ----------
    y_true, y_pred, lines, noise, error_floor, continuum_degree, wave, medium, ivar
        As in `mse`.

    Returns
    -------
    ndarray of shape (n, m)
        Flux squared; NaN where a spectrum observes no pixel of a window.

    Raises
    ------
    ValueError
        As in `mse`.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import mse_per_star
    >>> mse_per_star([[1.0, 1.0], [1.0, np.nan]], [[1.1, 1.1], [0.8, 1.0]],
    ...              noise="none")
    array([[0.01], [0.04]])
    """
    y = known_truth(y_true, noise, wave, medium, ivar)
    sums = squared_sums(
        y,
        y_pred,
        lines,
        noise=noise,
        error_floor=error_floor,
        continuum_degree=continuum_degree,
    )
    return _ratio(sums.top, sums.bottom)


def mse_per_pixel(
    y_true,
    y_pred,
    *,
    noise="subtract",
    error_floor=0.01,
    continuum_degree=None,
    wave=None,
    medium=None,
    ivar=None,
):
    """As `mse`, for each pixel: signed, noise-corrected, averaged over spectra.

    Parameters
    ----------
    y_true, y_pred, noise, error_floor, continuum_degree, wave, medium, ivar
        As in `mse`.

    Returns
    -------
    ndarray of shape (p,)
        Flux squared; NaN where a pixel is never observed, or not predicted in every
        spectrum that observes it.

    Raises
    ------
    ValueError
        If the noise is unknown and to be subtracted.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.metrics import mse_per_pixel
    >>> mse_per_pixel([[1.0, 1.0], [1.0, np.nan]], [[1.1, 1.1], [0.8, 1.0]],
    ...               noise="none")
    array([0.025, 0.01 ])
    """
    y = known_truth(y_true, noise, wave, medium, ivar)
    y_pred = checked_prediction(y, y_pred)
    top, bottom, missed = np.zeros((3, y.shape[1]))
    for _, pixels in difference_blocks(
        y, y_pred, noise=noise, continuum_degree=continuum_degree
    ):
        weight = weights(pixels.variance, error_floor) * pixels.used
        top += (weight * (pixels.difference**2 - pixels.variance)).sum(axis=0)
        bottom += weight.sum(axis=0)
        missed += (pixels.observed & ~pixels.used).sum(axis=0)
    return _ratio(top, np.where(missed > 0, 0, bottom))


def signed_root(mean_square):
    """Square root that keeps the sign, to display a signed mean square.

    Parameters
    ----------
    mean_square : array-like

    Returns
    -------
    ndarray
        √x for x ≥ 0, −√−x below.

    Examples
    --------
    >>> from specxfer.metrics import signed_root
    >>> signed_root([4e-4, -1e-4])
    array([ 0.02, -0.01])
    """
    mean_square = np.asarray(mean_square, dtype=float)
    return np.sign(mean_square) * np.sqrt(np.abs(mean_square))


def _ratio(top, bottom):
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
