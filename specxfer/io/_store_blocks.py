"""Pairs that come as `Spectra`, in blocks of the size that is stored."""

import numpy as np

from specxfer._stars import star_codes
from specxfer.io._errors import StoreError
from specxfer.io._store_grid import Grid
from specxfer.io._store_part import SIDES, TOO_WIDE, Part, Side
from specxfer.spectra import Spectra

__all__ = ["cut", "grids_of", "part_of"]


def cut(blocks, n_rows):
    """Blocks of exactly so many pairs, but for the last.

    Parameters
    ----------
    blocks : iterable of (Spectra, Spectra)
    n_rows : int

    Yields
    ------
    X, y : Spectra
        In memory.
    """
    held = [], []
    for block in blocks:
        _check_pair(block)
        at, size = 0, len(block[0])
        while at < size:
            want = n_rows - sum(map(len, held[0]))
            for each, side in zip(held, block):
                each.append(side[at : at + want].load())
            at += want
            if sum(map(len, held[0])) == n_rows:
                yield tuple(map(_one, held))
                held = [], []
    if held[0]:
        yield tuple(map(_one, held))


def _one(parts):
    return parts[0] if len(parts) == 1 else Spectra.concatenate(parts)


def _check_pair(block):
    if not isinstance(block, tuple | list) or len(block) != 2:
        raise TypeError(
            f"a block is a {type(block).__name__}; expected two Spectra, of the source "
            "and of the target."
        )
    for side, name in zip(block, SIDES):
        if not isinstance(side, Spectra):
            raise TypeError(
                f"{name} is a {type(side).__name__}; expected Spectra, or files and "
                f"read_{name}=."
            )
    if len(block[0]) != len(block[1]):
        raise ValueError(
            f"source has {len(block[0])} spectra and target {len(block[1])}: row i of "
            "both must be the same star."
        )


def grids_of(block):
    """The grids of both sides, and whether stars have names."""
    grids = {name: Grid.of(side) for name, side in zip(SIDES, block)}
    return grids, any(side.ids is not None for side in block)


def part_of(block, grids, named, lossless, first):
    """A block as it is written.

    Raises
    ------
    StoreError
        If it is not like the first, or does not fit.
    """
    where = f"pairs {first} to {first + len(block[0]) - 1}"
    sides = {}
    for name, spectra in zip(SIDES, block):
        unlike = grids[name].unlike(Grid.of(spectra))
        if unlike:
            raise StoreError(f"{where}, {name}: {unlike}.")
        n = len(spectra)
        side = Side.of(n, [(np.arange(n), spectra)], grids[name], lossless)
        if len(side.too_wide()):
            raise StoreError(f"pair {first + side.too_wide()[0]}, {name}: {TOO_WIDE}.")
        sides[name] = side
    star_codes(*block)  # of one star in both
    ids = [side.ids for side in block if side.ids is not None]
    if bool(ids) != named:
        raise StoreError(f"{where}: some pairs have ids and others have none.")
    kept = np.ones(len(block[0]), bool)
    ids = _plain_ids(ids[0]) if ids else None
    return Part(sides["source"], sides["target"], ids, kept)


def _plain_ids(ids):
    """Names as text, or whole numbers."""
    return ids if ids.dtype.kind in "iu" else ids.astype("U")
