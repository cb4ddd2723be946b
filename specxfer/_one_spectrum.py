"""Reading the one spectrum of a star, whatever the reader."""

import os

import numpy as np

from specxfer.spectra import Spectra

__all__ = ["names", "read_one", "said"]


def read_one(reader, files):
    """The spectrum of a star, and what the reader remarks on it.

    Parameters
    ----------
    reader : callable
        Makes `Spectra` of one row, alone or first in a tuple whose second item is a
        report, as those of `specxfer.io`.
    files : path or list of paths

    Returns
    -------
    spectra : Spectra of one row
    remark : str
        Why it is not whole; "" if it is.

    Raises
    ------
    ValueError
        If it gives none, or several. A reader may raise what it likes besides.
    """
    spectra, report = reader(files), None
    if isinstance(spectra, tuple):
        spectra, report = spectra[:2]
    if not isinstance(spectra, Spectra):
        raise ValueError(
            f"the reader gave a {type(spectra).__name__}; expected Spectra of one."
        )
    reasons = _reasons(report)
    if len(spectra) == 0 and reasons:
        raise ValueError("; ".join(dict.fromkeys(reasons)))
    if len(spectra) != 1:
        raise ValueError(
            f"the reader gave Spectra of {len(spectra)} spectra; expected Spectra of "
            "one."
        )
    return spectra, "; ".join(dict.fromkeys(reasons))


def _reasons(report):
    if report is None or "reason" not in getattr(report, "colnames", ()):
        return []
    return [reason for reason in np.asarray(report["reason"], "U").tolist() if reason]


def said(error):
    """What an error says of itself, in a line."""
    if hasattr(error, "path") and hasattr(error, "reason"):  # a reader's refusal
        return error.reason
    text = " ".join(str(error).split())
    return text if type(error) is ValueError else f"{type(error).__name__}: {text}"


def names(files):
    """One file, or several, as a line of text."""
    if isinstance(files, str | os.PathLike):
        return os.fspath(files)
    return " ".join(map(os.fspath, files))
