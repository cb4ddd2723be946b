"""Spectra of one star, or the mean of many, with the widths of their lines."""

from typing import NamedTuple

import numpy as np
from astropy.table import Table

from specxfer.lines import window_names
from specxfer.metrics import equivalent_width
from specxfer.plotting._predictions import one_star, paired
from specxfer.spectra import as_spectra

BLOCK_ROWS = 256


class Curves(NamedTuple):
    """What a picture of lines draws, each (n_pixels,) or None."""

    flux: np.ndarray
    std: np.ndarray | None
    observed: np.ndarray | None
    observed_std: np.ndarray | None
    null: np.ndarray | None
    truth: np.ndarray | None


def curves_and_widths(blocks, lines, noise_correlation=0.0):
    """Curves of one star, or means over stars, and equivalent widths.

    Parameters
    ----------
    blocks : iterable of (observed, predicted, null, truth)
        `Spectra` of some stars each, in memory; all but the predicted may be None.
    lines : list of Line or (lo, hi)
    noise_correlation : float
        See `equivalent_width`.

    Returns
    -------
    Curves
        In a mean every pixel is that of the same stars in each curve. The noise of the
        observed averages down; the errors of predictions have parts that stars
        share, so that the mean of their standard deviations, the most that the error
        of the mean can be, stands for it.
    Table
        Columns line, observed, observed_err, predicted, predicted_err, in mÅ.
    Spectra
        Without rows, on the grid of the curves.
    """
    sums, widths, only = None, [], None
    for observed, predicted, null, truth in blocks:
        parts = observed, predicted, null, truth
        widths.append(_widths(observed, predicted, lines, noise_correlation))
        only = parts if sums is None and len(predicted) == 1 else None
        found = _summed(*parts)
        sums = found if sums is None else [_add(a, b) for a, b in zip(sums, found)]
    if sums is None:
        raise ValueError("no star to draw: rows= is empty.")
    curves = _of_one_star(*only) if only is not None else _of_the_mean(*sums)
    return curves, _mean_widths(np.concatenate(widths), lines), predicted[:0]


def row_chunks(rows, n):
    """The chosen rows, some at a time; rows is an int, a bool mask, a slice or many."""
    chosen = np.atleast_1d(np.arange(n)[rows])
    return (chosen[i : i + BLOCK_ROWS] for i in range(0, len(chosen), BLOCK_ROWS))


def on_one_grid(y_true, y_pred, std, null, truth, wave=None, medium=None):
    """The four as Spectra or None, on the grid that one of them has."""
    observed, predicted = paired(y_true, y_pred, std, wave, medium)
    if predicted.wave is None:
        raise ValueError(
            "lines are in Å and there are no wavelengths: give Spectra, or wave= and "
            "medium=."
        )
    others = [
        None if v is None else as_spectra(v, predicted.wave, predicted.medium, name)
        for v, name in ((null, "null"), (truth, "truth"))
    ]
    for other, name in zip(others, ("null", "truth")):
        if other is not None and other.shape != predicted.shape:
            raise ValueError(
                f"{name} has shape {other.shape}, y_pred {predicted.shape}: give the "
                "same stars on the same pixels."
            )
    return observed, predicted, *others


def _of_one_star(observed, predicted, null, truth):
    seen, noise = (None, None) if observed is None else one_star(observed, 0)
    flux, std = one_star(predicted, 0)
    others = [None if s is None else one_star(s, 0)[0] for s in (null, truth)]
    return Curves(flux, std, seen, noise, *others)


def _summed(observed, predicted, null, truth):
    """Sums over stars of each curve, over the pixels that all of them have."""
    used = predicted.valid()
    for other in (observed, null, truth):
        if other is not None:
            used &= other.valid()

    def total(values):
        return np.where(used, values, 0).sum(axis=0, dtype=float)

    def of(spectra, power):
        if spectra is None or not spectra.has_noise:
            return None
        sigma = np.zeros(used.shape)
        np.divide(1, np.sqrt(spectra.ivar, dtype=float), out=sigma, where=used)
        return total(sigma**power)

    fluxes = [None if s is None else total(s.flux) for s in (predicted, observed)]
    others = [None if s is None else total(s.flux) for s in (null, truth)]
    return [used.sum(axis=0), *fluxes, of(predicted, 1), of(observed, 2), *others]


def _add(a, b):
    return None if a is None or b is None else a + b


def _of_the_mean(n, flux, observed, std, variance, null, truth):
    def mean(total):
        if total is None:
            return None
        return np.divide(total, n, where=n > 0, out=np.full(len(n), np.nan))

    noise = None if variance is None else mean(np.sqrt(variance))
    return Curves(mean(flux), mean(std), mean(observed), noise, mean(null), mean(truth))


def _widths(observed, predicted, lines, noise_correlation):
    """Observed and predicted width and error, (n, m, 4), NaN where unknown."""
    widths = np.full((len(predicted), len(lines), 4), np.nan)
    if observed is not None:
        found = equivalent_width(observed, lines, noise_correlation=noise_correlation)
        widths[..., 0], widths[..., 1] = found
    widths[..., 2], error = equivalent_width(predicted, lines)
    if predicted.covariance is not None:  # from the variances alone it is too small
        widths[..., 3] = error
    return widths


def _mean_widths(widths, lines):
    seen = np.isfinite(widths[..., 0]) | ~np.isfinite(widths[..., 0]).any()
    used = seen & np.isfinite(widths[..., 2])
    n = used.sum(axis=0)
    scale = np.divide(1.0, n, where=n > 0, out=np.full(len(n), np.nan))
    widths = np.where(used[..., None], widths, 0)
    ew, error, predicted, spread = np.moveaxis(widths, 2, 0)
    table = Table({"line": window_names(lines), "n_stars": n})
    table["observed"] = ew.sum(axis=0) * scale
    table["observed_err"] = np.sqrt((error**2).sum(axis=0)) * scale
    table["predicted"] = predicted.sum(axis=0) * scale
    table["predicted_err"] = spread.sum(axis=0) * scale
    for name in table.colnames[2:]:
        table[name].unit, table[name].format = "mÅ", ".1f"
    return table
