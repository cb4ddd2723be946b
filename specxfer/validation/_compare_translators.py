"""Translators side by side: how good, how honest, how expensive."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from astropy.table import QTable

from specxfer._compositions import predict_like, predict_std, resolution_of
from specxfer._stars import star_codes
from specxfer.baselines import NullTranslator
from specxfer.lines import window_names
from specxfer.metrics import signed_root
from specxfer.metrics._compare import _checked_domains
from specxfer.metrics._sums import (
    Sums,
    UncoveredError,
    _window_shares,
    known_truth,
    mean_over_stars,
    squared_sums,
)
from specxfer.model_selection._over_folds import over_folds
from specxfer.spectra import Spectra
from specxfer.validation._markdown import to_markdown

__all__ = ["Comparison", "compare_translators"]

LABELS = ("teff", "logg", "fe_h", "alpha_fe")
NOMINAL = (1.0, 2.0)  # standard deviations: 68.3 and 95.4%


def compare_translators(
    translators,
    X,
    y,
    lines,
    *,
    cv=5,
    null=None,
    noise="subtract",
    error_floor=None,
    continuum_degree=None,
    domains=None,
    confidence=0.95,
    groups=None,
    n_jobs=None,
    verbose=0,
    resume=None,
):
    """Cross-validate translators over the same stars, line by line.

    Every star is predicted by models that never saw it nor a repeat of it. Spectra are
    judged in blocks as they are predicted and only sums over the windows are kept, so
    the comparison takes no more memory than the largest fit.

    Parameters
    ----------
    translators : dict of str to estimator
        Translators, or any regressors of many outputs; Pipelines and searches too.
    X : Spectra or array-like of shape (n, n_pixels_in)
    y : Spectra of shape (n, n_pixels_out)
        With ivar, unless ``noise="none"``.
    lines : Line, (lo, hi) in Å, or list of these
        The windows.
    cv : int, splitter or iterable of (train, test), default=5
        See `specxfer.model_selection.check_star_cv`.
    null : estimator, optional
        What must be beaten. By default `NullTranslator` on the labels that X.meta has
        of ``teff, logg, fe_h, alpha_fe``, or on the mean spectrum where it has none.
    noise, error_floor, continuum_degree
        As in `specxfer.metrics.mse`.
    domains : dict of str to bool array of shape (n,), or Table, optional
        As in `specxfer.metrics.line_table`: giants and dwarfs where labels tell.
    confidence : float, default=0.95
        Of the intervals.
    groups : array-like of shape (n,), optional
        The star of each row; by default the ids.
    n_jobs : int, optional
        Processes that fit at the same time, each with one model in memory.
    verbose : int, default=0
        Above 0: shows a progress bar.
    resume : str or path, optional
        Folder in which every fit's result is kept, and found again by a later call
        with the same models, folds and data.

    Returns
    -------
    Comparison
        With `table` (a row for each model, line and domain), `summary` (a row for
        each model) and `to_markdown`.

    Raises
    ------
    ValueError
        If y has no noise to take off, or a model leaves a window unpredicted.

    Notes
    -----
    The skill is ``1 − MSE / MSE_null`` with the noise taken off both, and its interval
    that of a ratio of sums over stars, to first order; NaN where the null's error
    cannot be told from 0. Coverage is that of the *observed* flux, with the standard
    deviation of the model and the known noise of y added in quadrature, over the pixels
    of a window; 68.3 and 95.4% are nominal. With ``noise="none"`` y is taken for the
    truth.

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import compare_translators
    >>> X, y, _ = make_paired_spectra(120, size="small", random_state=0)
    >>> found = compare_translators(
    ...     {"5": PCARidge(5), "20": PCARidge(20)}, X, y,
    ...     load_lines("galah", names="Ba II 6497"), cv=2,
    ... )
    >>> found.summary["model"].tolist()
    ['5', '20', 'null']
    """
    y = known_truth(y, noise)
    names = [*window_names(lines)]
    models = dict(translators)
    if not models:
        raise ValueError("no translators: give {name: estimator}.")
    if "null" in models:
        raise ValueError(
            'the name "null" is that of the null: give null=estimator, or another name.'
        )
    models["null"] = _default_null(X) if null is None else null
    judge = LineJudge(lines, noise, error_floor, continuum_degree)
    judged, folds = over_folds(
        models,
        X,
        y,
        judge,
        cv=cv,
        groups=groups,
        n_jobs=n_jobs,
        verbose=verbose,
        resume=resume,
    )
    tested = np.sort(np.concatenate([fold.test for fold in folds["null"]]))
    stars = star_codes(X, y, groups)[tested]
    judged = {
        model: {key: rows[tested] for key, rows in values.items()}
        for model, values in judged.items()
    }
    masks = _checked_domains(domains, y)
    everywhere = ["all"] if _predict_all(judged) else []
    rows = []
    for domain, mask in masks.items():
        for name in models:
            of_domain = _domain_rows(
                judged, name, mask[tested], stars, [*everywhere, *names], confidence
            )
            rows += [{"model": name, "domain": domain, **row} for row in of_domain]
    order = {name: i for i, name in enumerate([*everywhere, *names])}
    rows.sort(key=lambda row: order[row["line"]])  # stable: models, domains in order
    table = _formatted(QTable(rows))
    return Comparison(table, _summary(table, judged, folds, masks, names))


@dataclass(frozen=True)
class Comparison:
    """What `compare_translators` found.

    Parameters
    ----------
    table : QTable
        A row for each model, line and domain; the line "all" is over all pixels, if
        every model predicts them. Columns ``model``, ``line``, ``domain``,
        ``n_stars``; ``rms``, the noise-corrected error of the flux (signed root of the
        mean square), and ``rms_null`` with it; ``skill``; ``ew_rms``, that of
        equivalent widths, mÅ; ``coverage_68`` and ``coverage_95``, NaN for models that
        do not state their errors. Intervals as ``_lo`` and ``_hi``.
    summary : QTable
        A row for each model: means over lines for each domain, ``fit_time`` (s per
        fit), ``predict_time`` (s per 1,000 stars, with errors where they are known),
        ``memory`` (MiB, the most that a fit or its predictions took) and ``size``
        (MiB, pickled).

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from specxfer.validation import Comparison
    >>> found = Comparison(QTable({"model": ["a"], "rms": [0.01]}), QTable())
    >>> print(found.to_markdown("table"))
    | model | rms |
    |---|---|
    | a | 0.01 |
    """

    table: QTable
    summary: QTable

    def to_markdown(self, which="summary"):
        """One of the tables as Markdown.

        Parameters
        ----------
        which : {"summary", "table"}, default="summary"

        Returns
        -------
        str
        """
        if which not in ("summary", "table"):
            raise ValueError(f'which is {which!r}; expected "summary" or "table".')
        return to_markdown(getattr(self, which))

    def __repr__(self):
        return f"<Comparison of {len(self.summary)} models>\n{self.summary}"


@dataclass(frozen=True)
class LineJudge:
    """Sums over the windows of a block of predictions, for `over_folds`."""

    lines: object
    noise: str = "subtract"
    error_floor: float | None = None
    continuum_degree: int | None = None

    def __call__(self, model, X, y):
        """Errors and coverage of each spectrum of a block."""
        start = perf_counter()
        flux, std = _predicted(model, X, y)
        seconds = perf_counter() - start
        options = {
            "noise": self.noise,
            "continuum_degree": self.continuum_degree,
        }
        found = {"seconds": np.full(len(y), seconds / len(y))}
        floors = {"flux": self.error_floor, "ew": None}
        for quantity, floor in floors.items():
            sums = squared_sums(
                y, flux, self.lines, quantity=quantity, error_floor=floor, **options
            )
            found[quantity] = np.stack(sums, axis=1)
        try:
            sums = squared_sums(y, flux, error_floor=self.error_floor, **options)
            found["all"] = np.stack(sums, axis=1)
        except UncoveredError:
            found["all"] = np.full((len(y), 2, 1), np.nan)
        found["inside"] = self._inside(y, flux, std)
        return found

    def _inside(self, y, flux, std):
        """Pixels within each number of deviations, and all of them; (n, 3, windows)."""
        share, _ = _window_shares(y, self.lines, "flux")
        cols = np.flatnonzero(share.any(axis=1))
        share = share[cols]
        if std is None:
            return np.full((len(y), len(NOMINAL) + 1, share.shape[1]), np.nan)
        part = y[:, cols]
        used = part.valid()
        variance = std[:, cols].astype(float) ** 2
        if self.noise == "subtract":
            variance += np.divide(1.0, part.ivar, where=used, out=np.zeros(used.shape))
        left = np.where(used, part.flux - flux[:, cols], 0)
        counts = [(used & (left**2 < k**2 * variance)) @ share for k in NOMINAL]
        return np.stack([*counts, used @ share], axis=1)


def _predicted(model, X, y):
    """Flux at the resolving power of y, and its standard deviation if it is known."""
    try:
        return predict_std(model, X, resolution=resolution_of(model, y))
    except (TypeError, NotImplementedError):
        flux = np.asarray(predict_like(model, X, y))
        return flux.reshape(len(y), -1), None


def _default_null(X):
    columns = X.meta.colnames if isinstance(X, Spectra) and X.meta is not None else []
    labels = [name for name in (*LABELS, "alpha") if name in columns]  # once its name
    return NullTranslator("labels", labels=labels) if labels else NullTranslator()


def _predict_all(judged):
    return all(np.isfinite(values["all"]).all() for values in judged.values())


def _domain_rows(judged, model, mask, stars, names, confidence):
    stars = np.unique(stars[mask], return_inverse=True)[1]
    own, null = (_sums(judged[name], mask, names) for name in (model, "null"))
    found = mean_over_stars(own, stars, confidence)
    of_null = mean_over_stars(null, stars, confidence)
    ratio = mean_over_stars(Sums(own.top, null.top), stars, confidence)
    told = of_null.lo > 0
    with np.errstate(invalid="ignore"):
        skill = [np.where(told, 1 - r, np.nan) for r in (ratio.mean, *ratio[2:0:-1])]
    widths = Sums(*np.moveaxis(judged[model]["ew"][mask], 1, 0))
    widths = mean_over_stars(widths, stars, confidence)
    inside = judged[model]["inside"][mask].sum(axis=0)
    with np.errstate(invalid="ignore"):
        inside = inside[:-1] / inside[-1]
    ahead = len(names) - len(widths.mean)  # the row over all pixels has no widths
    rows = []
    for i, name in enumerate(names):
        line = i - ahead
        row = {"line": name, "n_stars": int(found.n_stars[i])}
        for end, value in zip(("", "_lo", "_hi"), found):
            row[f"rms{end}"] = float(signed_root(value[i]))
        row["rms_null"] = float(signed_root(of_null.mean[i]))
        for end, value in zip(("", "_lo", "_hi"), skill):
            row[f"skill{end}"] = float(value[i])
        for end, value in zip(("", "_lo", "_hi"), widths):
            row[f"ew_rms{end}"] = (
                float(signed_root(value[line])) if line >= 0 else np.nan
            )
        for level, share in zip((68, 95), inside):
            row[f"coverage_{level}"] = float(share[line]) if line >= 0 else np.nan
        rows.append(row)
    return rows


def _sums(judged, mask, names):
    """Sums over the windows, with those over all pixels before them if asked for."""
    parts = [judged["flux"][mask]]
    if names[0] == "all":
        parts.insert(0, judged["all"][mask])
    return Sums(*np.moveaxis(np.concatenate(parts, axis=2), 1, 0))


def _formatted(table):
    table = table["model", "line", *(c for c in table.colnames[1:] if c != "line")]
    for name in table.colnames:
        if name.startswith("ew_rms"):
            table[name].unit = "mAngstrom"
            table[name].info.format = ".2f"
        elif name.startswith("rms"):
            table[name].info.format = ".4f"
        elif name.startswith(("skill", "coverage")):
            table[name].info.format = ".3f"
    return table


def _summary(table, judged, folds, masks, names):
    """Means over the lines, and what each model costs."""
    of_lines = table[np.isin(table["line"], names)]
    rows = []
    for model, values in judged.items():
        row = {"model": model}
        for domain in masks:
            here = (of_lines["model"] == model) & (of_lines["domain"] == domain)
            for name in ("rms", "skill", "coverage_68", "coverage_95"):
                some = np.asarray(of_lines[name][here], dtype=float)
                known = some[np.isfinite(some)]
                mean = known.mean() if len(known) else np.nan
                row[f"{name}_{domain}"] = float(mean)
        runs = folds[model]
        row["fit_time"] = float(np.mean([run.fit_time for run in runs]))
        row["predict_time"] = float(1000 * values["seconds"].mean())
        row["memory"] = float(
            np.max([max(run.fit_memory, run.judge_memory) for run in runs])
        )
        sizes = [run.size if run.size >= 0 else np.nan for run in runs]
        row["size"] = float(np.mean(sizes)) / 2**20
        rows.append(row)
    summary = QTable(rows)
    for name in summary.colnames[1:]:
        summary[name].info.format = ".4f" if name.startswith("rms") else ".3f"
    for name, unit in {"fit_time": "s", "predict_time": "s"}.items():
        summary[name].unit = unit
        summary[name].info.format = ".2f"
    for name in ("memory", "size"):
        summary[name].unit = "Mibyte"
        summary[name].info.format = ".1f"
    return summary
