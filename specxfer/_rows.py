"""Selections of rows that copy nothing of size, and what tells rows apart."""

import hashlib

import numpy as np

from specxfer._checks import BLOCK_ELEMENTS
from specxfer._lazy import LazyArray

__all__ = ["by_index", "check_rows", "row_hashes"]


def by_index(spectra):
    """The same spectra, of which a selection of rows is an index, not a copy.

    Small arrays stay as they are: a copy of them is faster than many of its blocks.

    Parameters
    ----------
    spectra : Spectra

    Returns
    -------
    Spectra
    """
    if spectra.is_lazy or spectra.shape[0] * spectra.shape[1] <= BLOCK_ELEMENTS:
        return spectra
    new = spectra._shell()
    new._flux = LazyArray(spectra.flux, spectra.dtype)
    if spectra.has_noise:
        new._ivar = LazyArray(spectra.ivar, spectra.dtype)
    return new


def row_hashes(spectra):
    """Four integers per row, from the bytes of its flux.

    Parameters
    ----------
    spectra : Spectra

    Yields
    ------
    list of int
    """
    for _, block in spectra.iter_blocks():
        for flux in np.ascontiguousarray(block.flux):
            digest = hashlib.blake2b(flux.tobytes(), digest_size=16).digest()
            yield np.frombuffer(digest, dtype=np.uint32).tolist()


def check_rows(X, y):
    """Refuse spectra that are not of the same stars in the same order.

    Parameters
    ----------
    X, y : Spectra of shape (n, n_pixels)

    Raises
    ------
    ValueError
        If numbers of rows or ids differ.
    """
    if len(X) != len(y):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: "
            f"[{len(X)}, {len(y)}]. X and y must hold the same stars in the same order."
        )
    if X.ids is not None and y.ids is not None and not np.array_equal(X.ids, y.ids):
        differ = np.flatnonzero(X.ids != y.ids)
        raise ValueError(
            f"X and y name different stars in {len(differ)} rows, first in row "
            f"{differ[0]} ({X.ids[differ[0]]} and {y.ids[differ[0]]}): bring them into "
            "the same order."
        )
