"""`nearest`: the nearest of many embeddings, exactly."""

import numpy as np

from specxfer._threads import in_parallel

__all__ = ["nearest"]

QUERIES = 500  # that a thread works on at a time
ROWS, BLOCK = 256, 2048  # queries and library whose products stay in the cache
DOUBT = np.float32(1e-5)  # by which products in float32 may change places
TIDY = 1.5  # times as many candidates as are wanted: then the bar is raised


def nearest(queries, library, n_neighbors):
    """The nearest embeddings of a library, and how far they are.

    Parameters
    ----------
    queries : ndarray of shape (n, k)
        Of unit length.
    library : ndarray of shape (m, k)
        Of unit length, a memory map for one; it is read once for every 500 queries.
    n_neighbors : int
        At most m.

    Returns
    -------
    distances : ndarray of shape (n, n_neighbors)
        Euclidean, ascending.
    indices : ndarray of int of shape (n, n_neighbors)
        Rows of the library; of equal ones the first comes first.

    Notes
    -----
    Products in float32 sort out all but those that could be among the nearest, with
    what rounding can do allowed for; of these the products are taken in float64. So
    the answer is that of a sort of all distances, and no index has to be built.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.neural._nearest import nearest
    >>> angle = np.radians([0, 10, 20, 90])
    >>> library = np.column_stack([np.cos(angle), np.sin(angle)])
    >>> distances, indices = nearest(library[:1], library, 2)
    >>> indices, distances.round(2)
    (array([[0, 1]]), array([[0.  , 0.17]]))
    """
    n, k = len(queries), n_neighbors
    distances, indices = np.empty((n, k)), np.empty((n, k), np.intp)
    step = QUERIES if n > 2 * QUERIES else max(1, -(-n // 2))

    def one(start):
        rows = slice(start, start + step)
        distances[rows], indices[rows] = _nearest(queries[rows], library, k)

    in_parallel(one, range(0, n, step))
    return distances, indices


def _nearest(queries, library, k):
    """The same for some queries, on one thread."""
    n, m = len(queries), len(library)
    q = np.ascontiguousarray(queries, np.float32)
    parts = [_Best(q[i : i + ROWS], k) for i in range(0, n, ROWS)]
    for start in range(0, m, BLOCK):
        block = np.asarray(library[start : start + BLOCK], np.float32).T
        for part in parts:
            part.look_at(block, start)
    candidates = [part.candidates() for part in parts]
    rows = np.concatenate([r + i * ROWS for i, (r, _) in enumerate(candidates)])
    columns = np.concatenate([c for _, c in candidates])
    exact = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        some = slice(start, start + BLOCK)
        of_library = np.asarray(library[columns[some]], float)
        exact[some] = np.square(queries[rows[some]] - of_library).sum(axis=1)
    order = np.lexsort((columns, exact, rows))
    first = np.searchsorted(rows[order], np.arange(n))
    best = order[first[:, None] + np.arange(k)]
    return np.sqrt(exact[best]), columns[best]


class _Best:
    """What may be among the k nearest of some queries, block by block."""

    def __init__(self, queries, k):
        self.queries, self.k = queries, k
        self.bar = None  # that the k-th largest product is not below, less the doubt
        self.held = [], [], []  # rows, columns and products
        self.product = np.empty((len(queries), BLOCK), np.float32)

    def look_at(self, block, start):
        """Take what may be among the nearest from columns of the library."""
        m = block.shape[1]
        out = self.product if m == BLOCK else np.empty((len(self.queries), m), "f4")
        np.matmul(self.queries, block, out=out)
        if self.bar is None:
            k = min(self.k, m)
            self.bar = np.partition(out, m - k, axis=1)[:, m - k] - DOUBT
            if k < self.k:
                self.bar[:] = -np.inf
        some = np.flatnonzero(out.max(axis=1) >= self.bar)
        if not len(some):
            return
        above = np.take(out, some, axis=0) >= self.bar[some, None]
        at, columns = np.divmod(np.flatnonzero(above), m)  # faster than of two axes
        rows = some[at]
        for held, new in zip(self.held, (rows, columns + start, out[rows, columns])):
            held.append(new)
        if sum(map(len, self.held[0])) > TIDY * self.k * len(self.bar):
            self._tidy()

    def _tidy(self):
        """Raise the bar, and let go of what is under it."""
        rows, columns, values = (np.concatenate(held) for held in self.held)
        order = np.lexsort((-values, rows))
        rows, columns, values = rows[order], columns[order], values[order]
        last = np.searchsorted(rows, np.arange(len(self.bar))) + self.k - 1
        full = np.bincount(rows, minlength=len(self.bar)) >= self.k
        self.bar[full] = values[last[full]] - DOUBT
        kept = values >= self.bar[rows]
        self.held = [rows[kept]], [columns[kept]], [values[kept]]

    def candidates(self):
        """Rows, and columns of what may be among the nearest of each."""
        self._tidy()
        return self.held[0][0], self.held[1][0]
