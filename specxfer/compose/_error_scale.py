"""By how much errors differ from what was stated, told from noisy observations.

An observed flux less a predicted one is the error of the prediction plus noise, whose
size is known. What is left of the scatter when the noise is taken off is the error's.
"""

from itertools import pairwise

import numpy as np

WIDTH = 16  # pixels of a group, at most
SMALLEST = 0.1  # factor that stated errors are shrunk by, at most


def groups_of(chip, held=()):
    """Runs of neighbouring pixels that share a factor.

    Parameters
    ----------
    chip : ndarray of int of shape (p,)
    held : sequence of ndarray of bool of shape (p,)
        The pixels of each window; no run crosses an edge of one.

    Returns
    -------
    start : ndarray of int of shape (n_groups,)
        The first pixel of each.
    """
    edge = np.ones(len(chip), bool)
    edge[1:] = np.diff(chip) != 0
    for window in held:
        edge[1:] |= window[1:] != window[:-1]
    edges = np.r_[np.flatnonzero(edge), len(chip)]
    parts = []
    for lo, hi in pairwise(edges):
        n = -(-(hi - lo) // WIDTH)
        parts.append(lo + np.arange(n) * (hi - lo) // n)
    return np.concatenate(parts)


def excess_sums(difference, std, noise, used):
    """Terms of the squared factor's numerator and denominator.

    Parameters
    ----------
    difference, std, noise : ndarray of shape (n, m)
        Observed minus predicted, its stated error, and the variance of the observed.
    used : ndarray of bool of shape (n, m)

    Returns
    -------
    top, bottom : ndarray of shape (n, m)
        With Σ top / Σ bottom the squared ratio of error and stated error. Each term is
        weighted by its own expected variance, so that stars of strong lines, whose
        errors are large, do not decide alone.
    """
    variance = np.where(used, std, 0).astype(float) ** 2
    noise = np.where(used, noise, 0)
    squared = np.where(used, difference, 0).astype(float) ** 2
    total = np.where(used, variance + noise, 1)
    weight = 1 / np.maximum(total, np.finfo(float).tiny)
    return weight * (squared - noise), weight * variance


def error_factors(top, bottom):
    """Root mean square of error over stated error, of each group.

    Groups are drawn to what all have together, as far as the scatter from star to star
    leaves them uncertain and they differ by no more than that.

    Parameters
    ----------
    top, bottom : ndarray of shape (n, n_groups)
        Of each star, as `excess_sums` gives them.

    Returns
    -------
    ndarray of shape (n_groups,)
        1 where nothing is known.

    References
    ----------
    DerSimonian & Laird 1986, Controlled Clinical Trials 7, 177 (shrinkage to a mean).
    """
    total = bottom.sum(axis=0)
    if not total.sum() > 0:
        return np.ones(len(total))
    mean = top.sum() / total.sum()
    known = total > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(known, top.sum(axis=0) / total, mean)
        error = ((top - each * bottom) ** 2).sum(axis=0) / total**2
    error = np.where(known, np.maximum(error, 1e-12), np.inf)
    between = 0.0
    if known.sum() > 1 and len(top) > 1:
        weight = total[known] ** 2  # not by the errors: these follow the estimates
        spread = weight * ((each[known] - mean) ** 2 - error[known])
        between = max(spread.sum() / weight.sum(), 0)
    square = mean + between / (between + error) * (each - mean)
    return np.sqrt(np.maximum(square, SMALLEST**2))
