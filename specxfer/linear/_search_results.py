"""What a search over a grid tells, in the form of scikit-learn's searches."""

import numpy as np
from scipy.stats import rankdata


def search_results(points, scores, fit_time, score_time):
    """The `cv_results_` of a search.

    Parameters
    ----------
    points : list of dict
        The parameters of each point of the grid.
    scores : dict of ndarray of shape (n_points, n_splits)
        By the name of the metric; ``score`` for a single one.
    fit_time, score_time : ndarray of shape (n_points, n_splits)
        Seconds.

    Returns
    -------
    dict of ndarray
    """
    results = {}
    for name, times in (("fit_time", fit_time), ("score_time", score_time)):
        results[f"mean_{name}"] = times.mean(axis=1)
        results[f"std_{name}"] = times.std(axis=1)
    for name in points[0]:
        results[f"param_{name}"] = _masked([point[name] for point in points])
    results["params"] = points
    for name, values in scores.items():
        for split, of_split in enumerate(values.T):
            results[f"split{split}_test_{name}"] = of_split
        mean = values.mean(axis=1)
        results[f"mean_test_{name}"] = mean
        results[f"std_test_{name}"] = values.std(axis=1)
        worst = np.nan_to_num(mean, nan=np.nanmin(mean, initial=0) - 1)
        rank = rankdata(-worst, method="min").astype(np.int32)
        results[f"rank_test_{name}"] = rank
    return results


def _masked(values):
    kind = np.asarray(values).dtype.kind
    dtype = None if kind in "iuf" else object
    return np.ma.MaskedArray(np.array(values, dtype=dtype), mask=False)


def metric_to_refit(names, refit):
    """The metric that the best point is chosen by.

    Parameters
    ----------
    names : list of str
    refit : bool, str or callable

    Returns
    -------
    str or None
        None where nothing is chosen by a metric.

    Raises
    ------
    ValueError
        If there are several metrics and `refit` does not name one.
    """
    if names == ["score"]:
        return "score"
    if callable(refit) or refit is False:
        return None
    if refit not in names:
        raise ValueError(
            f"refit={refit!r} with several metrics; expected the name of the one that "
            f"the best point is chosen by ({sorted(names)}), False, or a callable "
            "that takes cv_results_ and returns an index."
        )
    return refit
