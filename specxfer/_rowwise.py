"""Matrix products in which no row owes a bit to the rows beside it."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from specxfer._exact import exact_matmul
from specxfer._threads import blas_threads

__all__ = ["rowwise_matmul"]


class Way(NamedTuple):
    """A way to multiply: the dtype, blocks of rows and, it may be, of columns."""

    dtype: np.dtype
    sizes: tuple[int, int, int]  # rows of a block: few, many, most
    fence: int = 0  # columns at both ends of a block that nobody needs
    widest: int = 0  # block of columns between its fences; 0: all columns are one

    def width(self, n_columns):
        """Columns of a block, fences with it."""
        if not self.widest:
            return n_columns
        n_blocks = -(-n_columns // self.widest)
        return -(-n_columns // (8 * n_blocks)) * 8 + 2 * self.fence

    def column_blocks(self, b):
        """Columns of the product, and the factor that makes them between fences."""
        if not self.widest:
            yield slice(None), b
            return
        n, width = b.shape[1], self.width(b.shape[1]) - 2 * self.fence
        for start in range(0, n, width):
            some = b[:, start : start + width]
            factor = np.zeros((len(b), width + 2 * self.fence), b.dtype)
            factor[:, self.fence : self.fence + some.shape[1]] = some
            yield slice(start, start + some.shape[1]), factor

    def row_blocks(self, n_rows):
        """Starts and sizes of blocks, the last perhaps beyond the end."""
        few, many, most = self.sizes
        start = 0
        while start < n_rows:
            left = n_rows - start
            size = most if left >= most else many if left > many // 2 else few
            yield start, size
            start += size


def _ways(dtype, n_threads):
    """What to try, the fastest first.

    OpenBLAS's float32 kernel for AVX2 takes 12 rows at a time, twice, and adds the
    first and last 8 columns of a block of up to 320 in an order that depends on the
    row. It gets blocks of that size, whose ends are thrown away, and so many rows that
    threads share those out, in 24s, and not the columns.
    """
    yield Way(dtype, (32, 512, 2048))
    few = 48 if n_threads == 1 else 192 * n_threads
    many = few * max(480 // few, 1)
    yield Way(dtype, (few, many, many), fence=8, widest=304)
    if dtype != np.float64:
        yield Way(np.dtype(float), (32, 512, 512))


def rowwise_matmul(a, b, out=None):
    """Product of two matrices in which no row owes a bit to the rows beside it.

    Rows are multiplied in blocks of few sizes, the last filled up. Most kernels of a
    BLAS then treat all rows of all blocks alike; whether the one at hand does is tried
    out once for each shape and each of a few ways, the fastest first. Where none will
    do, `exact_matmul` does the work.

    Parameters
    ----------
    a : ndarray of shape (n, k)
    b : ndarray of shape (k, m)
    out : ndarray of shape (n, m), optional
        Where to write it.

    Returns
    -------
    ndarray of shape (n, m)
        In the dtype of `b`.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer._rowwise import rowwise_matmul
    >>> a, b = np.random.default_rng(0).normal(size=(2, 300, 300))
    >>> bool((rowwise_matmul(a, b)[7] == rowwise_matmul(a[7:8], b)[0]).all())
    True
    """
    if out is None:
        out = np.empty((len(a), b.shape[1]), b.dtype)
    c_contiguous, n_threads = b.flags.c_contiguous, blas_threads()
    for way in _ways(b.dtype, n_threads):
        if _alike_in_all_rows(way, b.shape, c_contiguous, n_threads):
            break
    else:
        out[:] = exact_matmul(a, b, 2 if b.itemsize == 8 else 1)
        return out
    a, b = np.ascontiguousarray(a, way.dtype), b.astype(way.dtype, "K", copy=False)
    blocks = list(way.column_blocks(b))
    buffer = np.empty((way.sizes[-1], way.width(b.shape[1])), way.dtype)
    for start, size in way.row_blocks(len(a)):
        part = a[start : start + size]
        rows = len(part)
        if rows < size:
            part = np.concatenate([part, np.zeros((size - rows, len(b)), way.dtype)])
        for columns, factor in blocks:
            into = out[start : start + rows, columns]
            if rows == size and not way.fence and way.dtype == out.dtype:
                np.matmul(part, factor, out=into)
                continue
            made = np.matmul(part, factor, out=buffer[:size])
            into[:] = made[:rows, way.fence : way.fence + into.shape[1]]
    return out


@lru_cache(maxsize=512)
def _alike_in_all_rows(way, shape, c_contiguous, n_threads):
    """Whether equal rows come out equal, wherever they are in a block of any size."""
    rng = np.random.default_rng(0)
    shape = shape[0], way.width(shape[1])
    rows_first = c_contiguous or way.fence > 0
    b = rng.standard_normal(shape if rows_first else shape[::-1], way.dtype)
    b = b if rows_first else b.T
    five = rng.standard_normal((5, shape[0]), way.dtype)  # prime to any unrolling
    first = None
    for size in way.sizes:
        made = np.resize(five, (size, shape[0])) @ b
        made = made[:, way.fence : shape[1] - way.fence]
        first = made[:5] if first is None else first
        if (made[:5] != first).any() or (made[5:] != made[:-5]).any():
            return False
    return True
