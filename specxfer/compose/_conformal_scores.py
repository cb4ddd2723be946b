"""What calibration makes of stars: their scores, and the quantiles of these."""

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_array, check_consistent_length

from specxfer._stars import star_codes
from specxfer.base import _has_pixels
from specxfer.compose._augmented import _checked
from specxfer.spectra import Spectra, as_plain

PANEL = 512  # pixels whose scores are sorted at a time


def checked_rows(X, y):
    if not isinstance(X, Spectra):
        X = _checked(X)
    if not isinstance(y, Spectra) and not hasattr(y, "iloc"):
        y = check_array(
            as_plain(y), dtype=None, ensure_all_finite=False, ensure_2d=False
        )
    check_consistent_length(X, y)
    return X, y


def rows_of(a, rows):
    return a[rows] if isinstance(a, Spectra) else _safe_indexing(a, rows)


def as_target(y):
    if isinstance(y, Spectra):
        return y
    y = np.asarray(as_plain(y), dtype=float)
    return Spectra(y.reshape(len(y), -1), wave=None, medium=None)


def chip_of(y):
    return np.zeros(y.shape[1], int) if y.wave is None else y.chip


def one_of_each_star(X, y, random):
    """One row of each star that has pixels on both sides, in order."""
    stars = star_codes(X, y)
    order = random.permutation(len(stars))
    paired = _has_pixels(y)
    paired &= _has_pixels(X) if isinstance(X, Spectra) else True
    order = order[paired[order]]
    return np.sort(order[np.unique(stars[order], return_index=True)[1]])


def score_of(difference, variance):
    """Distance in standard deviations; infinite where none is stated."""
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.abs(difference) / np.sqrt(variance)
    return np.where(difference == 0, 0, score)


def stars_needed(level):
    """Stars without which an interval is infinite."""
    n = int(np.floor(level / (1 - level)))
    while np.ceil((n + 1) * level) > n:
        n += 1
    return n


def quantiles_of(scores, member, levels):
    """The ⌈(n + 1) level⌉-th smallest score of each column and domain."""
    out = np.empty((len(member), len(levels), scores.shape[1]), np.float32)
    for found, mask in zip(out, member):
        for start in range(0, scores.shape[1], PANEL):
            cols = slice(start, start + PANEL)
            panel = np.sort(scores[mask, cols], axis=0)  # NaN last
            n = (~np.isnan(panel)).sum(axis=0)
            for k, level in enumerate(levels):
                rank = np.ceil((n + 1) * level - 1e-9).astype(int)
                enough = rank <= n
                at = np.where(enough, rank - 1, 0)
                if not len(panel):
                    found[k, cols] = np.inf
                    continue
                picked = np.take_along_axis(panel, at[None], axis=0)[0]
                found[k, cols] = np.where(enough, picked, np.inf)
    return out
