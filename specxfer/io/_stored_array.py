"""`StoredArray`: rows of an array in files, decoded where they are wanted."""

import numpy as np

from specxfer.io._errors import StoreError
from specxfer.io._quantised import BadCode
from specxfer.io._zarr_arrays import chunk_path

__all__ = ["AsItIs", "StoredArray"]

PIECE = 2**17  # elements decoded at a time, so that they stay in the cache


class AsItIs:
    """How values are stored without loss."""

    checked = False

    def __init__(self, dtype):
        self.stored = np.dtype(dtype).newbyteorder("<")
        self.dtype = self.stored.newbyteorder("=")

    def unpack(self, codes, rows, out):
        """Write the values to an array."""
        out[...] = codes


class StoredArray:
    """An array in files of some rows each, as `LazyArray` reads it.

    Any rows are read alone: files are not compressed, so nothing else need be decoded.
    It travels to other processes by the name of its folder.

    Parameters
    ----------
    folder : Path
        Of the Zarr array.
    shape : tuple of int
    chunk_rows : int
        Rows of a file.
    codec : FluxCodes, IvarCodes or AsItIs
        How values are stored.
    """

    def __init__(self, folder, shape, chunk_rows, codec):
        self.folder = folder
        self.shape = tuple(shape)
        self.chunk_rows = chunk_rows
        self.codec = codec

    ndim = 2

    @property
    def dtype(self):
        """Of the values handed out."""
        return self.codec.dtype

    @property
    def checked(self):
        """Whether no value can be infinite, or a weight negative."""
        return self.codec.checked

    def __getitem__(self, key):
        rows, cols = key if isinstance(key, tuple) else (key, slice(None))
        return self.read_rows(rows, cols)

    def read_rows(self, rows, cols=slice(None), out=None):
        """The values of rows and columns, in memory.

        Parameters
        ----------
        rows, cols : slice or ndarray of int
        out : ndarray, optional
            Where to write them.

        Returns
        -------
        ndarray
        """
        n, p = self.shape
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(n))
        n_cols = len(range(*cols.indices(p))) if isinstance(cols, slice) else len(cols)
        direct = out is not None and out.dtype == self.dtype and out.flags.c_contiguous
        values = out if direct else np.empty((len(rows), n_cols), self.dtype)
        everything = isinstance(cols, slice) and n_cols == p and (cols.step or 1) > 0
        step = max(1, PIECE // max(1, p))
        buffer = np.empty((min(step, len(rows)), p), self.codec.stored)
        row_bytes = p * buffer.itemsize
        for run in self._runs(rows):
            with self._opened(rows[run.start]) as file:
                file.seek(rows[run.start] % self.chunk_rows * row_bytes)
                for start in range(run.start, run.stop, step):
                    piece = slice(start, min(start + step, run.stop))
                    codes = buffer[: piece.stop - piece.start]
                    self._fill(file, codes)
                    if not everything:
                        codes = codes[:, cols]
                    self._unpack(codes, rows[piece], values[piece], file)
        if out is None or direct:
            return values
        out[...] = values
        return out

    def _runs(self, rows):
        """Where rows follow each other in one file."""
        new = np.diff(rows, prepend=-2) != 1
        new |= rows % self.chunk_rows == 0
        starts = np.flatnonzero(new)
        return map(slice, starts, [*starts[1:], len(rows)])

    def _opened(self, row):
        path = chunk_path(self.folder, row // self.chunk_rows, 2)
        try:
            return open(path, "rb", buffering=0)
        except FileNotFoundError:
            raise StoreError(
                f"{path} is missing: the store is not whole. Copy or build it again."
            ) from None

    def _fill(self, file, codes):
        view = memoryview(codes).cast("B")
        while view:
            n = file.readinto(view)
            if not n:
                raise StoreError(f"{file.name} is cut off: copy or build it again.")
            view = view[n:]

    def _unpack(self, codes, rows, out, file):
        try:
            self.codec.unpack(codes, rows, out)
        except BadCode as error:
            raise StoreError(
                f"{file.name} is damaged ({error}): copy or build it again; "
                "verify() says what else is."
            ) from None
