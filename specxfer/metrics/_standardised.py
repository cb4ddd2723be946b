"""Differences of observed and predicted, in units of what was stated for them."""

from typing import NamedTuple

import numpy as np

from specxfer.lines import each_window, window_names, window_pixels
from specxfer.metrics._continuum import checked_prediction
from specxfer.metrics._equivalent_width import equivalent_width, window_widths
from specxfer.metrics._sums import BLOCK, TOLERATED_GAPS, UncoveredError, known_truth
from specxfer.spectra import Spectra

POOLED = "all windows"


class Values(NamedTuple):
    """Quantities of a block of spectra, (n, n_values): of pixels or widths."""

    rows: slice
    observed: np.ndarray
    error: np.ndarray  # of the observed; 0 where it is free of noise
    predicted: np.ndarray
    std: np.ndarray
    used: np.ndarray


def known_noise(y_true, noise, wave=None, medium=None, ivar=None):
    """`y_true` as Spectra, with its noise where it is to be added."""
    if noise not in ("add", "none"):
        raise ValueError(f'noise is {noise!r}; expected "add" or "none".')
    if noise == "none":
        return known_truth(y_true, "none", wave, medium, ivar)
    try:
        return known_truth(y_true, "subtract", wave, medium, ivar)
    except ValueError as error:
        if "no ivar" not in str(error):
            raise
        raise ValueError(
            "y_true has no ivar, so how far its noise takes it from the truth is "
            'unknown. Give Spectra with ivar, or ivar=; noise="none" if y_true is free '
            "of noise (simulated truth)."
        ) from None


def members(lines, y, quantity):
    """Which values belong to which row of a table.

    Returns
    -------
    names : list of str
        Of the m rows.
    cols : ndarray of int or slice
        The pixels that are looked at.
    member : ndarray of shape (n_values, m)
        1 where a value (a pixel looked at, or a line's width) belongs to a row.
    """
    if quantity not in ("flux", "ew"):
        raise ValueError(f'quantity is {quantity!r}; expected "flux" or "ew".')
    if lines is None:
        if quantity == "ew":
            raise ValueError("equivalent widths need lines=.")
        return ["all"], slice(None), np.ones((y.shape[1], 1))
    names = [POOLED, *window_names(lines)]
    if quantity == "ew":
        widths, _ = window_widths(lines, y)
        each = np.eye(widths.shape[1])
        cols = width_pixels(widths)
    else:
        held = [window_pixels(w, y.wave, y.medium) for w in each_window(lines)]
        cols = np.flatnonzero(np.any(held, axis=0))
        each = np.array(held).T[cols].astype(float)
    return names, cols, np.column_stack([each.any(axis=1), each])


def width_pixels(widths):
    """Pixels that widths are measured over, and those beside, which bound them."""
    held = widths.any(axis=1)
    held[1:] |= held[:-1].copy()
    held[:-1] |= held[1:].copy()
    return np.flatnonzero(held)


def flux_values(y, flux, std, cols, lines=None, noise="add"):
    """Yield the pixels `cols` of observed and predicted spectra, block by block."""
    flux, std = (checked_prediction(y, a) for a in (flux, std))
    missed, observed = 0, 0
    n_rows = max(1, BLOCK // max(1, y.shape[1]))
    for rows, block in y[:, cols].iter_blocks(n_rows):
        predicted, stated = (np.asarray(a[rows])[:, cols] for a in (flux, std))
        _check_std(stated)
        seen = block.valid()
        used = seen & np.isfinite(predicted) & ~np.isnan(stated)
        missed += int((seen & ~used).sum())
        observed += int(seen.sum())
        yield Values(
            rows,
            np.where(used, block.flux, 0).astype(float),
            _error_of(block, used, noise),
            np.where(used, predicted, 0).astype(float),
            np.where(used, stated, 1).astype(float),
            used,
        )
    if missed > (TOLERATED_GAPS * observed if lines is None else 0):
        raise UncoveredError(
            f"the prediction or its standard deviation is NaN in {missed} pixels that "
            "y_true observes. Coverage of fewer pixels could not be compared: predict "
            "these windows, or leave them out of lines=."
        )


def width_values(y, translated, cols, lines, noise="add", noise_correlation=0.0):
    """Yield equivalent widths of observed and translated spectra, block by block.

    Both are measured over the pixels that the observed spectrum has.
    """
    if not isinstance(translated, Spectra) or translated.covariance is None:
        raise ValueError(
            "equivalent widths of predicted spectra have an error only with the "
            "covariance of the flux: give flux=specxfer.translate(model, X), std=None."
        )
    checked_prediction(y, translated)
    inside = window_widths(lines, y)[0][cols].any(axis=1)
    for rows, block in y[:, cols].iter_blocks(256):
        good = block.valid()
        part = translated[rows][:, cols].load()
        lost = good & inside & ~np.isfinite(part.flux)
        if lost.any():
            raise UncoveredError(
                f"the prediction is NaN in {int(lost.sum())} pixels of these lines "
                "that y_true observes: predict these windows, or leave them out of "
                "lines=."
            )
        part = part.replace(flux=np.where(good, part.flux, np.nan), ivar=None)
        ew, error = equivalent_width(block, lines, noise_correlation=noise_correlation)
        predicted, std = equivalent_width(part, lines)
        used = np.isfinite(ew)
        if noise == "none":
            error = np.zeros_like(ew)
        yield Values(
            rows,
            *(np.where(used, a, 0) for a in (ew, error, predicted)),
            np.where(used, std, 1),
            used,
        )


def checked_std(flux, std):
    """The stated standard deviation; that of a translation where there is none."""
    if std is not None:
        return std
    if isinstance(flux, Spectra) and flux.has_noise:
        return _FromIvar(flux)
    raise ValueError(
        "no standard deviation: give std=, or the Spectra of specxfer.translate as "
        "flux."
    )


class _FromIvar:
    """Standard deviations of spectra, of the rows that are asked for."""

    def __init__(self, spectra):
        self.spectra, self.shape = spectra, spectra.shape

    def __getitem__(self, rows):
        ivar = self.spectra[rows].load().ivar
        std = np.full(ivar.shape, np.nan, ivar.dtype)
        return np.divide(1, np.sqrt(ivar), out=std, where=ivar > 0)


def _error_of(block, used, noise):
    error = np.zeros(used.shape)
    if noise == "add":
        np.divide(1.0, np.sqrt(block.ivar), out=error, where=used)
    return error


def _check_std(std):
    if (std < 0).any():
        raise ValueError(
            f"std is negative in {int((std < 0).sum())} pixels: expected standard "
            "deviations, 0 or more."
        )
