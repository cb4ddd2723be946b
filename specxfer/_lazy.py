"""Rows and columns of arrays that stay on disk until they are read."""

import numpy as np


class LazyArray:
    """A rows × columns selection of an array on disk, read when it is asked for.

    Cross-validation slices its input over and over; on a 20 GB memory map each
    slice must stay an index. `LazyArray` holds the array as it was opened and the
    rows and columns wanted of it.

    Parameters
    ----------
    stored : array of shape (n, p)
        Anything with ``shape``, ``dtype`` and numpy-like ``[rows]`` indexing, or, for
        what has to be decoded, with a method ``read_rows(rows, cols, out=None)``.
    dtype : dtype
        The dtype handed out, whatever is stored.
    rows, cols : slice or integer array, default=slice(None)
        The selection.

    Notes
    -----
    joblib sends the memory map inside it to workers by name; a plain pickle writes
    the stored values.
    """

    def __init__(self, stored, dtype, rows=slice(None), cols=slice(None)):
        self.stored = stored
        self.dtype = np.dtype(dtype)
        self.rows = rows
        self.cols = cols
        self.shape = (
            _length(rows, stored.shape[0]),
            _length(cols, stored.shape[1]),
        )

    ndim = 2

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        rows, cols = key if isinstance(key, tuple) else (key, slice(None))
        n, p = self.stored.shape
        return LazyArray(
            self.stored,
            self.dtype,
            _compose(self.rows, rows, n),
            _compose(self.cols, cols, p),
        )

    @property
    def checked(self):
        """Whether the values were checked when they were stored, once for all."""
        return getattr(self.stored, "checked", False)

    def read(self, out=None):
        """The selected values, as an array in memory, or written to one."""
        values = self.stored
        if hasattr(values, "read_rows"):
            return values.read_rows(self.rows, self.cols, out)
        if isinstance(self.cols, slice):  # a view: only what is wanted is read
            values = values[self.rows, self.cols]
        else:
            values = np.take(np.asarray(values[self.rows]), self.cols, axis=1)
        if out is not None:
            out[...] = values
            return out
        view = isinstance(self.rows, slice) and isinstance(self.cols, slice)
        # picking by integers has copied already
        return np.array(values, self.dtype, copy=view or None, order="C")


def _length(index, n):
    return len(range(*index.indices(n))) if isinstance(index, slice) else len(index)


def _compose(first, then, n):
    """The one index that picks what `first` and then `then` pick of `n` items."""
    if isinstance(first, slice) and isinstance(then, slice):
        steps = range(*first.indices(n))[then]
        if steps.step > 0:
            return slice(steps.start, steps.stop, steps.step)
        return np.arange(steps.start, steps.stop, steps.step)
    if isinstance(first, slice):
        start, _, step = first.indices(n)
        return start + step * np.asarray(then)
    return first[then]


def split_key(key):
    key = key if isinstance(key, tuple) else (key,)
    key = tuple(slice(None) if k is Ellipsis else k for k in key)
    if len(key) == 1:
        return key[0], slice(None)
    if len(key) != 2:
        raise IndexError(f"Spectra have two axes, {len(key)} indices were given.")
    return key


def as_index(key, n, axis):
    """A slice or an integer array that picks `key` of `n`, always keeping the axis."""
    if isinstance(key, slice):
        return key
    key = np.asarray(key)
    if key.dtype == bool:
        if key.shape != (n,):
            raise IndexError(
                f"the {axis} mask has shape {key.shape}; there are {n} {axis}s."
            )
        return np.flatnonzero(key)
    if key.size == 0:
        return np.zeros(0, dtype=int)
    if key.dtype.kind not in "iu" or key.ndim > 1:
        raise IndexError(
            f"cannot select {axis}s with {key.dtype} of shape {key.shape}; use "
            "integers, a slice or a mask."
        )
    key = np.atleast_1d(key).astype(int)
    if (key < -n).any() or (key >= n).any():
        raise IndexError(f"{axis} {key[(key < -n) | (key >= n)][0]} of {n} {axis}s.")
    return np.where(key < 0, key + n, key)


def in_memory(values):
    return values.read() if isinstance(values, LazyArray) else values


def is_everything(index):
    return isinstance(index, slice) and index == slice(None)


def take(values, rows, cols):
    if isinstance(values, LazyArray):
        return values[rows, cols]
    if is_everything(cols):
        return values[rows]
    if isinstance(cols, slice):
        return values[rows, cols]
    if isinstance(rows, slice):  # values[rows, cols] would come in Fortran's order
        return np.take(values[rows], cols, axis=1)
    return values[np.ix_(rows, cols)]
