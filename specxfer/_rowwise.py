"""Matrix products in which no row owes a bit to the rows beside it."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from specxfer._exact import exact_matmul
from specxfer._threads import in_parallel, one_core_each

__all__ = ["rowwise_matmul"]

TOGETHER = 10**8  # multiplications of a share of the work, some 3 ms of one core


class Way(NamedTuple):
    """A way to multiply: the dtype, blocks of rows and of columns."""

    dtype: np.dtype
    sizes: tuple[int, ...]  # rows of a block, multiples of the first
    widest: int  # block of columns between its fences
    fence: int = 0  # columns at both ends of a block that nobody needs

    def width(self, n_columns):
        """Columns of a block, fences with it."""
        n_blocks = max(1, -(-n_columns // self.widest))
        unit = 8 if self.fence else 1
        return -(-n_columns // (unit * n_blocks)) * unit + 2 * self.fence

    def column_blocks(self, b):
        """Columns of the product, and the factor that makes them between fences."""
        n, width = b.shape[1], self.width(b.shape[1])
        step = width - 2 * self.fence
        for start in range(0, n, step):
            first = start - self.fence
            factor = b[:, max(first, 0) : first + width]
            if factor.shape[1] < width:
                some, order = factor, _order(b)
                factor = np.zeros((len(b), width), b.dtype, order)
                at = max(-first, 0)
                factor[:, at : at + some.shape[1]] = some
            yield slice(start, min(start + step, n)), factor

    def row_blocks(self, n_rows, most):
        """Starts and sizes of blocks, the last perhaps beyond the end."""
        few = self.sizes[0]
        start, end = 0, -(-n_rows // few) * few
        while start < end:
            left = max(few, min(most, end - start))
            size = max(size for size in self.sizes if size <= left)
            yield start, size
            start += size


def _ways(dtype):
    """What to try, the fastest first.

    OpenBLAS's float32 kernel for AVX2 takes 12 rows at a time, twice, and adds the
    first and last 8 columns of a block of up to 320 in an order that depends on the
    row. It gets blocks of that size, whose ends are thrown away.
    """
    yield Way(dtype, (32, 64, 128, 256), 2048)
    yield Way(dtype, (24, 48, 96, 264, 480), 304, fence=8)
    if dtype != np.float64:
        yield Way(np.dtype(float), (32, 64, 128, 256), 2048)


def rowwise_matmul(a, b, out=None):
    """Product of two matrices in which no row owes a bit to the rows beside it.

    Rows are multiplied in blocks of few sizes, the last filled up, and columns in
    blocks of one size, each on one core: bits do not depend on the number of threads
    that share the blocks out. Most kernels of a BLAS then treat all rows of all blocks
    alike; whether the one at hand does is tried out once for each shape and each of a
    few ways, the fastest first. Where none will do, `exact_matmul` does the work.

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
    with one_core_each() as n_threads:
        for way in _ways(b.dtype):
            if _alike_in_all_rows(way, b.shape, _order(b)):
                _in_blocks(way, a, b, out, n_threads)
                return out
    out[:] = exact_matmul(a, b, 2 if b.itemsize == 8 else 1)
    return out


def _in_blocks(way, a, b, out, n_threads):
    """Write the product into `out`, block by block."""
    a, b = np.ascontiguousarray(a, way.dtype), np.asarray(b, way.dtype, _order(b))
    columns, width = list(way.column_blocks(b)), way.width(b.shape[1])
    n_threads = min(n_threads, 1 + len(a) * b.size // TOGETHER)
    most = len(a) * len(columns) // n_threads + way.sizes[0]  # so that each has some
    rows = list(way.row_blocks(len(a), most))
    largest = max((size for _, size in rows), default=1)
    blocks = [(*some, *these) for some in rows for these in columns]
    direct = not way.fence and way.dtype == out.dtype

    def one(share):
        buffer = np.empty((largest, width), way.dtype)
        at = None
        for start, size, columns, factor in share:
            if start != at:
                part, at = a[start : start + size], start
                rows = len(part)
                if rows < size:
                    part = np.zeros((size, a.shape[1]), way.dtype)
                    part[:rows] = a[start:]
            into = out[start : start + rows, columns]
            if direct and rows == size and into.shape[1] == width:
                np.matmul(part, factor, out=into)
                continue
            made = np.matmul(part, factor, out=buffer[:size])
            into[:] = made[:rows, way.fence : way.fence + into.shape[1]]

    each = max(1, TOGETHER // max(1, largest * len(b) * width))
    in_parallel(one, [blocks[i : i + each] for i in range(0, len(blocks), each)])


@lru_cache(maxsize=512)
def _alike_in_all_rows(way, shape, order):
    """Whether equal rows come out equal, wherever they are in a block of any size."""
    rng = np.random.default_rng(0)
    shape = shape[0], way.width(shape[1])
    b = np.asarray(rng.standard_normal(shape, way.dtype), order=order)
    five = rng.standard_normal((5, shape[0]), way.dtype)  # prime to any unrolling
    first = None
    for size in way.sizes:
        made = np.resize(five, (size, shape[0])) @ b
        made = made[:, way.fence : shape[1] - way.fence]
        first = made[:5] if first is None else first
        if (made[:5] != first).any() or (made[5:] != made[:-5]).any():
            return False
    return True


def _order(b):
    """The order in which it is multiplied, and tried."""
    return "F" if b.flags.fnc else "C"
