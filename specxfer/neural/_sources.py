"""What batches are filled from: arrays shared with the user, or copied and cleaned."""

from typing import NamedTuple

import numpy as np

from specxfer._checks import checked_flux, checked_ivar
from specxfer._lazy import LazyArray

__all__ = ["ArraySource", "Held", "SpectraSource"]

RUN = 32  # consecutive rows read at once: 1 MB of a long spectrum
SCAN = 2**21  # elements looked at together


class Held(NamedTuple):
    """Rows in memory.

    ``values[rows[i]]`` belongs to star i, or ``values[i]`` where rows is None; an axis
    of length 1 stands for all. Where `known` is there and False, the value is 0.
    """

    values: np.ndarray
    rows: np.ndarray | None = None
    known: np.ndarray | None = None

    def fill(self, out, stars):
        """Write the values of some stars to an array (n_stars, ...)."""
        values = self.values
        at = stars if self.rows is None else self.rows[stars]
        if len(values) == 1:
            out[...] = values
        elif values.shape[1:] == out.shape[1:] and values.dtype == out.dtype:
            # one thread of numpy fills memory as fast as many, and waits for none
            np.take(values, at, axis=0, out=out, mode="clip")
        else:
            out[...] = values[at]
        if self.known is not None:
            out *= np.take(self.known, stars, axis=0)


class SpectraSource:
    """Flux and ivar of one survey, with flux `fill` and ivar 0 where unknown.

    What is in memory in the right form is shared; `row_bytes` is what a copy of the
    rest takes per star.

    Parameters
    ----------
    spectra : Spectra
    rows : ndarray of int
        The stars that are asked for.
    fill : ndarray of shape (n_pixels,) or None
        NaN at pixels that are unknown in all stars. None is 0 at all.
    """

    def __init__(self, spectra, rows, fill=None):
        self.spectra = spectra._shell()  # slicing it must not slice its tables
        for name in ("ids", "meta", "resolution", "covariance"):
            setattr(self.spectra, name, None)
        p = spectra.shape[1]
        fill = np.zeros(p) if fill is None else np.asarray(fill)
        self.seen = np.isfinite(fill)
        self.fill = np.where(self.seen, fill, 0).astype(np.float32)
        self.forms = {"flux": ((p,), np.dtype("f4")), "ivar": ((p,), np.dtype("f4"))}
        lazy = spectra.is_lazy, isinstance(spectra._ivar, LazyArray)
        dirty = (True, True) if any(lazy) else self._dirty(rows)
        flux = None if lazy[0] else _as_it_is(spectra.flux)
        self.shared = {} if flux is None or dirty[0] else {"flux": flux}
        # an inverse variance that is one for all stars or pixels stays small
        thin = np.ones((1, 1), "f4")
        if spectra.has_noise:
            thin = None if lazy[1] else _thin(spectra.ivar)
        if thin is not None:
            self.shared["ivar"] = thin
        elif not lazy[1] and not dirty[1] and _as_it_is(spectra.ivar) is not None:
            self.shared["ivar"] = spectra.ivar
        self.copied = [name for name in ("flux", "ivar") if name not in self.shared]
        if dirty[1] and thin is not None:
            self.copied.append("known")
        sizes = {"flux": 4, "ivar": 4, "known": 1}
        self.row_bytes = p * sum(sizes[name] for name in self.copied)

    def _dirty(self, rows):
        """Whether unknown pixels have another flux than `fill`, or an ivar over 0."""
        step = max(1, SCAN // max(1, len(self.fill)))
        dirty = np.array([False, False])
        for start in range(0, len(rows), step):
            flux, ivar, known = self._block(rows[start : start + step])
            if known.all():
                continue
            dirty[0] |= (flux != self.fill)[~known].any()
            dirty[1] |= ivar is None or (ivar[~known] > 0).any()
            if dirty.all():
                break
        return bool(dirty[0]), bool(dirty[1])

    def _block(self, rows, into=None):
        """Flux, ivar or None, and where they are known; read into arrays if given."""
        first, last = rows[0], rows[-1]
        if last - first + 1 == len(rows) and (np.diff(rows) == 1).all():
            rows = slice(first, last + 1)
        into = into or {}
        try:
            flux = checked_flux(_taken(self.spectra._flux, rows, into.get("flux")))
            known = np.isfinite(flux)
            known &= self.seen
            if not self.spectra.has_noise:
                return flux, None, known
            ivar = checked_ivar(_taken(self.spectra._ivar, rows, into.get("ivar")))
        except ValueError as error:
            raise ValueError(f"of the rows {first} to {last}: {error}") from None
        known &= ivar > 0
        return flux, ivar, known

    def allocate(self, n):
        """Arrays that `read` may write n stars to."""
        p = len(self.fill)
        return {
            name: np.empty((n, p), bool if name == "known" else np.float32)
            for name in self.copied
        }

    def read(self, rows, arrays, stopped=lambda: False):
        """Write the stars of some rows to arrays, a run at a time."""
        if not self.copied:
            return
        for start in range(0, len(rows), RUN):
            if stopped():
                return
            part = slice(start, start + RUN)
            into = {name: array[: len(rows)][part] for name, array in arrays.items()}
            _, _, known = self._block(rows[part], into)
            if "known" in into:
                into["known"][...] = known
            if not known.all():
                np.logical_not(known, out=known)
                for name, fill in (("flux", self.fill), ("ivar", 0)):
                    if name in into:
                        np.copyto(into[name], fill, where=known)

    def held(self, rows, arrays):
        """The stars that were read, and those that are shared, by name."""
        found = {}
        for name in ("flux", "ivar"):
            known = arrays.get("known") if name == "ivar" else None
            if name in arrays:
                found[name] = Held(arrays[name], None, known)
            else:
                found[name] = Held(self.shared[name], rows, known)
        return found


class ArraySource:
    """A further array with a row a star: shared, or copied from a memory map.

    Parameters
    ----------
    values : array-like of shape (n, ...)
        Reals are handed out as float32, integers as int64.
    name : str
    """

    def __init__(self, values, name):
        lazy = isinstance(values, np.memmap)
        self.values, self.name = np.asarray(values), name
        kind = self.values.dtype.kind
        if kind not in "fiub":
            raise TypeError(
                f"{name} has dtype {self.values.dtype}; expected real numbers, a row "
                "a star."
            )
        dtype = np.dtype({"f": "f4", "b": "?"}.get(kind, "i8"))
        self.forms = {name: (self.values.shape[1:], dtype)}
        size = dtype.itemsize * int(np.prod(self.values.shape[1:]))
        self.row_bytes = size if lazy else 0

    def allocate(self, n):
        shape, dtype = self.forms[self.name]
        return {self.name: np.empty((n, *shape), dtype)} if self.row_bytes else {}

    def read(self, rows, arrays, stopped=lambda: False):
        for start in range(0, len(rows) if arrays else 0, RUN):
            if stopped():
                return
            part = slice(start, start + RUN)
            arrays[self.name][: len(rows)][part] = self.values[rows[part]]

    def held(self, rows, arrays):
        if arrays:
            return {self.name: Held(arrays[self.name])}
        return {self.name: Held(self.values, rows)}


def _taken(values, rows, out=None):
    """Rows of an array in memory or on disk, written to `out` if it is there."""
    if isinstance(values, LazyArray):
        return values[rows].read(out)
    if out is None:
        return values[rows]
    out[...] = values[rows]
    return out


def _as_it_is(values):
    """The array if its rows may be handed out uncopied, else None."""
    fits = values.dtype == np.float32 and values.flags.c_contiguous
    return values if fits else None


def _thin(values):
    """One row or column that stands for all of a broadcast array, or None."""
    thin = values
    for axis, stride in enumerate(values.strides):
        if stride == 0:
            thin = thin.take([0], axis=axis)
    return None if thin is values else thin.astype(np.float32, copy=False)
