"""Matrix products whose every bit is the same however they are computed."""

from functools import lru_cache

import numpy as np

__all__ = ["exact_matmul", "rowwise_matmul"]


def exact_matmul(a, b, slices=1):
    """Product of two matrices, bit-identical whatever the order of summation.

    A BLAS adds in an order that depends on a row's place in the block, the number of
    threads and the processor, so a star's translation would change in its last bits
    with its company. Here the factors are rounded to so few bits (20 or so, relative
    to the largest entry of a row of `a` or a column of `b`) that every product and
    every partial sum is a whole number below 2**53: a double holds them all exactly,
    and exact sums do not depend on order.

    Parameters
    ----------
    a : ndarray of shape (n, k)
    b : ndarray of shape (k, m)
    slices : {1, 2}, default=1
        2 keeps the next 20 bits of both factors too, for three products instead of
        one.

    Returns
    -------
    ndarray of float64 of shape (n, m)
        Within k × 2**-20 of the exact product, relative to the largest entries;
        within k × 2**-40 with two slices.

    References
    ----------
    Ozaki, Ogita, Oishi & Rump 2012, Numerical Algorithms 59, 95: error-free
    transformations of matrix multiplication.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer._exact import exact_matmul
    >>> exact_matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    k = a.shape[1]
    bits = (53 - int(np.ceil(np.log2(max(k, 2)))) - 1) // 2
    total = np.zeros((len(a), b.shape[1]))
    a_parts, b_parts = _slices(a, 1, bits, slices), _slices(b, 0, bits, slices)
    for i, (a_whole, a_unit) in enumerate(a_parts):
        for j, (b_whole, b_unit) in enumerate(b_parts):
            if i + j < slices:  # the rest is below the last bit kept
                total += (a_whole @ b_whole) * a_unit * b_unit
    return total


def _slices(x, axis, bits, n_slices):
    """`x` as whole numbers times powers of two, most significant first."""
    parts = []
    x = np.asarray(x, dtype=float)
    for left in range(n_slices - 1, -1, -1):
        largest = np.abs(x).max(axis=axis, keepdims=True, initial=0)
        # below 2**-1000 the inverse of the unit would overflow; such entries are 0
        exponent = np.maximum(np.frexp(largest)[1], -900) - float(bits)
        whole = x * np.exp2(-exponent)
        np.rint(whole, out=whole)
        unit = np.exp2(exponent)
        parts.append((whole, unit))
        if left:
            x = x - whole * unit
    return parts


FEW, ROWS, MANY = 32, 512, 2048  # of a product: few sizes, to be tried out once


def rowwise_matmul(a, b, out=None):
    """Product of two matrices in which no row owes a bit to the rows beside it.

    Rows are multiplied in blocks of three sizes, the last filled up. Most kernels of a
    BLAS then treat all rows of all blocks alike, at full speed; whether the one at hand
    does is tried out once for each shape. Where it does not for float32, it mostly does
    for float64, at half the speed; if not, `exact_matmul` does the work.

    Parameters
    ----------
    a : ndarray of shape (n, k)
    b : ndarray of shape (k, m)
    out : ndarray of shape (n, m), optional
        Where to write it; rows in one piece.

    Returns
    -------
    ndarray of shape (n, m)
        In the dtype of `b`.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer._exact import rowwise_matmul
    >>> a, b = np.random.default_rng(0).normal(size=(2, 300, 300))
    >>> bool((rowwise_matmul(a, b)[7] == rowwise_matmul(a[7:8], b)[0]).all())
    True
    """
    if out is None:
        out = np.empty((len(a), b.shape[1]), b.dtype)
    for dtype in dict.fromkeys([b.dtype, np.dtype(float)]):
        own = dtype == out.dtype == b.dtype
        largest = MANY if own else ROWS
        if _alike_in_all_rows(b.shape, dtype, b.flags.c_contiguous, largest):
            break
    else:
        out[:] = exact_matmul(a, b, 2 if b.itemsize == 8 else 1)
        return out
    a, b = np.ascontiguousarray(a, dtype), b.astype(dtype, order="K", copy=False)
    for start, size in _blocks(len(a), largest):
        part = a[start : start + size]
        if own and len(part) == size:
            np.matmul(part, b, out=out[start : start + size])
            continue
        if len(part) < size:
            part = np.concatenate([part, np.zeros((size - len(part), len(b)), dtype)])
        out[start : start + size] = (part @ b)[: len(a) - start]
    return out


def _blocks(n, largest):
    """Starts and sizes of blocks of `n` rows, the last perhaps beyond the end."""
    start = 0
    while start < n:
        left = n - start
        size = largest if left >= largest else ROWS if left > ROWS // 2 else FEW
        yield start, size
        start += size


@lru_cache(maxsize=256)
def _alike_in_all_rows(shape, dtype, c_contiguous, largest):
    """Whether equal rows come out equal, wherever they are in a block of any size."""
    rng = np.random.default_rng(0)
    b = rng.standard_normal(shape if c_contiguous else shape[::-1], dtype)
    b = b if c_contiguous else b.T
    row = rng.standard_normal((1, shape[0]), dtype)
    one = (row.repeat(FEW, axis=0) @ b)[0]
    sizes = sorted({FEW, ROWS, largest})
    return all(bool((row.repeat(n, axis=0) @ b == one).all()) for n in sizes)
