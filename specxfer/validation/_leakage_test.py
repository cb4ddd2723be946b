"""`leakage_test`: does skill at a line come from the lines that carry the element?"""

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from specxfer.lines import as_windows, load_lines, window_names, window_pixels
from specxfer.model_selection._over_folds import over_folds
from specxfer.preprocessing import WindowMasker
from specxfer.spectra import Spectra
from specxfer.validation._null_test import LABELS, null_of, skill_columns
from specxfer.validation._per_star import (
    SquaredErrors,
    as_table,
    by_domain,
    checked_lines,
    checked_pairs,
    fill,
    seeds,
)
from specxfer.validation._statistics import (
    benjamini_hochberg,
    bootstrap_sums,
    percentiles,
    sign_flip_p,
)

__all__ = ["leakage_test"]

SURVEY = "apogee"  # whose table of lines says where the source shows an element


def leakage_test(
    translator,
    X,
    y,
    lines,
    *,
    windows=None,
    elements=("Ce", "Nd", "Yb"),
    pad=1.2,
    mode="refit",
    null="labels",
    labels=LABELS,
    cv=5,
    quantity="flux",
    domains=None,
    alpha=0.05,
    n_flips=9999,
    n_bootstrap=2000,
    confidence=0.95,
    noise="subtract",
    noise_correlation=0.0,
    error_floor=None,
    continuum_degree=None,
    groups=None,
    random_state=0,
    n_jobs=None,
    verbose=0,
    resume=None,
):
    """How skill at each line falls when windows of the source are hidden.

    If what a translator knows about barium comes from the lines of its sisters, skill
    over the null is there with the Ce II, Nd II and Yb II lines of the source and gone
    without them. Skill that stays has leaked in from elsewhere: from elements that the
    null was not given, or from lines that nobody has named.

    Parameters
    ----------
    translator : estimator
        Any regressor that takes NaN for unknown pixels; cloned for each fold.
    X : Spectra of shape (n_spectra, n_pixels_in)
        Source spectra, with the labels in ``X.meta``.
    y : Spectra of shape (n_spectra, n_pixels_out)
        Target spectra of the same stars.
    lines : Line, (lo, hi) in Å, or list of these
        The windows in y.
    windows : Line, (lo, hi) in Å, or list of these, optional
        The windows of X to hide; by default those around all lines of `elements`.
    elements : sequence of str, default=("Ce", "Nd", "Yb")
        Whose lines in ``load_lines("apogee")`` are hidden, those without a window too.
    pad : float, default=1.2
        Å on either side of each line of `elements`: 1.7 times the width of APOGEE's
        line-spread function. Where the table has a wider window, that is hidden too.
    mode : {"refit", "predict"}, default="refit"
        "refit": without the windows, in training too: what can be known without
        them. "predict": fitted with them and predicting without: what this model
        takes from them.
    null, labels, cv, quantity, domains, alpha, n_flips, n_bootstrap, confidence
        As in `null_test`.
    noise, noise_correlation, error_floor, continuum_degree, groups, random_state
        As in `null_test`.
    n_jobs, verbose, resume
        As in `null_test`.

    Returns
    -------
    QTable
        A row for each line and domain. ``n_stars``; ``rms``, ``rms_masked`` and
        ``rms_null`` (signed roots, mÅ for equivalent widths); ``skill`` and
        ``skill_masked`` over the null, with ``_lo`` and ``_hi``; ``fall``, the
        difference of the two, with ``fall_lo`` and ``fall_hi``; ``p`` of the
        hypothesis that hiding does no harm, ``q`` its false discovery rate among all
        rows; ``skilful`` and ``skilful_masked``, whether either model has skill at
        that rate, as in `null_test`. ``meta["hidden"]`` has the windows hidden.

    Raises
    ------
    ValueError
        As in `null_test`; or if X shows none of the windows.

    Notes
    -----
    The interval of the fall is a percentile bootstrap over stars of
    (MSE_masked − MSE) / MSE_null, all three of the same stars. Its p-value is by
    random signs of each star's difference, in which the noise of y cancels; see
    `null_test`.

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import leakage_test
    >>> X, y, _ = make_paired_spectra(300, size="small", giant_fraction=1,
    ...                               random_state=0)
    >>> found = leakage_test(PCARidge(20), X, y, load_lines("galah", "Ce"), cv=2,
    ...                      mode="predict")
    >>> bool(found["skilful"][0]), bool(found["fall"][0] > 0.5)
    (True, True)
    """
    lines = checked_lines(lines)
    domains, stars = checked_pairs(X, y, domains, groups)
    if mode not in ("refit", "predict"):
        raise ValueError(f'mode is {mode!r}; expected "refit" or "predict".')
    hidden = hidden_windows(X, windows, elements, pad)
    options = {
        "quantity": quantity,
        "noise": noise,
        "noise_correlation": noise_correlation,
        "error_floor": error_floor,
        "continuum_degree": continuum_degree,
    }
    folds = {"cv": cv, "groups": groups, "n_jobs": n_jobs, "verbose": verbose}
    models = {"full": translator, "null": null_of(null, labels, translator, X)}
    tops, bottom = _judged(models, hidden, mode, X, y, lines, options, folds, resume)
    found = by_domain(tops, bottom, domains, stars)
    rows = []
    for domain, rng in zip(found, seeds(random_state, len(found))):
        rows += _domain_rows(domain, lines, n_flips, n_bootstrap, confidence, rng)
    table = as_table(rows, lines, quantity, {"confidence": confidence, "alpha": alpha})
    table["q"] = benjamini_hochberg(table["p"])
    table["q"].info.format = ".4f"
    for name in ("skilful", "skilful_masked"):
        q = benjamini_hochberg(table[f"p_{name}"])
        skill = table[name.replace("skilful", "skill")]
        table[name] = (q <= alpha) & (skill > 0)
        table.remove_column(f"p_{name}")
    table.meta |= {
        "null": null if isinstance(null, str) else type(null).__name__,
        "mode": mode,
        "hidden": hidden,
    }
    return table


def hidden_windows(X, windows, elements, pad):
    """The windows to hide, as (lo, hi) in the medium of X; those that X has."""
    if not isinstance(X, Spectra) or X.wave is None:
        raise ValueError(
            "X has no wavelengths to find windows by: give Spectra(flux, ivar, wave=…, "
            "medium=…)."
        )
    if windows is not None:
        windows = [tuple(window) for window in as_windows(windows, X.medium).tolist()]
        window_pixels(windows, X.wave, X.medium)  # an error if X lacks one
        return windows
    if not pad > 0:
        raise ValueError(f"pad is {pad!r}; expected more than 0 Å.")
    around = []
    for line in load_lines(SURVEY, elements, measurable=False):
        line = line.to_medium(X.medium)
        lo, hi = line.wave - pad, line.wave + pad
        if line.has_window:
            lo, hi = min(lo, line.lo), max(hi, line.hi)
        around.append((lo, hi))
    shown = [
        window
        for window in around
        if window_pixels(window, X.wave, X.medium, outside="ignore").any()
    ]
    if not shown:
        raise ValueError(
            f"X ({X.wave[0]:.0f} to {X.wave[-1]:.0f} Å) shows none of the "
            f"{len(around)} lines of {list(elements)} in the table of APOGEE: name the "
            "windows to hide with windows=."
        )
    return shown


def _judged(models, hidden, mode, X, y, lines, options, folds, resume):
    """Squared errors of full model, masked model and null; and their weights."""
    masker = WindowMasker(hidden)
    if mode == "refit":
        steps = [("masker", masker), ("translator", clone(models["full"]))]
        models["masked"] = Pipeline(steps)
        judge = SquaredErrors(lines, options)
        judged, _ = over_folds(models, X, y, judge, resume=resume, **folds)
        tops = {name: found["top"] for name, found in judged.items()}
        return tops, judged["full"]["bottom"]
    masker.fit(X[:1])
    null = {"null": models.pop("null")}
    judge = SquaredErrors(lines, options, {"masked": masker})
    judged, _ = over_folds(models, X, y, judge, resume=resume, **folds)
    judge = SquaredErrors(lines, options)
    judged |= over_folds(null, X, y, judge, resume=resume, **folds)[0]
    tops = {name: found["top"] for name, found in judged.items()}
    tops["masked"] = judged["full"]["masked_top"]
    return tops, judged["full"]["bottom"]


def _domain_rows(domain, lines, n_flips, n_bootstrap, confidence, rng):
    settings = n_flips, n_bootstrap, confidence, rng
    full = skill_columns(domain, "full", *settings)
    masked = skill_columns(domain, "masked", *settings)
    fall, lo, hi = _fall(domain, n_bootstrap, confidence, rng)
    explained = np.isnan(full["skill"])  # the null leaves nothing to explain
    p = sign_flip_p(domain.top["masked"] - domain.top["full"], n_flips, rng)
    rows = [{"line": name, "domain": domain.name} for name in window_names(lines)]
    fill(
        rows,
        n_stars=full["n_stars"],
        rms=full["rms"],
        rms_masked=masked["rms"],
        rms_null=full["rms_null"],
        **{name: full[name] for name in ("skill", "skill_lo", "skill_hi")},
        skill_masked=masked["skill"],
        skill_masked_lo=masked["skill_lo"],
        skill_masked_hi=masked["skill_hi"],
        fall=np.where(explained, np.nan, fall),
        fall_lo=np.where(explained, np.nan, lo),
        fall_hi=np.where(explained, np.nan, hi),
        p=np.where(full["n_stars"] > 1, p, np.nan),
        p_skilful=full["p"],
        p_skilful_masked=masked["p"],
    )
    return rows


def _fall(domain, n_bootstrap, confidence, rng):
    """Fall of the skill and its interval, each (n_windows,)."""
    top = np.hstack([domain.top[name] for name in ("full", "masked", "null")])

    def fall(sums):
        full, masked, null = np.split(sums, 3, axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (masked - full) / null

    draws = fall(bootstrap_sums(top, n_bootstrap, rng))
    return fall(top.sum(axis=0)), *percentiles(draws, confidence)
