"""How often intervals hold what is observed, and where in them it lies."""

import numpy as np
from astropy.table import Table
from scipy.special import ndtr, ndtri

from specxfer._stars import star_codes
from specxfer.lines import window_pixels
from specxfer.metrics._compare import _checked_domains
from specxfer.metrics._sums import Sums, mean_over_stars

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
    levels = np.asarray(levels, dtype=float)
    if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"levels are {levels}; expected shares between 0 and 1.")
    limits = ndtri(0.5 + levels / 2)
    held, binned, n = [], [], []
    for observed, predicted in blocks:
        if lines is not None:
            pixels = window_pixels(lines, predicted.wave, predicted.medium)
            observed, predicted = observed[:, pixels], predicted[:, pixels]
        z = standardized(observed, predicted)
        known = np.isfinite(z)
        held.append(np.stack([(np.abs(z) < k).sum(axis=1) for k in limits], axis=1))
        at = np.minimum((ndtr(z) * BINS), BINS - 1)
        binned.append(np.stack([(known & (np.floor(at) == b)).sum(axis=1)
                                for b in range(BINS)], axis=1))  # fmt: skip
        n.append(known.sum(axis=1))
    held, binned, n = (
        np.concatenate(parts).astype(float) for parts in (held, binned, n)
    )
    stars = star_codes(y)
    coverage, pit = [], []
    for domain, rows in _checked_domains(domains, y).items():
        if not n[rows].any():
            continue
        codes = np.unique(stars[rows], return_inverse=True)[1]
        found = _over_stars(held[rows], n[rows], codes, confidence)
        base = {
            "line": "all" if lines is None else "all windows",
            "domain": domain,
            "n_stars": int(found.n_stars[0]),
            "n_pixels": int(n[rows].sum()),
        }
        coverage += [
            {**base, "level": level, "coverage": c, "lo": lo, "hi": hi}
            for level, c, lo, hi in zip(levels, found.mean, found.lo, found.hi)
        ]
        found = _over_stars(binned[rows], n[rows], codes, confidence)
        del base["n_pixels"]
        pit += [
            {
                **base,
                "pit_lo": b / BINS,
                "pit_hi": (b + 1) / BINS,
                "density": BINS * d,
                "lo": BINS * lo,
                "hi": BINS * hi,
            }
            for b, (d, lo, hi) in enumerate(zip(found.mean, found.lo, found.hi))
        ]
    if not coverage:
        raise ValueError(
            "no pixel is both observed and predicted with its error: nothing to judge."
        )
    return Table(coverage), Table(pit)


def _over_stars(counts, n, stars, confidence):
    bottom = np.repeat(n[:, None], counts.shape[1], axis=1)
    return mean_over_stars(Sums(counts, bottom), stars, confidence)
