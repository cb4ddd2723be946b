"""Tests and intervals from a few numbers per star: no model is fitted again."""

import numpy as np

BLOCK = 2**22  # random numbers held at a time


def sign_flip_p(difference, n_flips, rng):
    """One-sided p-values of a mean above 0, by random signs of each star's value.

    Parameters
    ----------
    difference : ndarray of shape (n_stars, m)
    n_flips : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (m,)
        (1 + number of flips with a sum as large) / (1 + n_flips). The same signs serve
        all m columns.
    """
    n = len(difference)
    total = difference.sum(axis=0)
    rounding = 1e-12 * np.abs(difference).sum(axis=0)
    reached = np.zeros(difference.shape[1])
    step = max(1, BLOCK // max(1, n))
    for start in range(0, n_flips, step):
        rows = min(step, n_flips - start)
        positive = _coins(rng, rows, n)
        flipped = 2 * (positive @ difference) - total
        reached += (flipped >= total - rounding).sum(axis=0)
    return (1 + reached) / (1 + n_flips)


def _coins(rng, rows, n):
    """0 or 1, as floats, of shape (rows, n)."""
    drawn = rng.integers(0, 256, (rows, -(-n // 8)), dtype=np.uint8)
    return np.unpackbits(drawn, axis=1, count=n).astype(float)


def bootstrap_sums(values, n_bootstrap, rng):
    """Sums over stars drawn with replacement.

    Parameters
    ----------
    values : ndarray of shape (n_stars, m)
    n_bootstrap : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (n_bootstrap, m)
        The same draws serve all m columns, so that ratios and differences of them are
        those of the same stars.
    """
    n = len(values)
    drawn = np.empty((n_bootstrap, values.shape[1]))
    step = max(1, BLOCK // max(1, n))
    for start in range(0, n_bootstrap, step):
        rows = slice(start, min(start + step, n_bootstrap))
        size = rows.stop - start
        star = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        count = np.bincount(star.ravel(), minlength=size * n).reshape(size, n)
        drawn[rows] = count.astype(float) @ values
    return drawn


def percentiles(draws, confidence):
    """Ends of the central interval of draws, each (m,); NaN where a draw is NaN."""
    tail = (1 - confidence) / 2
    return np.quantile(draws, [tail, 1 - tail], axis=0)


def bootstrap_skill(top, top_null, n_bootstrap, confidence, rng):
    """Skill over a null, 1 − Σ top / Σ top_null, and its interval over stars.

    Parameters
    ----------
    top, top_null : ndarray of shape (n_stars, m)
        Weighted squared errors of model and null, the weights being the same.
    n_bootstrap : int
    confidence : float
    rng : numpy.random.Generator

    Returns
    -------
    skill, lo, hi : ndarray of shape (m,)
    """
    m = top.shape[1]
    drawn = bootstrap_sums(np.hstack([top, top_null]), n_bootstrap, rng)
    with np.errstate(invalid="ignore", divide="ignore"):
        skill = 1 - top.sum(axis=0) / top_null.sum(axis=0)
        lo, hi = percentiles(1 - drawn[:, :m] / drawn[:, m:], confidence)
    return skill, lo, hi


def benjamini_hochberg(p):
    """p-values adjusted for how many there are: the false discovery rate of each.

    Parameters
    ----------
    p : array-like of shape (m,)
        NaN where there was nothing to test.

    Returns
    -------
    ndarray of shape (m,)
        The smallest rate at which each would be among the discoveries.

    References
    ----------
    Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57, 289.
    """
    p = np.asarray(p, dtype=float)
    q = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return q
