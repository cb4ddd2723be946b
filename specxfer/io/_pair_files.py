"""Which files of two surveys are of the same stars, before they are read for good."""

import numpy as np
from joblib import Parallel, delayed

from specxfer.io._apogee import star_in
from specxfer.io._files import find_files
from specxfer.io._galah import groups_of, star_of
from specxfer.io._sky import join

__all__ = ["SPECTRUM_NAMES", "join_names", "pair_files"]

# what a table of pairs calls a spectrum by, after "source_" or "target_"
SPECTRUM_NAMES = ("apogee_id", "sdss_id", "sobject_id")


def pair_files(source, target, surveys, table=None, *, n_jobs=None):
    """Files that are of the same star, as `PairedStore.build` takes them.

    Parameters
    ----------
    source, target : list of path
        Files, folders or patterns.
    surveys : tuple of {"apogee", "galah"}
        Of the source and of the target.
    table : Table, optional
        As of `crossmatch`: its rows are the pairs. By default all pairs of spectra
        of which the files name the same star.
    n_jobs : int, optional
        Files opened at the same time, as in joblib.

    Returns
    -------
    files : list of two lists
        Of both sides, a file or a list of files for each pair.
    stars : ndarray of str of shape (n_pairs,)
    rows : ndarray of int of shape (n_pairs,) or None
        Of the table.

    Raises
    ------
    ValueError
        If there is no pair.
    """
    found = [
        NAMED[survey](paths, table is None, n_jobs)
        for survey, paths in zip(surveys, (source, target))
    ]
    for side, paths, (files, _) in zip(("source", "target"), (source, target), found):
        if not files:
            raise ValueError(f"{side} names no file: {', '.join(map(str, paths))}.")
    (a, names), (b, others) = found
    i, j, stars, rows = join_names(names, others, table)
    return [[a[k] for k in i], [b[k] for k in j]], stars, rows


def _apogee(paths, _, n_jobs):
    files = find_files(paths)
    stars = np.array(Parallel(n_jobs)(delayed(star_in)(path) for path in files), "U")
    return files, {"star": stars, "apogee_id": stars}


def _galah(paths, by_star, n_jobs):
    groups = groups_of(paths)
    names = {"sobject_id": np.array([group.id for group in groups], "U")}
    if by_star:  # or the table says which star it is: the files stay closed
        stars = Parallel(n_jobs)(delayed(star_of)(group) for group in groups)
        names["star"] = np.array(stars, "U")
    return [[path for path, _ in group.files] for group in groups], names


NAMED = {"apogee": _apogee, "galah": _galah}


def join_names(source, target, table=None):
    """Spectra of two surveys that make pairs.

    Parameters
    ----------
    source, target : dict of str to ndarray of str
        Names of each spectrum: its "star", and one of `SPECTRUM_NAMES`.
    table : Table, optional
        As of `crossmatch`: its rows are the pairs. By default all pairs of spectra
        of the same star.

    Returns
    -------
    i, j : ndarray of int of shape (n_pairs,)
        Places in `source` and `target`, in the order of `source`.
    stars : ndarray of str of shape (n_pairs,)
    rows : ndarray of int of shape (n_pairs,) or None
        Of the table.

    Raises
    ------
    ValueError
        If there is no pair.
    """
    if table is None:
        a, b = source["star"], target["star"]
        i, j = join(a, b)
        known = a[i] != ""
        i, j = i[known], j[known]
        if not len(i):
            raise ValueError(
                f"no star is in both: source has {len(a)} spectra, as {a[0]}, target "
                f"{len(b)}, as {b[0]}; give a table of crossmatch."
            )
        return i, j, a[i], None
    i, row = _listed(source, table, "source")
    j, other = _listed(target, table, "target")
    a, b = join(row, other)
    pairs = np.stack([i[a], j[b]])
    pairs, first = np.unique(pairs, axis=1, return_index=True)
    if not len(first):
        raise ValueError(
            "no row of the table has its spectra in both: source has those of "
            f"{len(set(row.tolist()))} rows, target of {len(set(other.tolist()))}."
        )
    rows = row[a][first]
    return *pairs, np.asarray(table["star"])[rows].astype("U"), rows


def _listed(names, table, side):
    """Spectra that a table lists, and in which row."""
    for name in SPECTRUM_NAMES:
        column = f"{side}_{name}"
        if column in table.colnames and name in names:
            break
    else:
        raise ValueError(
            f"the table of pairs has no column {side}_apogee_id or {side}_sobject_id "
            f"that names the {side} spectra; it has {table.colnames}."
        )
    i, row = join(names[name], np.asarray(table[column]).astype("U"))
    if not len(i):
        raise ValueError(
            f"none of the {side} spectra is in the table of pairs: it has {column} "
            f"{table[column][0] if len(table) else 'of none'}, they have "
            f"{names[name][0]}."
        )
    return i, row
