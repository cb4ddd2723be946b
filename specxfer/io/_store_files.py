"""Pairs that are read from files, some at a time."""

import os
from dataclasses import dataclass

import numpy as np

from specxfer._one_spectrum import names, read_one, said
from specxfer.io._errors import StoreError
from specxfer.io._store_grid import Grid
from specxfer.io._store_part import SIDES, TOO_WIDE, Part, Side
from specxfer.spectra import Spectra

__all__ = ["FilePairs"]

TOGETHER = 32  # stars: readers take less time for several at once


@dataclass
class FilePairs:
    """The files of some pairs, and how to read them.

    Parameters
    ----------
    files : dict of str to list
        Of each side, a file or list of files for each pair.
    readers : dict of str to callable
    ids : ndarray or None
        The star of each pair; by default the readers say.
    on_error : {"raise", "skip", "nan"}
    first : int, default=0
        The number of the first pair.
    grids : dict of str to Grid, optional
        That all spectra have; found by `look`.
    named : bool, default=True
        Whether the readers say which star it is.
    """

    files: dict
    readers: dict
    ids: np.ndarray | None
    on_error: str
    first: int = 0
    grids: dict | None = None
    named: bool = True

    def __len__(self):
        return len(self.files["source"])

    def __getitem__(self, rows):
        files = {side: self.files[side][rows] for side in SIDES}
        ids = None if self.ids is None else self.ids[rows]
        first = self.first + rows.start
        return FilePairs(
            files, self.readers, ids, self.on_error, first, self.grids, self.named
        )

    def look(self):
        """Find the grids and whether there are names, from the first that can be read.

        Raises
        ------
        StoreError
            If none can be read.
        """
        grids, stars, last = {}, {}, ""
        for side in SIDES:
            for files in self.files[side]:
                try:
                    spectra, _ = read_one(self.readers[side], files)
                    grids[side], stars[side] = Grid.of(spectra), spectra.ids
                    break
                except Exception as error:  # a reader may raise what it likes
                    last = f"{names(files)} cannot be read ({said(error)})"
                    if self.on_error == "raise":
                        raise StoreError(last) from error
            else:
                raise StoreError(f"no {side} spectrum can be read: {last}.")
        self.grids = grids
        self.named = any(star is not None for star in stars.values())

    def part(self, lossless):
        """Read them.

        Raises
        ------
        StoreError
            With ``on_error="raise"``, of the first that cannot be read.
        """
        n = len(self)
        problems, made, failed, stars = [], {}, {}, {}
        for side in SIDES:
            blocks, remarks, reasons = self._read(side)
            made[side] = Side.of(n, blocks, self.grids[side], lossless)
            reasons |= {int(row): TOO_WIDE for row in made[side].too_wide()}
            stars[side] = np.full(n, None, object)
            for at, spectra in blocks:
                if spectra.ids is not None:
                    stars[side][at] = spectra.ids
            failed[side] = reasons
            for status, found in (("partial", remarks), ("refused", reasons)):
                problems += [(row, side, status, why) for row, why in found.items()]
        if self.ids is None and self.named:
            for row, why in _disagreements(stars, failed).items():
                problems.append((row, "pair", "refused", why))
                for side in SIDES:
                    failed[side].setdefault(row, why)
        problems = self._told(sorted(problems, key=lambda each: each[0]))
        kept = np.ones(n, bool)
        for side in SIDES:
            rows = sorted(failed[side])
            made[side].forget(rows)
            kept[rows] &= self.on_error == "nan"
        kept[sorted(set(failed["source"]) & set(failed["target"]))] = False
        ids = self.ids
        if ids is None and self.named:
            both = zip(stars["source"], stars["target"])
            ids = np.array([b if a is None else a for a, b in both], object)
            ids = np.where(np.equal(ids, None), "", ids).astype("U")
        return Part(made["source"], made["target"], ids, kept, problems)

    def _read(self, side):
        """Blocks of spectra, remarks on some, and why others could not be read."""
        blocks, remarks, reasons = [], {}, {}
        reader, grid = self.readers[side], self.grids[side]
        for start in range(0, len(self), TOGETHER):
            some = self.files[side][start : start + TOGETHER]
            rows = np.arange(start, start + len(some))
            together = _together(reader, some)
            if together is not None and not grid.unlike(Grid.of(together[0])):
                blocks.append((rows, together[0]))
                remarks |= {i: why for i, why in zip(rows.tolist(), together[1]) if why}
                continue
            for row, files in zip(rows.tolist(), some):
                try:
                    spectra, remark = read_one(reader, files)
                    unlike = grid.unlike(Grid.of(spectra))
                    if unlike:
                        raise ValueError(unlike)
                    blocks.append((np.array([row]), spectra))
                    if remark:
                        remarks[row] = remark
                except Exception as error:  # a reader may raise what it likes
                    reasons[row] = said(error)
                    if self.on_error == "raise":
                        raise StoreError(
                            self._refusal(side, row, reasons[row])
                        ) from error
        return blocks, remarks, reasons

    def _told(self, problems):
        """Problems with the names of the files; an error if that is wanted."""
        found = []
        for row, side, status, why in problems:
            if status == "refused" and self.on_error == "raise":
                raise StoreError(self._refusal(side, row, why))
            found.append(
                {
                    "pair": self.first + row,
                    "id": "" if self.ids is None else str(self.ids[row]),
                    "side": side,
                    "file": self._name(side, row),
                    "status": status,
                    "reason": why,
                }
            )
        return found

    def _refusal(self, side, row, why):
        return (
            f"pair {self.first + row}, {self._name(side, row)}: {why}. What is done is "
            'kept: mend it and call again, or give on_error="skip" or "nan".'
        )

    def _name(self, side, row):
        sides = SIDES if side == "pair" else (side,)
        return " ".join(names(self.files[each][row]) for each in sides)


def _disagreements(stars, failed):
    """Pairs that have no name, or whose two spectra are of different stars."""
    found = {}
    for row, (a, b) in enumerate(zip(stars["source"], stars["target"])):
        if any(row in failed[side] for side in SIDES):
            continue
        if a is None and b is None:
            found[row] = "it does not say which star it is of: give ids="
        elif a is not None and b is not None and a != b:
            found[row] = (
                f"the source is of the star {a}, the target of {b}: if they are one "
                "star, give ids=, as of specxfer.io.pair_files"
            )
    return found


def _together(reader, entries):
    """Spectra of several stars, a row each, and remarks; None unless that is certain.

    Certain it is if every row says which files it is from, and they are those.
    """
    files = [[os.fspath(f) for f in _as_list(entry)] for entry in entries]
    flat = [file for each in files for file in each]
    if len(entries) < 2 or len(set(flat)) < len(flat):
        return None
    if not all(map(os.path.isfile, flat)):
        return None
    try:
        spectra, report = reader(flat)
        reasons = np.asarray(report["reason"], "U").tolist()
        rows = np.asarray(spectra.meta["file"], "U").tolist()
    except Exception:  # one by one it will be seen which
        return None
    if not isinstance(spectra, Spectra) or len(spectra) != len(entries):
        return None
    if len(reasons) != len(entries) or len(rows) != len(entries):
        return None
    if any(_expanded(row) != set(each) for row, each in zip(rows, files)):
        return None
    return spectra, reasons


def _as_list(entry):
    return [entry] if isinstance(entry, str | os.PathLike) else entry


def _expanded(name):
    """The files that a row names: ``…/131216002601003[1234].fits`` is four."""
    head, bracket, rest = name.rpartition("[")
    numbers, end, tail = rest.partition("]")
    if not bracket or not end or not numbers.isdigit() or "/" in tail:
        return {name}
    return {f"{head}{number}{tail}" for number in numbers}
