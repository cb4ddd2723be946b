"""`pair_files`: which files of two surveys are of the same stars."""

from typing import NamedTuple

import numpy as np
from astropy.table import Table
from joblib import Parallel, delayed

from specxfer._one_spectrum import names as as_text
from specxfer.io._apogee import names_in
from specxfer.io._collect import most_refused
from specxfer.io._files import find_files
from specxfer.io._galah import groups_of, names_of
from specxfer.io._pair_names import dropped_table, match_names, reported

__all__ = ["PairedFiles", "pair_files"]


class PairedFiles(NamedTuple):
    """Files of the same stars, as `PairedStore.build` takes them.

    Parameters
    ----------
    source, target : list
        For each pair a file, or a list of files.
    ids : ndarray of str of shape (n_pairs,)
        The star of each pair, one name for all of its spectra.
    rows : ndarray of int of shape (n_pairs,) or None
        Of the table of pairs, if one was given.
    dropped : Table
        What is in no pair: table ("source", "target", "pair": files that name
        different stars, or "table": a row of the table of pairs), name (of the files),
        why.
    """

    source: list
    target: list
    ids: np.ndarray
    rows: np.ndarray | None
    dropped: Table

    def __repr__(self):
        n_stars = len(set(self.ids.tolist()))
        lines = [f"{len(self.ids)} pairs of spectra of {n_stars} stars"]
        return "\n".join([*lines, *reported(self.dropped)])

    __str__ = __repr__


def pair_files(source, target, pairs=None, *, surveys=("apogee", "galah"), n_jobs=None):
    """Find the files of two surveys that are of the same stars.

    Parameters
    ----------
    source, target : path or list of paths
        Files, folders or patterns.
    pairs : Table, optional
        As of `crossmatch`: its rows are the pairs, found by the columns
        source_apogee_id, source_sdss_id or source_sobject_id, and the same of the
        target. By default all pairs of spectra whose files share an identifier.
    surveys : tuple of {"apogee", "galah"}, default=("apogee", "galah")
        Of the source and of the target.
    n_jobs : int, optional
        Files opened at the same time, as in joblib.

    Returns
    -------
    PairedFiles
        Print it: it says what was dropped, and why.

    Raises
    ------
    ValueError
        If there is no pair.
    FileNotFoundError
        If a path that is no pattern does not exist.

    Notes
    -----
    Identifiers are the name of the star (the 2MASS designation, in files of both
    surveys), the Gaia DR3 source_id (the card GAIA_ID in files of GALAH DR4, which say
    that it is of EDR3, whose numbers DR3 kept; GAIA3_ID in mwmStar files) and the
    SDSS-V number (SDSS_ID in mwmStar files, and the catalogues of SDSS-V). Pairs in
    which any two differ, though another is the same, are dropped: neighbours may be one
    star to 2MASS and two to Gaia. Spectra that share any are one star in `ids`, so that
    no star gets on both sides of a split. Of Gaia DR2, whose numbers may be those of
    other stars, nothing is made.

    The cards of mwmStar files are those that the pipeline of SDSS-V writes
    (https://github.com/sdss/astra, ``src/astra/products/utils.py``).

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.io import galah_wave, pair_files, write_galah
    >>> flux, wave = np.ones((1, 4096)), galah_wave(3)
    >>> y = Spectra(flux, 1e4 * flux, wave=wave, medium="air",
    ...             ids=["2M17334253-1654573"])
    >>> pixels = {"normalized_flux": np.ones(7514),
    ...           "normalized_error": np.full(7514, 0.01)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for star in ("2M03290406+3117075", "2M17334253-1654573"):
    ...         np.savez(f"{folder}/{star}.npz", **pixels)
    ...     _ = write_galah(y, f"{folder}/galah")
    ...     found = pair_files(f"{folder}/*.npz", f"{folder}/galah")
    >>> found.ids
    array(['2M17334253-1654573'], dtype='<U18')
    >>> print(*found.dropped["table", "why"][0])
    source no target spectrum of its star
    """
    found = []
    for side, survey, paths in zip(("source", "target"), surveys, (source, target)):
        if survey not in NAMED:
            raise ValueError(f"surveys has {survey!r}; expected some of {[*NAMED]}.")
        found.append(NAMED[survey](paths, pairs is None, n_jobs))
        if not found[-1][0]:
            raise ValueError(f"{side} names no file: {paths}.")
    (a, names, _), (b, others, _) = found
    try:
        i, j, stars, rows, dropped = match_names(names, others, pairs)
    except ValueError:
        for side, survey, (files, _, why) in zip(("source", "target"), surveys, found):
            if why and all(why):  # then their names are not to blame
                raise ValueError(_unread(side, survey, files, why)) from None
        raise
    dropped = dropped_table(dropped, [as_text(f) for f in a], [as_text(f) for f in b])
    return PairedFiles([a[k] for k in i], [b[k] for k in j], stars, rows, dropped)


def _apogee(paths, _, n_jobs):
    files = find_files(paths)
    found = Parallel(n_jobs)(delayed(names_in)(path) for path in files)
    names = {
        kind: np.array([each[kind] for each in found], "U")
        for kind in ("star", "sdss_id", "gaia_id")
    }
    why = [each["refused"] for each in found]
    return files, {**names, "apogee_id": names["star"]}, why


def _galah(paths, by_star, n_jobs):
    groups = groups_of(paths)
    names = {"sobject_id": np.array([group.id for group in groups], "U")}
    why = []
    if by_star:  # or the table says which star it is: the files stay closed
        found = Parallel(n_jobs)(delayed(names_of)(group) for group in groups)
        for kind in ("star", "gaia_id"):
            names[kind] = np.array([each[kind] for each in found], "U")
        why = [each["refused"] for each in found]
    return [[path for path, _ in group.files] for group in groups], names, why


def _unread(side, survey, files, why):
    """That no file of a side could be read, and why."""
    report = Table({"file": [as_text(f) for f in files], "reason": why})
    report["status"] = "refused"
    return (
        f"no {side} file could be read as one of {survey}: {most_refused(report)}. Are "
        f"source and target swapped, or is {side} of another survey?"
    )


NAMED = {"apogee": _apogee, "galah": _galah}
