"""Every star judged by a model that never saw it, a block of spectra at a time."""

import os
import pickle
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from tqdm import tqdm

from specxfer._memory import MemoryWatch
from specxfer._rows import by_index
from specxfer.model_selection._star_kfold import _n_rows, check_star_cv
from specxfer.spectra import Spectra

__all__ = ["Fold", "over_folds"]

BLOCK_ROWS = 512  # spectra that are predicted and judged at a time


@dataclass
class Fold:
    """One model fitted without the stars of one fold.

    Parameters
    ----------
    test : ndarray of int
        Rows that it was judged on.
    fit_time, judge_time : float
        Seconds.
    fit_memory, judge_memory : float
        Peak of the memory taken beyond what was in use before, MiB; NaN where the
        system does not tell.
    size : int
        Bytes of the pickled model; -1 where it cannot be pickled.
    """

    test: np.ndarray
    fit_time: float
    judge_time: float
    fit_memory: float
    judge_memory: float
    size: int


def over_folds(
    models, X, y, judge, *, cv=5, groups=None, n_jobs=None, verbose=0, resume=None
):
    """Fit each model on each fold's training stars, judge it on the others.

    What a judge makes of a block of predictions is kept, the predictions are not: a
    comparison over any number of models holds one block of them per worker.

    Parameters
    ----------
    models : dict of str to estimator
        Cloned for every fold.
    X : Spectra or array-like of shape (n, n_pixels_in)
    y : Spectra or array-like of shape (n, n_pixels_out)
    judge : callable
        ``judge(model, X_block, y_block)`` with a fitted model; returns a dict of
        arrays with one row per spectrum. Must be picklable if `n_jobs` is used.
    cv : int, splitter or iterable of (train, test), default=5
        See `check_star_cv`. Every row is to be tested once at most.
    groups : array-like of shape (n,), optional
        The star of each row, where neither X nor y has ids.
    n_jobs : int, optional
        Processes, as in joblib: each fits one model at a time.
    verbose : int, default=0
        Above 0: shows a progress bar.
    resume : str or path, optional
        A folder in which the result of each fit is kept. A later call with the same
        models, judge, folds and data takes from it what is there already.

    Returns
    -------
    judged : dict of str to dict of str to ndarray
        For each model what the judge returned, row by row; NaN (or 0, for integers
        and booleans) for rows that no fold tests.
    folds : dict of str to list of Fold

    Raises
    ------
    ValueError
        If two folds test the same row.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from specxfer.model_selection._over_folds import over_folds
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> def error(model, X, y):
    ...     return {"error": model.predict(X) - y}
    >>> judged, folds = over_folds(
    ...     {"line": LinearRegression()}, X, X[:, :1] + 1, error, cv=2
    ... )
    >>> bool(np.abs(judged["line"]["error"]).max() < 1e-9), len(folds["line"])
    (True, 2)
    """
    splits = list(check_star_cv(cv).split(X, y, groups))
    _check_partition(splits, _n_rows(X))
    X, y = (by_index(a) if isinstance(a, Spectra) else a for a in (X, y))
    jobs = [(name, split) for name in models for split in splits]
    folder = None if resume is None else Path(resume)
    stamp = None if folder is None else joblib.hash([_stamp(X), _stamp(y), judge])
    work = (
        joblib.delayed(_one)(i, models[name], X, y, judge, split, folder, stamp)
        for i, (name, split) in enumerate(jobs)
    )
    found = [None] * len(jobs)
    runs = joblib.Parallel(n_jobs, return_as="generator_unordered")(work)
    for i, result in tqdm(
        runs, "fitting", len(jobs), disable=not verbose, unit="fit", smoothing=0
    ):
        found[i] = result
    judged, folds = {}, {}
    for (name, _), (values, fold) in zip(jobs, found):
        folds.setdefault(name, []).append(fold)
        rows = judged.setdefault(name, {})
        for key, value in values.items():
            if key not in rows:
                rows[key] = _empty((_n_rows(X), *value.shape[1:]), value.dtype)
            rows[key][fold.test] = value
    return judged, folds


def _one(i, model, X, y, judge, split, folder, stamp):
    """Fit one model to one fold and judge it; or read what came of it before."""
    if folder is not None:
        kept = folder / f"{joblib.hash([stamp, model, split])}.pkl"
        if kept.exists():
            return i, joblib.load(kept)
    train, test = split
    start = time.perf_counter()
    with MemoryWatch() as of_fit:
        fitted = clone(model).fit(_rows(X, train), _rows(y, train))
    fit_time = time.perf_counter() - start
    parts = []
    with MemoryWatch() as of_judge:
        for at in range(0, len(test), BLOCK_ROWS):
            rows = test[at : at + BLOCK_ROWS]
            parts.append(judge(fitted, _block(X, rows), _block(y, rows)))
    judge_time = time.perf_counter() - start - fit_time
    values = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    size = _size(fitted)
    fold = Fold(
        np.asarray(test), fit_time, judge_time, of_fit.peak, of_judge.peak, size
    )
    result = values, fold
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(f".{os.getpid()}")
        joblib.dump(result, unfinished)
        unfinished.replace(kept)  # never half a file
    return i, result


def _size(model):
    """Bytes of the pickled model; -1 of one that holds a function of a notebook."""
    try:
        return len(pickle.dumps(model))
    except (pickle.PicklingError, AttributeError, TypeError):
        return -1


def _rows(a, rows):
    return a[rows] if isinstance(a, Spectra) else _safe_indexing(a, rows)


def _block(a, rows):
    return a[rows].load() if isinstance(a, Spectra) else _safe_indexing(a, rows)


def _empty(shape, dtype):
    return np.full(shape, np.nan if np.issubdtype(dtype, np.inexact) else 0, dtype)


def _check_partition(splits, n):
    tested = np.zeros(n, int)
    for _, test in splits:
        tested[test] += 1
    if (tested > 1).any():
        raise ValueError(
            f"{int((tested > 1).sum())} of {n} rows are in the test set of more than "
            "one fold: give a cv that tests every star once, such as StarKFold."
        )


def _stamp(a):
    """What tells two data sets apart: a few rows, the noise and the names."""
    n = _n_rows(a)
    rows = np.unique(np.linspace(0, max(n - 1, 0), min(n, 8)).astype(int))
    some = _block(a, rows)
    if not isinstance(a, Spectra):
        return np.asarray(some), a.shape if hasattr(a, "shape") else n
    meta = None if a.meta is None else a.meta.as_array()
    return some.flux, some.ivar, a.shape, a.ids, a.wave, a.resolution, meta
