"""What every error is made of: weighted sums of squared differences, per spectrum.

An average error is a ratio of two sums over spectra, Σ numerator / Σ denominator.
Keeping both per spectrum and window is all that lines, domains, intervals over stars
and paired comparisons need; the spectra themselves are read once, block by block.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from specxfer.lines import each_window, window_names, window_pixels
from specxfer.metrics._continuum import (
    checked_degree,
    checked_prediction,
    continuum_factor,
)
from specxfer.metrics._equivalent_width import rescaling, summed_variance, window_widths
from specxfer.spectra import as_spectra

BLOCK = 2**21  # pixels read at a time: temporary arrays are 16 MiB each
FLOORS = {"flux": 0.01, "ew": 5.0, "chi2": 0.0}  # continuum units, mÅ, none
TOLERATED_GAPS = 0.01  # share of the pixels, where all are asked for


class UncoveredError(ValueError):
    """A prediction lacks pixels that it is to be judged by."""


class Sums(NamedTuple):
    """Numerator and denominator of the mean squared error, each (n, n_windows)."""

    top: np.ndarray
    bottom: np.ndarray


def known_truth(y_true, noise, wave=None, medium=None, ivar=None):
    """`y_true` as Spectra, with its noise where the noise is to be subtracted."""
    if noise not in ("subtract", "none"):
        raise ValueError(f'noise is {noise!r}; expected "subtract" or "none".')
    y = as_spectra(y_true, wave, medium, name="y_true")
    if ivar is not None:
        y = y.replace(ivar=ivar)
    if noise == "subtract" and not y.has_noise:
        raise ValueError(
            "y_true has no ivar, so the share of its noise in the error is unknown. "
            'Give Spectra with ivar, or ivar=; noise="none" if y_true is free of '
            "noise (simulated truth); or compare two models with paired_difference, "
            "where the noise cancels."
        )
    return y


def squared_sums(
    y,
    y_pred,
    lines=None,
    *,
    quantity="flux",
    noise="subtract",
    error_floor=None,
    noise_correlation=0.0,
    continuum_degree=None,
    beside=(),
):
    """Weighted sums of the squared errors of each spectrum over each window.

    Parameters
    ----------
    y : Spectra
        As `known_truth` gives it.
    y_pred : Spectra or array of shape (n, p)
        Predicted flux.
    lines : Line, (lo, hi) or list of these, optional
        The windows; None is one window of all pixels.
    quantity : {"flux", "ew", "chi2"}
        Errors of the flux in each pixel, or of the equivalent width in mÅ, or of the
        flux over its noise (which is then not taken off).
    noise : {"subtract", "none"}
        Whether the noise of y is taken off its squared differences.
    error_floor : float, optional
        In the units of the quantity.
    noise_correlation : float
        Of neighbouring pixels; matters to equivalent widths.
    continuum_degree : int, optional
        See `match_continuum`.
    beside : iterable of predictions
        Only pixels that these have, too, are used: what is compared must be the same.

    Returns
    -------
    Sums
    """
    y_pred = checked_prediction(y, y_pred)
    floor = _checked_floor(error_floor, quantity)
    share, full = _window_shares(y, lines, quantity)
    cols = slice(None) if lines is None else np.flatnonzero(share.any(axis=1))
    share = share[cols]
    touched = (share > 0).astype(float)
    top = np.zeros((len(y), share.shape[1]))
    bottom, observed, missed = (np.zeros_like(top) for _ in range(3))
    for rows, pixels in difference_blocks(
        y, y_pred, cols, noise, beside, continuum_degree
    ):
        if quantity == "ew":
            top[rows], bottom[rows] = _width_sums(
                pixels, share, full, floor, noise_correlation
            )
        else:
            sums_of = _flux_sums if quantity == "flux" else _chi2_sums
            top[rows], bottom[rows] = sums_of(pixels, share, floor)
        observed[rows] = pixels.observed @ touched
        missed[rows] = (pixels.observed & ~pixels.used) @ touched
    _check_covered(missed.sum(axis=0), observed.sum(axis=0), lines)
    return Sums(top, bottom)


class Pixels(NamedTuple):
    """Predicted minus observed flux of a block, and what to make of it."""

    difference: np.ndarray  # 0 where not used
    variance: np.ndarray  # of the observed flux; 0 where not used or no noise known
    used: np.ndarray  # observed and predicted
    observed: np.ndarray


def difference_blocks(
    y, y_pred, cols=slice(None), noise="subtract", beside=(), continuum_degree=None
):
    """Yield (rows, Pixels) of the columns wanted, block by block of rows."""
    n_rows = max(1, BLOCK // max(1, y.shape[1]))
    if continuum_degree is not None:
        checked_degree(continuum_degree)
    whole = continuum_degree is not None  # the polynomial needs all of each chip
    for rows, block in (y if whole else y[:, cols]).iter_blocks(n_rows):
        predicted = np.asarray(y_pred[rows])
        if whole:
            predicted = predicted * continuum_factor(block, predicted, continuum_degree)
            block = block[:, cols]
        predicted = predicted[:, cols]
        observed = block.valid()
        used = observed & np.isfinite(predicted)
        for other in beside:
            used &= np.isfinite(np.asarray(other[rows])[:, cols])
        difference = np.zeros(used.shape)
        np.subtract(predicted, block.flux, out=difference, where=used)
        variance = np.zeros(used.shape)
        if noise == "subtract":
            np.divide(1.0, block.ivar, out=variance, where=used)
        yield rows, Pixels(difference, variance, used, observed)


def _flux_sums(pixels, share, floor):
    weight = weights(pixels.variance, floor) * pixels.used
    squared = weight * (pixels.difference**2 - pixels.variance)
    return squared @ share, weight @ share


def _chi2_sums(pixels, share, _):
    chi2 = np.zeros(pixels.used.shape)
    np.divide(pixels.difference**2, pixels.variance, out=chi2, where=pixels.used)
    return chi2 @ share, pixels.used @ share


def _width_sums(pixels, share, full, floor, noise_correlation):
    scale = rescaling(pixels.used, share, full)
    measured = np.isfinite(scale)
    scale = np.where(measured, scale, 0)
    difference = (pixels.difference @ share) * scale
    variance = summed_variance(pixels.variance, share, noise_correlation) * scale**2
    weight = weights(variance, floor) * measured
    return weight * (difference**2 - variance), weight


def weights(variance, floor):
    """floor²/(σ² + floor²): alike for small σ, as 1/σ² for large."""
    if np.isinf(floor):
        return np.ones_like(variance)
    floor = max(floor, 1e-6)
    return floor**2 / (variance + floor**2)


def _checked_floor(error_floor, quantity):
    if quantity not in FLOORS:
        raise ValueError(f'quantity is {quantity!r}; expected "flux" or "ew".')
    floor = FLOORS[quantity] if error_floor is None else float(error_floor)
    if not floor >= 0:
        raise ValueError(f"error_floor is {error_floor}; expected 0 or more.")
    return floor


def _window_shares(y, lines, quantity):
    """Which pixels each window holds, or how much of them; and the windows' widths."""
    if quantity == "ew":
        if lines is None:
            raise ValueError("equivalent widths need lines=.")
        return window_widths(lines, y)
    if lines is None:
        return np.ones((y.shape[1], 1)), None
    held = [window_pixels(w, y.wave, y.medium) for w in each_window(lines)]
    return np.array(held).T.astype(float), None


def _check_covered(missed, observed, lines):
    allowed = TOLERATED_GAPS * observed if lines is None else 0
    bad = missed > allowed
    if bad.any():
        names = [n for n, b in zip(window_names(lines or ()), bad) if b] or "all pixels"
        raise UncoveredError(
            f"the prediction is NaN or infinite in {int(missed.sum())} pixels that "
            f"y_true observes, in {names}. An error over fewer pixels could not be "
            "compared: predict these windows, or leave them out of lines=."
        )


class Estimate(NamedTuple):
    """A mean over stars with its t interval, each (n_windows,)."""

    mean: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    n_stars: np.ndarray


def mean_over_stars(sums, stars, confidence=0.95):
    """Ratio Σ top / Σ bottom and its interval; spectra of one star are one draw.

    The variance of a ratio of sums over independent stars, to first order.
    """
    n = int(stars.max()) + 1 if len(stars) else 0
    top, bottom = np.zeros((2, n, sums.top.shape[1]))
    np.add.at(top, stars, sums.top)
    np.add.at(bottom, stars, sums.bottom)
    n_stars = (bottom != 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = bottom.sum(axis=0)
        mean = top.sum(axis=0) / total
        spread = ((top - mean * bottom) ** 2).sum(axis=0)
        error = np.sqrt(spread * n_stars / (n_stars - 1)) / total
    error = np.where(n_stars > 1, error, np.nan)
    t = stdtrit(np.maximum(n_stars - 1, 1), 0.5 + confidence / 2)
    return Estimate(mean, mean - t * error, mean + t * error, n_stars)
