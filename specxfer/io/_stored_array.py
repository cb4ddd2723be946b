"""`StoredArray`: rows of an array in files, decoded where they are wanted."""

import os
from io import FileIO
from threading import Lock, current_thread, main_thread

import numpy as np

from specxfer._threads import in_parallel
from specxfer.io._errors import StoreError
from specxfer.io._quantised import BadCode
from specxfer.io._zarr_arrays import chunk_path

__all__ = ["AsItIs", "StoredArray"]

PIECE = 2**17  # elements decoded at a time, so that they stay in the cache
STRIP = 2**20  # elements a thread decodes at a time
MOST_OPEN = 128  # files, while rows of an array are read


class AsItIs:
    """How values are stored without loss."""

    checked = False

    def __init__(self, dtype):
        self.stored = np.dtype(dtype).newbyteorder("<")
        self.dtype = self.stored.newbyteorder("=")

    def unpack(self, codes, rows, out):
        """Write the values to an array."""
        if codes is not out:
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
        rows = np.arange(n)[rows] if isinstance(rows, slice) else rows
        n_cols = len(range(p)[cols]) if isinstance(cols, slice) else len(cols)
        direct = out is not None and out.dtype == self.dtype and out.flags.c_contiguous
        values = out if direct else np.empty((len(rows), n_cols), self.dtype)
        height = max(1, STRIP // max(1, p))
        strips = [slice(i, i + height) for i in range(0, len(rows), height)]
        with _Files(self.folder) as files:
            if len(strips) > 1 and current_thread() is main_thread():
                in_parallel(
                    lambda at: self._read(files, rows[at], cols, values[at]), strips
                )
            else:  # little, or in a thread that works beside others
                self._read(files, rows, cols, values)
        if out is None or direct:
            return values
        out[...] = values
        return out

    def _read(self, files, rows, cols, out):
        """Write the values of rows and columns to an array in C order."""
        p = self.shape[1]
        everything = isinstance(cols, slice) and range(p)[cols] == range(p)
        as_it_is = everything and self.codec.stored == out.dtype
        height = max(1, PIECE // max(1, p))
        n_rows = 0 if as_it_is else min(height, len(rows))
        buffer = np.empty((n_rows, p), self.codec.stored)
        for start in range(0, len(rows), height):
            some = rows[start : start + height]
            values = out[start : start + height]
            codes = values if as_it_is else buffer[: len(some)]
            self._fill(files, some.tolist(), codes)
            if not everything:
                codes = codes[:, cols]
            self._unpack(codes, some, values)

    def _fill(self, files, rows, codes):
        """Read the codes of some rows, those that follow each other at once."""
        row_bytes = codes[:1].nbytes
        data = memoryview(codes).cast("B")
        first = 0
        for i, row in enumerate(rows, 1):
            if i < len(rows) and rows[i] == row + 1 and rows[i] % self.chunk_rows:
                continue
            number, place = divmod(rows[first], self.chunk_rows)
            files.read(
                number, place * row_bytes, data[first * row_bytes : i * row_bytes]
            )
            first = i

    def _unpack(self, codes, rows, out):
        try:
            self.codec.unpack(codes, rows, out)
        except BadCode as error:
            numbers = np.unique(rows // self.chunk_rows).tolist()
            some = ", ".join(str(chunk_path(self.folder, i, 2)) for i in numbers)
            raise StoreError(
                f"{some} is damaged ({error}): copy or build it again; verify() says "
                "what else is."
            ) from None


class _Files:
    """The files of an array, each opened once while rows are read, by any thread."""

    def __init__(self, folder):
        self.folder = folder
        self.opened = {}
        self.lock = Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for file in self.opened.values():
            file.close()
        self.opened.clear()

    def read(self, number, start, data):
        """Fill a buffer from a place in a file."""
        file, kept = self._file(number)
        try:
            while data:
                n = self._read_at(file, start, data)
                if not n:
                    raise StoreError(f"{file.name} is cut off: copy or build it again.")
                start, data = start + n, data[n:]
        finally:
            if not kept:
                file.close()

    def _file(self, number):
        """An open file, and whether it stays open."""
        if number in self.opened:
            return self.opened[number], True
        with self.lock:
            if number in self.opened:  # by another thread meanwhile
                return self.opened[number], True
            file = self._open(number)
            kept = len(self.opened) < MOST_OPEN
            if kept:
                self.opened[number] = file
            return file, kept

    def _read_at(self, file, start, data):
        if hasattr(os, "preadv"):
            return os.preadv(file.fileno(), [data], start)
        with self.lock:  # a file has one place, whichever thread asks
            file.seek(start)
            return file.readinto(data)

    def _open(self, number):
        try:  # much faster than to join paths, as rows at random have a file each
            return FileIO(f"{self.folder}/c/{number}/0")
        except FileNotFoundError:
            path = chunk_path(self.folder, number, 2)
            raise StoreError(
                f"{path} is missing: the store is not whole. Copy or build it again."
            ) from None
