"""`twins_test`: of two stars alike in labels, which has the stronger line?"""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from specxfer._compositions import predict_like
from specxfer.linear import SpectralPCA
from specxfer.lines import window_names
from specxfer.metrics._equivalent_width import summed_variance, window_widths
from specxfer.metrics._errors import signed_root
from specxfer.metrics._sums import (
    Sums,
    UncoveredError,
    known_truth,
    mean_over_stars,
    weights,
)
from specxfer.model_selection._over_folds import over_folds
from specxfer.spectra import Spectra, as_spectra
from specxfer.validation._null_test import LABELS
from specxfer.validation._per_star import (
    as_table,
    checked_lines,
    checked_pairs,
    fill,
    seeds,
)
from specxfer.validation._statistics import benjamini_hochberg, sign_flip_p

__all__ = ["identical_twins", "twins_test"]

NEIGHBOURS = 20  # of each star that may become its twin


def twins_test(
    translator,
    X,
    y,
    lines,
    *,
    match="labels",
    labels=LABELS,
    cv=5,
    n_pairs=None,
    n_components=20,
    domains=None,
    alpha=0.05,
    n_flips=9999,
    confidence=0.95,
    noise="subtract",
    noise_correlation=0.0,
    error_floor=5.0,
    groups=None,
    random_state=0,
    n_jobs=None,
    verbose=0,
    resume=None,
):
    """Whether predicted line strengths tell apart stars that are otherwise alike.

    Two stars with the same Teff, log g and abundances of light elements can differ in
    barium. A translator that guesses barium from the labels predicts the same line for
    both; one that knows it predicts which is stronger, and by how much.

    Parameters
    ----------
    translator : estimator
        Any regressor; cloned for each fold. Each star is predicted by a model that
        never saw it.
    X : Spectra or array-like of shape (n_spectra, n_pixels_in)
        Source spectra, with the labels in ``X.meta``.
    y : Spectra of shape (n_spectra, n_pixels_out)
        Target spectra of the same stars. Of several spectra of a star the first is
        taken.
    lines : Line, (lo, hi) in Å, or list of these
        The windows in y. A star with a masked pixel in a window is left out there.
    match : {"labels", "source"}, default="labels"
        Twins are alike in `labels`, or in the leading components of their source
        spectra.
    labels : sequence of str
        Columns of ``X.meta`` to match by, each in units of its standard deviation.
    cv : int, splitter or iterable of (train, test), default=5
        See `specxfer.model_selection.check_star_cv`.
    n_pairs : int, optional
        The nearest so many pairs of each domain; by default a quarter of its stars,
        so that half of them have a twin. No star is in two pairs.
    n_components : int, default=20
        Components of the source for ``match="source"``.
    domains : dict of str to bool array of shape (n_spectra,), or Table, optional
        As in `null_test`; both stars of a pair are of the same.
    alpha : float, default=0.05
        False discovery rate of `follows`.
    n_flips : int, default=9999
        Random signs for the p-values.
    confidence : float, default=0.95
        Of the t interval over pairs.
    noise : {"subtract", "none"}, default="subtract"
        "none" if y is free of noise.
    noise_correlation : float, default=0
        As in `specxfer.metrics.equivalent_width`.
    error_floor : float, default=5
        In mÅ: a pair weighs 1/(σ² + error_floor²), with σ the error of its observed
        difference.
    groups, random_state, n_jobs, verbose, resume
        As in `null_test`.

    Returns
    -------
    QTable
        A row for each line and domain. ``n_stars`` and ``n_pairs``; ``rms_observed``
        (signed root, noise taken off) and ``rms_predicted``, of the differences of
        equivalent width (mÅ); ``slope`` of observed on predicted differences with
        ``slope_lo`` and ``slope_hi``: 1 if predictions can be taken at their word;
        ``correlation``, noise taken off, NaN where the noise leaves it open whether
        twins differ at all; ``p`` of the hypothesis that predictions do not follow
        (slope 0 or less), and ``q``, its false discovery rate among all rows;
        ``follows``, True where q ≤ `alpha` and the slope is above 0.

    Raises
    ------
    ValueError
        As in `null_test`; or if a domain has too few stars for pairs.

    Notes
    -----
    Pairs are taken greedily, the nearest first. With ``match="labels"`` twins still
    differ a little in their labels: what observed and predicted differences owe to
    that, to first order, is taken off both, by regression on the differences of the
    labels.

    Twins are as alike as the sample allows: stars alike in many labels are rare. What
    they differ in beyond `labels`, such as microturbulence, a translator may know and
    the lines may follow. So look at how much is told (``correlation``), not only
    whether anything is (``p``), and match by all that moves the lines.

    Noise of the observed differences has no part in the predicted ones and does not
    bias the slope. Which star of a pair is called the first is chance, and so are the
    signs of the products whose sum is tested.

    References
    ----------
    Manea, C. et al. 2025 (stars alike in APOGEE's labels differ in heavy elements);
    Frisch & Waugh 1933, Econometrica 1, 387 (slopes at fixed labels).

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.lines import load_lines
    >>> from specxfer.validation import twins_test
    >>> X, y, _ = make_paired_spectra(300, size="small", giant_fraction=1,
    ...                               random_state=0)
    >>> found = twins_test(PCARidge(20), X, y, load_lines("galah", names="Ce II 4774"),
    ...                    cv=2)
    >>> found["line", "n_pairs", "follows"].pprint()
       line    n_pairs follows
    ---------- ------- -------
    Ce II 4774      75    True
    """
    lines = checked_lines(lines)
    domains, stars = checked_pairs(X, y, domains, groups)
    known_truth(y, noise)
    judge = Strengths(lines, noise, noise_correlation)
    judged, _ = over_folds(
        {"model": translator}, X, y, judge, cv=cv, groups=groups, n_jobs=n_jobs,
        verbose=verbose, resume=resume,
    )  # fmt: skip
    found = judged["model"]
    at = _coordinates(X, match, labels, n_components)
    once = np.zeros(len(stars), dtype=bool)
    once[np.unique(stars, return_index=True)[1]] = True
    once &= np.isfinite(at).all(axis=1) & np.isfinite(found["predicted"]).any(axis=1)
    rows = []
    for (domain, mask), rng in zip(domains.items(), seeds(random_state, len(domains))):
        pairs = _nearest_pairs(at, np.flatnonzero(mask & once), n_pairs, domain)
        apart = at[pairs[:, 0]] - at[pairs[:, 1]] if match == "labels" else None
        named = [{"line": name, "domain": domain} for name in window_names(lines)]
        columns = [
            _of_pairs(found, k, pairs, apart, error_floor, n_flips, confidence, rng)
            for k in range(len(lines))
        ]
        fill(named, **{key: [c[key] for c in columns] for key in columns[0]})
        rows += named
    meta = {"confidence": confidence, "alpha": alpha, "match": match}
    table = as_table(rows, lines, "ew", meta)
    table["q"] = benjamini_hochberg(table["p"])
    table["q"].info.format = ".4f"
    table["follows"] = (table["q"] <= alpha) & (table["slope"] > 0)
    return table


@dataclass
class Strengths:
    """A judge: equivalent widths, predicted and observed, over whole windows.

    Parameters
    ----------
    lines : list of Line or (lo, hi)
    noise : {"subtract", "none"}
    noise_correlation : float
    """

    lines: list
    noise: str
    noise_correlation: float

    def __call__(self, model, X, y):
        share, _ = window_widths(self.lines, y)
        cols = np.flatnonzero(share.any(axis=1))
        share = share[cols]
        predicted = (1.0 - np.asarray(predict_like(model, X, y))[:, cols]) @ share
        lost = ~np.isfinite(predicted).all(axis=0) & np.isfinite(predicted).any(axis=0)
        if lost.any() or not np.isfinite(predicted).any():
            raise UncoveredError(
                "the prediction is NaN or infinite in pixels of these lines: predict "
                "these windows, or leave them out of lines=."
            )
        y = y[:, cols]
        good = y.valid()
        whole = ~((~good).astype(float) @ (share > 0) > 0)
        observed = np.where(good, 1.0 - y.flux, 0) @ share
        variance = np.zeros_like(observed)
        if self.noise == "subtract":
            pixels = np.divide(1.0, y.ivar, where=good, out=np.zeros(good.shape))
            variance = summed_variance(pixels, share, self.noise_correlation)
        return {
            "predicted": predicted,
            "observed": np.where(whole, observed, np.nan),
            "variance": np.where(whole, variance, np.nan),
        }


def _coordinates(X, match, labels, n_components):
    """Where each spectrum is, in units of the scatter, (n, n_coordinates)."""
    if match == "source":
        return np.asarray(SpectralPCA(n_components).fit(X).transform(X), dtype=float)
    if match != "labels":
        raise ValueError(f'match is {match!r}; expected "labels" or "source".')
    meta = X.meta if isinstance(X, Spectra) else None
    has = [] if meta is None else meta.colnames
    missing = [name for name in labels if name not in has]
    if missing or not len(labels):
        raise ValueError(
            f"X.meta lacks {missing or 'labels to match by'}; it has {has}."
        )
    columns = [np.ma.asarray(meta[name]).astype(float) for name in labels]
    values = np.ma.filled(np.ma.column_stack(columns), np.nan)
    spread = np.nanstd(values, axis=0)
    return values / np.where(spread > 0, spread, 1)


def _nearest_pairs(at, rows, n_pairs, domain):
    """Pairs of rows, the nearest first, no row twice: (n_pairs, 2)."""
    most = len(rows) // 4 if n_pairs is None else int(n_pairs)
    if len(rows) < 4 or most < 1:
        raise ValueError(
            f"domain {domain!r} has {len(rows)} stars that can be matched: too few for "
            "pairs. Leave it out of domains=."
        )
    k = min(NEIGHBOURS, len(rows) - 1)
    scale = at[rows].std(axis=0)
    scaled = at[rows] / np.where(scale > 0, scale, 1)
    distance, near = NearestNeighbors(n_neighbors=k).fit(scaled).kneighbors()
    left, found = np.ones(len(rows), dtype=bool), []
    for edge in np.argsort(distance, axis=None, kind="stable"):
        i, j = edge // k, near.flat[edge]
        if left[i] and left[j]:
            found.append((i, j))
            left[[i, j]] = False
            if len(found) == most:
                break
    return rows[np.array(found)]


def _of_pairs(found, k, pairs, apart, error_floor, n_flips, confidence, rng):
    """What the pairs say of one line."""
    first, second = pairs.T
    predicted, observed = (
        found[name][first, k] - found[name][second, k]
        for name in ("predicted", "observed")
    )
    variance = found["variance"][first, k] + found["variance"][second, k]
    known = np.isfinite(predicted) & np.isfinite(observed)
    predicted, observed, variance = (a[known] for a in (predicted, observed, variance))
    weight = weights(variance, error_floor)
    free = np.ones_like(weight)
    if apart is not None:
        both, free = _at_fixed(
            apart[known], weight, np.column_stack([predicted, observed])
        )
        predicted, observed = both.T
    n = len(predicted)
    product = (weight * predicted * observed)[:, None]
    square = (weight * predicted**2)[:, None]
    true = (weight * (observed**2 - variance * free))[:, None]
    one_each = np.arange(n)
    slope = mean_over_stars(Sums(product, square), one_each, confidence)
    vary = mean_over_stars(Sums(true, weight[:, None]), one_each, confidence)
    spread = np.sum(square) * max(np.sum(true), 0)
    told = n > 1 and vary.lo[0] > 0 and spread > 0
    p = sign_flip_p(product, n_flips, rng)[0] if n > 1 else np.nan
    return {
        "n_stars": np.int64(2 * n),
        "n_pairs": np.int64(n),
        "rms_observed": signed_root(vary.mean)[0],
        "rms_predicted": np.sqrt(np.sum(square) / weight.sum())
        if n
        else np.float64(np.nan),
        "slope": slope.mean[0],
        "slope_lo": slope.lo[0],
        "slope_hi": slope.hi[0],
        "correlation": np.float64(
            np.sum(product) / np.sqrt(spread) if told else np.nan
        ),
        "p": np.float64(p),
    }


def _at_fixed(labels, weight, values):
    """Values less what they owe to labels, and the share of noise that is left."""
    root = np.sqrt(weight)[:, None]
    q, r = np.linalg.qr(root * labels)
    size = np.abs(np.diag(r))
    q = q[:, size > 1e-10 * size.max(initial=0)]
    left = root * values
    left = left - q @ (q.T @ left)
    return left / root, 1 - (q**2).sum(axis=1)


def identical_twins(model, X):
    """How far translations of the same spectra differ with the rows beside them.

    Parameters
    ----------
    model : estimator
        Any fitted regressor.
    X : Spectra or array-like of shape (n_spectra, n_pixels_in)
        Some source spectra.

    Returns
    -------
    float
        The largest difference between predictions of the same row: among all of X, in
        reverse order, beside its own twin, and alone. 0 if all bits are the same, as
        they are with the translators here; infinite if one is NaN where another is not.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.linear import PCARidge
    >>> from specxfer.validation import identical_twins
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> identical_twins(PCARidge(2).fit(X, y), X)
    0.0
    """
    X = X if isinstance(X, Spectra) else as_spectra(X).flux
    n = len(X)
    expected = np.asarray(model.predict(X))
    companies = [np.arange(n)[::-1], np.repeat(np.arange(n), 2)]
    companies += [np.array([i]) for i in range(n)]
    worst = 0.0
    for rows in companies:
        found = np.asarray(model.predict(X[rows]))
        same = (found == expected[rows]) | (np.isnan(found) & np.isnan(expected[rows]))
        if not same.all():
            gap = np.abs(found - expected[rows])[~same]
            worst = max(worst, float(np.where(np.isnan(gap), np.inf, gap).max()))
    return worst
