"""How often intervals hold what is observed, and where in them it lies."""

import numpy as np

from specxfer.lines import window_pixels
from specxfer.metrics import coverage, pit_histogram
from specxfer.metrics._standardised import POOLED

LEVELS = (*np.round(np.arange(0.05, 0.96, 0.05), 2), 0.99)
BINS = 20


def standardized(observed, predicted):
    """(observed − predicted) / the errors of both together, NaN where unknown.

    Parameters
    ----------
    observed, predicted : Spectra
        In memory. Observed spectra without ivar count as noise-free.

    Returns
    -------
    ndarray of shape (n, p)
    """
    used = observed.valid() & predicted.valid()
    variance = np.zeros(used.shape)
    for spectra in (observed, predicted):
        if spectra.has_noise:
            part = np.zeros(used.shape)
            np.divide(1, spectra.ivar, out=part, where=used)
            variance += part
    z = np.full(used.shape, np.nan)
    difference = observed.flux.astype(float) - predicted.flux
    np.divide(difference, np.sqrt(variance), out=z, where=used & (variance > 0))
    return z


def coverage_and_pit(blocks, y, lines, levels, domains, confidence):
    """Tables of coverage and of the probability integral transform.

    Parameters
    ----------
    blocks : iterable of (observed, predicted)
        `Spectra` of the rows of y, in order.
    y : Spectra
        What the blocks are of: its labels tell domains, its ids stars.
    lines : Line, (lo, hi) or list of these, or None
        Whose windows are looked at, together.
    levels : array-like of float
        Nominal coverage.
    domains : dict of str to bool array, Table or None
        See `specxfer.metrics.line_table`.
    confidence : float
        Of the intervals over stars.

    Returns
    -------
    coverage : Table
        Columns line, domain, n_stars, n_pixels, level, coverage, lo, hi.
    pit : Table
        Columns line, domain, n_stars, pit_lo, pit_hi, density, lo, hi.
    """
    pixels = slice(None)
    flux, std = [], []
    for _, predicted in blocks:
        if lines is not None:
            pixels = window_pixels(lines, predicted.wave, predicted.medium)
            predicted = predicted[:, pixels]
        weight = predicted.weights()
        flux.append(predicted.flux)
        std.append(1 / np.sqrt(np.where(weight > 0, weight, np.nan)))
    args = y[:, pixels], np.concatenate(flux), np.concatenate(std), lines
    options = {
        "domains": domains,
        "confidence": confidence,
        "noise": "add" if y.has_noise else "none",
    }
    together = "all" if lines is None else POOLED
    tables = (
        coverage(*args, levels=levels, **options),
        pit_histogram(*args, bins=BINS, **options),
    )
    return tuple(table[table["line"] == together] for table in tables)
