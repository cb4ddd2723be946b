"""Finding files, and recognising what they are."""

import glob
import os
from pathlib import Path

import numpy as np

from specxfer._grids import APOGEE_PIXELS
from specxfer._paths import is_missing, seen_instead
from specxfer.io._errors import ReadError
from specxfer.io._fits import shape_of

__all__ = [
    "find_files",
    "identifier",
    "identify",
    "integer",
    "number",
    "refusal",
    "text",
]

SUFFIXES = (".fits", ".fit", ".fits.gz", ".npz")
OPTICAL = (3_500.0, 10_000.0)  # Å: where the first pixel of an optical spectrum is

NO_VALUE = (  # what an absent card or entry, or one that cannot be read, raises
    *(KeyError, ValueError, TypeError, IndexError, OverflowError),
)

HINTS = {
    "aspcapStar": "use read_apogee",
    "APOGEE pixels": "use read_apogee",
    "GALAH DR3": "use read_galah",
    "GALAH DR4": "use read_galah",
    "apStar": "use read_apogee",
    "apVisit": "use read_apogee",
    "mwmStar": "use read_apogee",
    "mwmVisit": "its visits are not all at rest: give the mwmStar file of the star",
    "GALAH DR4 fit": "use read_galah",
    "FITS table": "it holds a table and no spectrum",
    "FITS": "it is no spectrum that this package knows",
}


def find_files(paths, suffixes=SUFFIXES):
    """The files that `paths` names: files, folders (searched to any depth), patterns.

    A pattern that matches nothing, and a folder without such files, are kept, so that
    they are reported and not lost.

    Raises
    ------
    FileNotFoundError
        If a path that is no pattern does not exist.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    paths = [os.fspath(path) for path in paths]
    missing = [p for p in paths if not glob.has_magic(p) and is_missing(p)]
    if missing:
        some = f" (and {len(missing) - 1} more of {len(paths)} paths)"
        raise FileNotFoundError(
            f"{missing[0]} does not exist{some if missing[1:] else ''}: "
            f"{seen_instead(missing[0])}. Give files or folders that are there, or a "
            "pattern."
        )
    found = []
    for path in paths:
        if os.path.isdir(path):
            inside = (p for p in Path(path).rglob("*") if p.name.endswith(suffixes))
            found += sorted(str(p) for p in inside) or [path]
        elif glob.has_magic(path) and not os.path.exists(path):
            found += sorted(glob.glob(path, recursive=True)) or [path]
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def identify(parts):
    """What the parts of a FITS file make, judged by structure and never by name.

    Returns
    -------
    str
        One of "aspcapStar", "apStar", "apVisit", "mwmStar", "mwmVisit", "GALAH DR3",
        "GALAH DR4", "GALAH DR4 fit", "FITS table", "FITS".
    """
    start = number(parts[0].header, "CRVAL1")
    if len(shape_of(parts[0])) == 1 and OPTICAL[0] < start < OPTICAL[1]:
        names = [part.name.lower() for part in parts[1:3]]
        if "normalized" in names or "relative_error" in names:
            return "GALAH DR4"
        return "GALAH DR3" if "input_sigma" in names else "FITS"
    if len(parts) < 2:
        return "FITS"
    if parts[1].is_table:
        columns = set(parts[1].column_names)
        if {"wave", "sob", "uob"} <= columns:
            return "GALAH DR4 fit"
        if {"flux", "ivar", "sdss_id"} <= columns and len(parts) >= 5:
            return "mwmVisit" if "mjd" in columns else "mwmStar"
        return "FITS table"
    shape = shape_of(parts[1])
    if shape and shape[-1] == APOGEE_PIXELS:
        # apStar has an integer mask where aspcapStar has its model
        has_mask = len(parts) > 3 and number(parts[3].header, "BITPIX") > 0
        return "apStar" if has_mask or len(shape) > 1 else "aspcapStar"
    if len(shape) == 2 and shape[0] == 3 and shape[1] in (2048, 4096):
        return "apVisit"
    return "FITS"


def refusal(path, format):
    """The `ReadError` for a file that another reader, or none, takes."""
    return ReadError(path, f"looks like {format}: {HINTS[format]}", format)


def number(header, key):
    """A header value or table entry as float; NaN where it is absent or no number."""
    try:
        value = float(np.asarray(header[key]).ravel()[0])
    except NO_VALUE:
        return np.nan
    return value if np.isfinite(value) and value > -9990 else np.nan


def integer(header, key):
    """A header value or table entry as int; -1 where it is absent.

    Bit masks with the highest of 32 bits set are stored as negative numbers.
    """
    try:
        value = int(np.asarray(header[key]).ravel()[0])
    except NO_VALUE:
        return -1
    return value if value >= -1 else value & 0xFFFFFFFF


def identifier(header, key):
    """A number that names something, as text; "" where it is absent or not above 0."""
    try:
        value = np.asarray(header[key]).ravel()[0]
    except NO_VALUE:
        return ""
    digits = str(value).strip()
    return digits if digits.isdecimal() and int(digits) > 0 else ""


def text(header, key):
    """A header value or table entry as text; "" where it is absent or "None"."""
    try:
        value = np.asarray(header[key]).ravel()[0]
    except NO_VALUE:
        return ""
    if isinstance(value, bytes):  # of a table
        value = value.split(b"\0")[0].decode("ascii", "replace")
    value = str(value).strip()
    return "" if value in ("None", "nan") or not value.isprintable() else value
