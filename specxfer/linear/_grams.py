"""Weighted Gram matrices of many pixels, or of many stars, at once.

``G_j = Σ_i w_ij v_i v_iᵀ`` is wanted for every j, with weights of the form
``w = 1/(1/ivar + scatter)``. In general that is one large product of the weights with
the products of features, n p k² operations. Where ivar is star × pixel, the sum over
everything that is not masked is a smooth function of one number, known from its values
at a few nodes; what is masked is taken off, term by term. Both are exact to the
precision of the data.
"""

import numpy as np

from specxfer._rowwise import rowwise_matmul
from specxfer._threads import in_parallel

SUMS = 64  # that a thread works on at a time
PRECISION = 1e-7  # of interpolation between nodes


def packed_products(v):
    """Products of features, upper triangles row by row, (n, k (k + 1) / 2)."""
    n, k = v.shape
    products = np.empty((n, k * (k + 1) // 2), v.dtype)
    at = 0
    for i in range(k):
        np.multiply(v[:, i:], v[:, i, None], out=products[:, at : at + k - i])
        at += k - i
    return products


def unpacked(packed, k):
    """Symmetric matrices (m, k, k), in float64, of packed upper triangles."""
    full = np.empty((len(packed), k, k))
    at = 0
    for i in range(k):
        full[:, i, i:] = full[:, i:, i] = packed[:, at : at + k - i]
        at += k - i
    return full


class SmoothGrams:
    """``Σ_i s_i a_i / (1 + c a_i) v_i v_iᵀ`` as a function of c.

    The weight of a star of inverse variance `a` where the scatter is `c`, or, with the
    parts exchanged, of a pixel. In ln c it is smooth: its nearest singularities are π
    off the real axis, so Chebyshev interpolation converges geometrically whatever the
    data (Trefethen 2013, Approximation Theory and Approximation Practice, ch. 8).

    Parameters
    ----------
    v : ndarray of shape (n, k)
    a : ndarray of shape (n,)
        Not negative; 0 leaves a row out.
    s : ndarray of shape (n,)
        Further weights.
    c : ndarray of shape (m,)
        Where the sums will be wanted, not negative.
    """

    def __init__(self, v, a, s, c):
        given = a[a > 0]
        low, high = (given.min(), given.max()) if len(given) else (1.0, 1.0)
        # beyond these the weight is a, or 1 / c, to the precision wanted
        self._limits = PRECISION / high, 1 / (PRECISION * low)
        x = self._coordinate(c)
        self._range = (x.min(), x.max()) if len(x) else (0.0, 0.0)
        half = max((self._range[1] - self._range[0]) / 2, 1e-3)
        rho = np.pi / half + np.hypot(1, np.pi / half)
        n_nodes = 1 + int(np.ceil(-np.log(PRECISION) / np.log(rho)))
        angle = (np.arange(n_nodes) + 0.5) * np.pi / n_nodes
        self._half, self._t = half, np.cos(angle)
        self._signs = (-1.0) ** np.arange(n_nodes) * np.sin(angle)
        upper = np.triu_indices(v.shape[1])

        def at_node(at):
            w = (s * a / (1 + at * a)).astype(v.dtype)
            return (v.T @ (v * w[:, None]))[upper]

        at_nodes = np.exp(np.mean(self._range) + half * self._t)
        self._packed = np.stack(in_parallel(at_node, at_nodes))
        # the sizes of the sums differ by orders of magnitude: their logarithms and
        # their shapes are interpolated apart
        size = self._packed[:, upper[0] == upper[1]].sum(axis=1, dtype=float)
        size = np.maximum(size, np.finfo(v.dtype).tiny)
        self._log_size = np.log(size)
        self._packed /= size[:, None].astype(v.dtype)

    def _coordinate(self, c):
        return np.log(np.clip(np.asarray(c, dtype=float), *self._limits))

    def packed(self, c):
        """The sums at each c, packed, (m, k (k + 1) / 2)."""
        x = self._coordinate(c)
        distance = ((x - np.mean(self._range)) / self._half)[:, None] - self._t
        hit = np.abs(distance) < 1e-13
        terms = self._signs / np.where(hit, 1, distance)
        terms = np.where(hit.any(axis=1, keepdims=True), hit, terms)
        terms /= terms.sum(axis=1, keepdims=True)
        size = np.exp((terms * self._log_size).sum(axis=1))
        return rowwise_matmul(terms * size[:, None], self._packed)


def taken_off(packed, masked, v, weight):
    """Take masked terms off each sum, or, where that is less, sum the others anew.

    Parameters
    ----------
    packed : ndarray of shape (m, k (k + 1) / 2)
        Sums over everything, changed in place.
    masked : callable
        ``masked(j)`` is the bool mask over the n terms of sum j.
    v : ndarray of shape (n, k)
    weight : callable
        ``weight(j, rows)`` are the weights of some terms in sum j.
    """
    upper = np.triu_indices(v.shape[1])

    def one(j):
        mask = masked(j)
        rows = np.flatnonzero(mask)
        if not len(rows):
            return
        anew = 2 * len(rows) > len(mask)
        if anew:
            rows = np.flatnonzero(~mask)
        part = v[rows]
        w = weight(j, rows).astype(part.dtype)
        gram = (part.T @ (part * w[:, None]))[upper]
        packed[j] = gram if anew else packed[j] - gram

    starts = range(0, len(packed), SUMS)
    in_parallel(
        lambda at: [one(j) for j in range(at, min(at + SUMS, len(packed)))], starts
    )
