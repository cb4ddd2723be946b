"""A part of a store in memory: some pairs, as they are written."""

import hashlib
import json
from dataclasses import dataclass, field

import numpy as np

from specxfer.io._columns import Plain, columns_of, filled_in, joined
from specxfer.io._quantised import flux_steps, pack_flux, pack_ivar, rounding_share

__all__ = [
    "SIDES",
    "TOO_WIDE",
    "Part",
    "Side",
    "columns_in",
    "digest_of_part",
    "small_columns",
]

SIDES = "source", "target"
TOO_WIDE = (
    "its flux goes further than 16 bits beside its noise do: mask what is no "
    "starlight (NaN), or give lossless=True"
)


@dataclass
class Side:
    """The spectra of one survey in a part.

    Parameters
    ----------
    flux : ndarray of shape (n_pairs, n_pixels)
    ivar : ndarray or None
    resolution : ndarray or None
    columns : dict of str to Plain
    steps : ndarray or None
        Of the flux; None where it is stored as it is.
    """

    flux: np.ndarray
    ivar: np.ndarray | None
    resolution: np.ndarray | None
    columns: dict
    steps: np.ndarray | None

    @classmethod
    def of(cls, n, blocks, grid, lossless):
        """Of n spectra that come in blocks; NaN where there is none.

        Parameters
        ----------
        n : int
        blocks : list of (ndarray of int, Spectra)
            Where the spectra belong, and they.
        grid : Grid
        lossless : bool
        """
        if len(blocks) == 1 and len(blocks[0][0]) == n:
            ((_, spectra),) = blocks
            flux, ivar, power = spectra.flux, spectra.ivar, spectra.resolution
        else:
            flux = np.full((n, grid.n_pixels), np.nan, grid.dtype)
            ivar = np.zeros(flux.shape, grid.dtype) if grid.has_noise else None
            power = None
            if grid.resolution is not None:
                power = np.full((n, *grid.resolution), np.nan)
            for at, spectra in blocks:
                flux[at] = spectra.flux
                if ivar is not None:
                    ivar[at] = spectra.ivar
                if power is not None:
                    power[at] = spectra.resolution
        at = np.concatenate([at for at, _ in blocks] or [np.zeros(0, int)])
        parts = [grid.columns, *(columns_of(spectra.meta) for _, spectra in blocks)]
        columns = {
            name: filled_in(joined([part[name] for part in parts]), n, at)
            for name in grid.columns
        }
        steps = None if lossless else flux_steps(flux, ivar)
        return cls(flux, ivar, power, columns, steps)

    def too_wide(self):
        """The rows that cannot be quantised."""
        none = np.zeros(0, int)
        return none if self.steps is None else np.flatnonzero(np.isnan(self.steps))

    def forget(self, rows):
        """Make spectra unknown."""
        if not rows:
            return
        self.flux = self.flux.copy()  # which may be a reader's own
        self.flux[rows] = np.nan
        if self.ivar is not None:
            self.ivar = self.ivar.copy()
            self.ivar[rows] = 0
        if self.steps is not None:
            self.steps[rows] = flux_steps(self.flux[rows])

    def codes(self):
        """The large arrays as they are stored, by name."""
        if self.steps is None:
            found = {"flux": self.flux}
            return found if self.ivar is None else {**found, "ivar": self.ivar}
        found = {"flux": pack_flux(self.flux, self.steps, self.ivar)}
        return found if self.ivar is None else {**found, "ivar": pack_ivar(self.ivar)}

    def small(self):
        """The other arrays, by name."""
        found = small_columns(self.columns)
        if self.resolution is not None:
            found["resolution"] = self.resolution
        if self.steps is not None:
            found["step"] = self.steps
            if self.ivar is not None:
                found["share"] = rounding_share(self.ivar, self.steps)
        return found


@dataclass
class Part:
    """Some pairs.

    Parameters
    ----------
    source, target : Side
    ids : ndarray or None
        The star of each pair.
    kept : ndarray of bool
        False for pairs that are left out.
    problems : list of dict
        What could not be read: pair, id, side, file, status, reason.
    """

    source: Side
    target: Side
    ids: np.ndarray | None
    kept: np.ndarray
    problems: list = field(default_factory=list)

    def small(self):
        """All arrays but flux and inverse variance, by name."""
        found = {"kept": self.kept, "problems": np.array(json.dumps(self.problems))}
        if self.ids is not None:
            found["ids"] = self.ids
        for side in SIDES:
            for name, values in getattr(self, side).small().items():
                found[f"{side}/{name}"] = values
        return found


def digest_of_part(small, chunks):
    """By which two parts are known to be the same.

    Parameters
    ----------
    small : dict of str to ndarray
    chunks : dict of str to str
        SHA-256 of the files of the large arrays.
    """
    digest = hashlib.sha256(json.dumps(chunks, sort_keys=True).encode())
    for name, values in sorted(small.items()):
        kind = "U" if values.dtype.kind == "U" else values.dtype.name
        data = values.tolist() if kind == "U" else values.tobytes().hex()
        digest.update(json.dumps([name, kind, values.shape, data]).encode())
    return digest.hexdigest()


def small_columns(columns):
    """Columns as arrays by name, with what else is known of them."""
    found, about = {}, []
    for i, (name, column) in enumerate(columns.items()):
        about.append([name, column.unit, column.description])
        found[f"column {i}"] = column.values
        if column.mask is not None:
            found[f"mask {i}"] = column.mask
    return {**found, "columns": np.array(json.dumps(about))}


def columns_in(small, side):
    """The columns again."""
    about = json.loads(str(small[f"{side}/columns"]))
    return {
        name: Plain(
            small[f"{side}/column {i}"],
            small.get(f"{side}/mask {i}"),
            unit,
            description,
        )
        for i, (name, unit, description) in enumerate(about)
    }
