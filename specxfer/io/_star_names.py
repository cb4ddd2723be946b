"""Gaia and 2MASS identifiers as catalogues write them, brought to one form."""

import re

import numpy as np

__all__ = ["gaia_ids", "plain_text", "tmass_ids"]

NO_GAIA_ID = -1
EMPTY = {"", "-", "--", "0", "-1", "-9999", "none", "nan", "n/a", "null", "masked"}
GAIA = re.compile(r"(?:gaia\s*(e?dr[23])\s*)?(\d{1,19})", re.IGNORECASE)
ROUNDED = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
TMASS = re.compile(r"(?:2MASS)?\s*J?\s*(?:2M)?(\d{8}[+-]\d{7})")


def gaia_ids(column, name, release=None):
    """Gaia source_ids as int64; -1 where there is none.

    Parameters
    ----------
    column : column of a table or array-like of shape (n,)
        Integers, text ("Gaia DR3 4345775217221821312"), or objects of these; masked,
        NaN or not positive where there is none.
    name : str
        What the column is called, for errors.
    release : {"dr2", "dr3"}, optional
        Text that names another release is refused.

    Raises
    ------
    ValueError
        If the numbers are floats, which have no more than 16 digits, or text that
        was made of floats, or names another release of Gaia.
    """
    mask = np.ma.getmaskarray(np.ma.asarray(column))
    values = np.ma.getdata(np.ma.asarray(column))
    if values.dtype.kind == "f":
        if (np.isfinite(values) & ~mask).any():
            raise ValueError(_lost(name, f"are {values.dtype}"))
        return np.full(len(values), NO_GAIA_ID)
    if values.dtype.kind in "iu":
        return np.where(mask | (values <= 0), NO_GAIA_ID, values).astype(np.int64)
    ids = np.full(len(values), NO_GAIA_ID)
    for i in np.flatnonzero(~mask):
        ids[i] = _one_gaia_id(values[i], name, release)
    return ids


def _one_gaia_id(value, name, release):
    if value is None or value is np.ma.masked or value != value:
        return NO_GAIA_ID
    if isinstance(value, float | np.floating):
        raise ValueError(_lost(name, "hold floats"))
    text = _decoded(value)
    if text.lower() in EMPTY:
        return NO_GAIA_ID
    found = GAIA.fullmatch(text)
    if found is None:
        if ROUNDED.fullmatch(text):
            raise ValueError(_lost(name, f"read {text!r}"))
        raise ValueError(
            f"column {name!r} reads {text!r}, which is no Gaia source_id: expected up "
            "to 19 digits, or nothing."
        )
    given = (found[1] or "").lower().removeprefix("e")
    if release and given and given != release:
        raise ValueError(
            f"column {name!r} reads {text!r}; expected ids of Gaia {release.upper()}: "
            "the releases number stars differently."
        )
    return int(found[2])


def _lost(name, seen):
    return (
        f"the Gaia source_ids in column {name!r} {seen}: they have 19 digits and a "
        "float holds 16, so that some are now those of other stars. Read the file "
        'again with this column as integers or text (pandas: dtype="Int64"), or leave '
        "it out."
    )


def tmass_ids(column):
    """2MASS designations without prefix, "00531301-2637047"; "" where there is none.

    Takes ``2M…`` of APOGEE, ``2MASS J…``, and bytes; other names of stars, such as
    APOGEE's own ``AP…`` or VESTA, are no designations.
    """
    names = plain_text(column)
    different, place = np.unique(names, return_inverse=True)
    found = [TMASS.fullmatch(name.replace("\u2212", "-")) for name in different]
    return np.array([m[1] if m else "" for m in found] + [""], "U16")[place]


def plain_text(column):
    """A column as text without the white space around it; "" where it is masked."""
    mask = np.ma.getmaskarray(np.ma.asarray(column))
    values = np.ma.getdata(np.ma.asarray(column))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "ascii", "replace")
    elif values.dtype.kind == "O":
        values = np.array([_decoded(value) for value in values], "U")
    text = np.char.strip(np.char.strip(values.astype("U"), "\0"), " \t\r\n'\"")
    return np.where(mask, "", text)


def _decoded(value):
    if isinstance(value, bytes):
        value = value.split(b"\0")[0].decode("ascii", "replace")
    return "" if value is None else str(value).strip()
