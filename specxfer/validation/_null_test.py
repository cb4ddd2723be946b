"""`null_test`: has a translator learnt more than its null, line by line?"""

import numpy as np

from specxfer.baselines import NullTranslator
from specxfer.baselines._null_translator import read_labels
from specxfer.lines import window_names
from specxfer.metrics._errors import signed_root
from specxfer.metrics._sums import Sums, mean_over_stars
from specxfer.model_selection._over_folds import over_folds
from specxfer.spectra import as_spectra
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
    bootstrap_skill,
    sign_flip_p,
)

__all__ = ["null_test"]

LABELS = ("teff", "logg", "fe_h", "alpha_fe")


def null_test(
    translator,
    X,
    y,
    lines,
    *,
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
    """Skill of a translator over a null at each line, and whether it is chance.

    Barium can be guessed from iron: a translator that does so has a small error and
    has learnt nothing about barium. Skill is counted from a null that knows what could
    be known without the line's own information: 1 − MSE/MSE_null, 0 if the translator
    is no better, 1 if it is perfect. Translator and null are fitted on the same stars
    and judged on others.

    Parameters
    ----------
    translator : estimator
        Any regressor; cloned for each fold.
    X : Spectra or array-like of shape (n_spectra, n_pixels_in)
        Source spectra, with the labels in ``X.meta``.
    y : Spectra of shape (n_spectra, n_pixels_out)
        Target spectra of the same stars.
    lines : Line, (lo, hi) in Å, or list of these
        The windows in y.
    null : str or estimator, default="labels"
        A strategy of `specxfer.baselines.NullTranslator`, or any regressor. For
        "shuffled" the estimator that it trains on permuted pairs is `translator`.
    labels : sequence of str
        Columns of ``X.meta`` for strategies that use labels. Give all that the
        translator could have guessed the line from.
    cv : int, splitter or iterable of (train, test), default=5
        See `specxfer.model_selection.check_star_cv`; folds are of stars.
    quantity : {"flux", "ew"}, default="flux"
        Errors of the flux in the window, or of the equivalent width.
    domains : dict of str to bool array of shape (n_spectra,), or Table, optional
        As in `specxfer.metrics.line_table`; by default giants and dwarfs apart, by the
        labels of y or else of X.
    alpha : float, default=0.05
        False discovery rate of `skilful`.
    n_flips : int, default=9999
        Random signs for the p-values.
    n_bootstrap : int, default=2000
        Draws for the intervals.
    confidence : float, default=0.95
        Of the intervals.
    noise, noise_correlation, error_floor, continuum_degree
        As in `specxfer.metrics.line_table`.
    groups : array-like of shape (n_spectra,), optional
        The star of each row; by default the ids of X or y.
    random_state : int, RandomState instance or None, default=0
        Of signs and draws.
    n_jobs : int, optional
        Processes; each fits one model at a time.
    verbose : int, default=0
        Above 0: shows a progress bar.
    resume : str or path, optional
        A folder that keeps the result of each fit, for a later call to go on from.

    Returns
    -------
    QTable
        A row for each line and domain. ``n_stars``; ``rms`` and ``rms_null``, signed
        roots of the noise-corrected mean squares (mÅ for equivalent widths);
        ``skill`` with ``skill_lo`` and ``skill_hi``, NaN where the null's own error is
        not significantly above 0, so that there is nothing to explain; ``p``, and
        ``q``, its false discovery rate among all rows; ``skilful``, True where q ≤
        `alpha` and skill > 0.

    Raises
    ------
    ValueError
        If labels, noise or wavelengths are missing, or a model leaves out pixels of
        the lines.

    Notes
    -----
    *Skill*: both mean squares are ratios of sums over stars, several spectra of a star
    being one draw, with the noise of y taken off. The interval is the percentile
    bootstrap over stars, of the same stars for both.

    *p-value*: of the hypothesis that the translator is no better. The difference of
    the squared errors of null and translator, summed for each star, has no noise to
    take off: what y adds is the same in both. If neither is better its sign is a coin,
    so the sum over stars is compared with sums under random signs, without a refit.
    That is the test of the studentised mean: it is a growing function of the sum for
    a given sum of squares, which signs do not change. Signs are the same for all lines.

    Training stars are shared by the folds; like any test on cross-validated errors,
    this one is of the models as fitted to samples of this size. A null that is short
    of stars or not flexible enough is beaten by chance: try several.

    References
    ----------
    Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57, 289; Efron & Tibshirani 1993, An
    Introduction to the Bootstrap; Fisher 1935, The Design of Experiments, section 21
    (random signs); Mead et al. 2025 and Ting 2024, arXiv:2412.05806 (abundances that
    other abundances predict).

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import null_test
    >>> X, y, _ = make_paired_spectra(300, size="small", giant_fraction=1,
    ...                               random_state=0)
    >>> found = null_test(PCARidge(20), X, y, load_lines("galah", names="Ce II 4774"),
    ...                   null="mean", cv=2)
    >>> found["line", "n_stars", "skilful"].pprint()
       line    n_stars skilful
    ---------- ------- -------
    Ce II 4774     300    True
    """
    lines = checked_lines(lines)
    domains, stars = checked_pairs(X, y, domains, groups)
    options = {
        "quantity": quantity,
        "noise": noise,
        "noise_correlation": noise_correlation,
        "error_floor": error_floor,
        "continuum_degree": continuum_degree,
    }
    models = {"model": translator, "null": null_of(null, labels, translator, X)}
    judged, _ = over_folds(
        models, X, y, SquaredErrors(lines, options), cv=cv, groups=groups,
        n_jobs=n_jobs, verbose=verbose, resume=resume,
    )  # fmt: skip
    tops = {name: found["top"] for name, found in judged.items()}
    found = by_domain(tops, judged["model"]["bottom"], domains, stars)
    rows = []
    for domain, rng in zip(found, seeds(random_state, len(found))):
        rows += _domain_rows(domain, lines, n_flips, n_bootstrap, confidence, rng)
    table = as_table(rows, lines, quantity, {"confidence": confidence, "alpha": alpha})
    table["q"] = benjamini_hochberg(table["p"])
    table["q"].info.format = ".4f"
    table["skilful"] = (table["q"] <= alpha) & (table["skill"] > 0)
    table.meta |= {"null": null if isinstance(null, str) else type(null).__name__}
    return table


def null_of(null, labels, translator, X):
    """The null as an estimator, once X is seen to have its labels."""
    if isinstance(null, str):
        settings = {} if null == "mean" else {"labels": list(labels)}
        if null == "shuffled":
            settings["estimator"] = translator
        null = NullTranslator(null, **settings)
    if isinstance(null, NullTranslator) and null.labels is not None:
        read_labels(as_spectra(X), null.labels)  # an error before the fits, not after
    return null


def skill_columns(domain, model, n_flips, n_bootstrap, confidence, rng):
    """Error, skill over the null with its interval, and p, each (n_windows,)."""
    top, top_null = domain.top[model], domain.top["null"]
    of_model = mean_squares(domain, model, confidence)
    of_null = mean_squares(domain, "null", confidence)
    skill = bootstrap_skill(top, top_null, n_bootstrap, confidence, rng)
    skill, lo, hi = (np.where(of_null.lo > 0, a, np.nan) for a in skill)
    p = sign_flip_p(top_null - top, n_flips, rng)
    return {
        "n_stars": of_model.n_stars,
        "rms": signed_root(of_model.mean),
        "rms_null": signed_root(of_null.mean),
        "skill": skill,
        "skill_lo": lo,
        "skill_hi": hi,
        "p": np.where(of_model.n_stars > 1, p, np.nan),
    }


def mean_squares(domain, model, confidence):
    """Mean squared error of a model with its t interval."""
    sums = Sums(domain.top[model], domain.bottom)
    return mean_over_stars(sums, np.arange(len(domain.bottom)), confidence)


def _domain_rows(domain, lines, n_flips, n_bootstrap, confidence, rng):
    columns = skill_columns(domain, "model", n_flips, n_bootstrap, confidence, rng)
    rows = [{"line": name, "domain": domain.name} for name in window_names(lines)]
    fill(rows, **columns)
    return rows
