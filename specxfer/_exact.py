"""Matrix products whose every bit is the same however they are computed."""

import numpy as np

__all__ = ["exact_matmul"]


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
