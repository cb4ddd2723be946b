"""`counterfactual_test`: the same stars, one abundance changed."""

import astropy.units as u
import numpy as np

from specxfer._compositions import predict_like
from specxfer.lines import window_names
from specxfer.metrics._equivalent_width import equivalent_width, window_widths
from specxfer.metrics._sums import Sums, UncoveredError, mean_over_stars
from specxfer.validation._per_star import (
    as_table,
    checked_lines,
    checked_pairs,
    fill,
    over_stars,
)

__all__ = ["counterfactual_test"]

BLOCK_ROWS = 512


def counterfactual_test(
    model,
    before,
    after,
    lines,
    *,
    domains=None,
    min_change=0.5,
    confidence=0.95,
    groups=None,
):
    """How far predicted lines follow when one abundance of a star is changed.

    In a survey abundances change together, and a translator that guesses one from the
    others is right about most stars. Here everything else stays: a line that follows
    is measured, a line that does not was guessed. Needs spectra that are computed:
    ``make_paired_spectra(shift=...)`` or a grid of synthetic spectra.

    Parameters
    ----------
    model : estimator
        A fitted translator, or any composition around one, or any fitted regressor.
    before, after : (X, truth)
        Source spectra and the noise-free target spectra of the same stars, in the same
        order, before and after the change. Noise of X should be the same in both.
    lines : Line, (lo, hi) in Å, or list of these
        The windows in the target.
    domains : dict of str to bool array of shape (n_spectra,), or Table, optional
        As in `null_test`.
    min_change : float, default=0.5
        mÅ; a line whose true change is smaller than this (rms) has slope NaN.
    confidence : float, default=0.95
        Of the t interval over stars.
    groups : array-like of shape (n_spectra,), optional
        The star of each row; by default the ids.

    Returns
    -------
    QTable
        A row for each line and domain. ``n_stars``; ``rms_true`` and
        ``rms_predicted``, the rms change of the equivalent width (mÅ); ``slope`` of
        the predicted change against the true one, through the origin, with
        ``slope_lo`` and ``slope_hi``: 1 if the line follows, 0 if it does not.

    Raises
    ------
    ValueError
        If the pairs are not the same stars on the same grid, or the model leaves out
        pixels of the lines.

    Notes
    -----
    slope = Σ Δp Δt / Σ Δt², with the error of a ratio of sums over independent stars
    (the sandwich estimate, which stands for any scatter about the line).

    A slope below 1 is no fault where the source tells little: see
    `specxfer.metrics.slope_table`. A slope at a line of an element that was *not*
    changed cannot arise where the spectrum of the source stays the same.

    References
    ----------
    White, H. 1980, Econometrica 48, 817 (errors that stand for any scatter).

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import counterfactual_test
    >>> X, y, truth = make_paired_spectra(100, size="small", random_state=0)
    >>> model = PCARidge(10).fit(X, y)
    >>> X_ba, _, truth_ba = make_paired_spectra(100, size="small", random_state=0,
    ...                                         shift={"ba_fe": 0.3})
    >>> found = counterfactual_test(model, (X, truth), (X_ba, truth_ba),
    ...                             load_lines("galah", names="Ba II 6497"))
    >>> found["line", "domain", "rms_predicted", "slope"].pprint()  # it cannot know
       line    domain rms_predicted slope
                        mAngstrom
    ---------- ------ ------------- -----
    Ba II 6497  giant          0.00  0.00
    Ba II 6497  dwarf          0.00  0.00
    """
    lines = checked_lines(lines)
    (X, truth), (X_after, truth_after) = before, after
    domains, stars = checked_pairs(X, truth, domains, groups)
    if len(X_after) != len(X) or truth_after.shape != truth.shape:
        raise ValueError(
            f"before and after hold {truth.shape} and {truth_after.shape} target "
            f"pixels and {len(X)} and {len(X_after)} source spectra: expected the same "
            "stars on the same grid."
        )
    named = truth.ids is not None and truth_after.ids is not None
    if named and not np.array_equal(truth.ids, truth_after.ids):
        raise ValueError("before and after name different stars.")
    true = _widths(truth_after, lines) - _widths(truth, lines)
    predicted = _predicted(model, X_after, truth_after, lines)
    predicted -= _predicted(model, X, truth, lines)
    rows = []
    for domain, mask in domains.items():
        part = _domain_rows(true[mask], predicted[mask], stars[mask], min_change,
                            confidence)  # fmt: skip
        named = [{"line": name, "domain": domain} for name in window_names(lines)]
        fill(named, **part)
        rows += named
    meta = {"confidence": confidence, "min_change": min_change * u.mAA}
    return as_table(rows, lines, "ew", meta)


def _widths(spectra, lines):
    return equivalent_width(spectra.replace(ivar=None, covariance=None), lines)[0]


def _predicted(model, X, y, lines):
    """Equivalent widths of what is predicted, block by block."""
    share, _ = window_widths(lines, y)
    cols = np.flatnonzero(share.any(axis=1))
    widths = np.empty((len(y), share.shape[1]))
    for start in range(0, len(y), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        flux = np.asarray(predict_like(model, X[rows], y[rows].load()))[:, cols]
        widths[rows] = (1.0 - flux) @ share[cols]
    if not np.isfinite(widths).all():
        lost = ~np.isfinite(widths).all(axis=0)
        raise UncoveredError(
            "the prediction lacks pixels of "
            f"{[n for n, gone in zip(window_names(lines), lost) if gone]}: predict "
            "these windows, or leave them out of lines=."
        )
    return widths


def _domain_rows(true, predicted, stars, min_change, confidence):
    stars = np.unique(stars, return_inverse=True)[1]
    known = np.isfinite(true)
    true = np.where(known, true, 0)
    predicted = np.where(known, predicted, 0)
    count = known.sum(axis=0)
    sums = Sums(over_stars(predicted * true, stars), over_stars(true**2, stars))
    found = mean_over_stars(sums, np.arange(len(sums.top)), confidence)
    with np.errstate(invalid="ignore"):
        rms = [np.sqrt((a**2).sum(axis=0) / count) for a in (true, predicted)]
    changed = rms[0] >= min_change
    slopes = [np.where(changed, a, np.nan) for a in (found.mean, found.lo, found.hi)]
    return {
        "n_stars": over_stars(known, stars).astype(bool).sum(axis=0),
        "rms_true": rms[0],
        "rms_predicted": rms[1],
        "slope": slopes[0],
        "slope_lo": slopes[1],
        "slope_hi": slopes[2],
    }
