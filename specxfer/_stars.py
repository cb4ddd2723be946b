"""Which rows are of the same star."""

import numpy as np

from specxfer._rows import by_index, row_hashes

MANY = 1000  # rows; so many are not looked at one by one


def number_of_stars(X, y, sample_weight):
    """How many stars count.

    Where rows have no names, those of the same source spectrum are one star, so that
    a repeated row is what a weight of 2 is. Many rows are taken to be of as many stars.

    Parameters
    ----------
    X, y : Spectra
    sample_weight : ndarray of shape (n,)

    Returns
    -------
    int
    """
    some = sample_weight > 0
    if (X.ids is None and y.ids is None) and some.sum() < MANY:
        return len({tuple(row) for row in row_hashes(by_index(X)[some])})
    return len(np.unique(star_codes(X, y)[some]))


def star_codes(X=None, y=None, groups=None, n=None):
    """The star of each row, counted from 0.

    Stars are named by `groups` if given, else by the ids that X or y carry; without
    any, every row is a star of its own.

    Parameters
    ----------
    X, y : Spectra or array, optional
        Only their ``ids`` are looked at, and the number of rows of X.
    groups : array-like of shape (n,), optional
        The star of each row.
    n : int, optional
        Number of rows, where there is no X.

    Returns
    -------
    codes : ndarray of int of shape (n,)

    Raises
    ------
    ValueError
        If X and y name different stars, or a row has no name.
    """
    n = len(X) if n is None else n
    ids, name = groups, "groups"
    if ids is None:
        ids, name = _shared_ids(X, y), "ids"
    if ids is None:
        return np.arange(n)
    ids = np.asarray(ids)
    if ids.shape != (n,):
        raise ValueError(f"{name} has shape {ids.shape}; expected one per row, ({n},).")
    missing = _is_missing(ids)
    if missing.any():
        raise ValueError(
            f"{name} is missing in {int(missing.sum())} rows, first in row "
            f"{int(missing.argmax())}: name the star of every row, so that repeats of "
            "one star stay together."
        )
    if ids.dtype.kind == "O":
        ids = ids.astype(str)
    return np.unique(ids, return_inverse=True)[1]


def _shared_ids(X, y):
    ids_X, ids_y = getattr(X, "ids", None), getattr(y, "ids", None)
    if ids_X is None or ids_y is None:
        return ids_y if ids_X is None else ids_X
    if not np.array_equal(np.asarray(ids_X), np.asarray(ids_y)):
        differ = ""
        if len(ids_X) == len(ids_y):
            i = int(np.argmax(np.asarray(ids_X) != np.asarray(ids_y)))
            differ = f" (row {i}: {ids_X[i]} and {ids_y[i]})"
        raise ValueError(
            f"X and y name different stars{differ}: bring their rows into the same "
            "order, or, if they use different names for the same stars, give groups=."
        )
    return ids_X


def _is_missing(ids):
    if ids.dtype.kind == "f":
        return np.isnan(ids)
    if ids.dtype.kind == "O":
        return np.array([i is None or i != i or i == "" for i in ids], dtype=bool)
    return ids == "" if ids.dtype.kind == "U" else np.zeros(len(ids), dtype=bool)
