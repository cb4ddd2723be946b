"""Columns of tables as plain arrays, so that they can be stored without astropy."""

from dataclasses import dataclass, replace

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from specxfer._checks import without_mask

__all__ = ["Plain", "columns_of", "filled_in", "joined", "table_of"]

MISSING = {"f": np.nan, "i": -1, "u": 0, "b": False, "U": ""}  # as readers have it


@dataclass
class Plain:
    """A column: numbers, bools or text.

    Parameters
    ----------
    values : ndarray of shape (n_rows, ...)
    mask : ndarray of bool or None
        True where unknown.
    unit, description : str
    """

    values: np.ndarray
    mask: np.ndarray | None = None
    unit: str = ""
    description: str = ""

    def __getitem__(self, rows):
        mask = None if self.mask is None else self.mask[rows]
        return replace(self, values=self.values[rows], mask=mask)

    @property
    def form(self):
        """What the rows of a column have in common; numbers are of one kind."""
        kind = "number" if self.values.dtype.kind in "fiu" else self.values.dtype.kind
        return kind, self.values.shape[1:], self.unit


def columns_of(table, name="meta"):
    """The columns of a table, by name.

    Raises
    ------
    ValueError
        If a column is of something else than numbers, bools or text.
    """
    if table is None:
        return {}
    return {key: _plain(table[key], f"{name}[{key!r}]") for key in table.colnames}


def _plain(column, name):
    unit = getattr(column, "unit", None)
    description = getattr(column.info, "description", None)
    values, mask = without_mask(column)
    values = np.asarray(getattr(values, "value", values))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    elif values.dtype.kind == "O":
        texts = [v if isinstance(v, str) else None for v in values.ravel().tolist()]
        if None not in texts:
            values = np.array(texts, "U").reshape(values.shape)
    if values.dtype == np.longdouble:
        values = values.astype(float)
    if values.dtype.kind not in MISSING:
        raise ValueError(
            f"{name} is of {type(column).__name__} ({values.dtype}); expected "
            "numbers, bools or text: convert it, or leave it out."
        )
    text = "" if unit is None else unit.to_string()
    return Plain(
        values, None if mask is None else np.array(mask), text, description or ""
    )


def table_of(columns):
    """The table again."""
    table = Table()
    for name, plain in columns.items():
        about = {
            "name": name,
            "unit": plain.unit or None,
            "description": plain.description or None,
        }
        if plain.mask is None:
            table[name] = Column(plain.values, **about)
        else:
            table[name] = MaskedColumn(plain.values, mask=plain.mask, **about)
    return table


def filled_in(column, n, at):
    """A column of n rows that has these values at some; unknown at the others."""
    kind = column.values.dtype
    if kind.kind == "u" and len(at) < n:
        kind = np.dtype(float)
    missing = MISSING[kind.kind]
    values = np.full((n, *column.values.shape[1:]), missing, kind)
    values[at] = column.values
    mask = column.mask
    if mask is not None:
        mask = np.zeros(values.shape, bool)
        mask[at] = column.mask
    return replace(column, values=values, mask=mask)


def joined(columns):
    """Columns of the same form, one below the other."""
    mask = None
    if any(column.mask is not None for column in columns):
        mask = np.concatenate(
            [
                np.zeros(c.values.shape, bool) if c.mask is None else c.mask
                for c in columns
            ]
        )
    values = np.concatenate([column.values for column in columns])
    return replace(columns[0], values=values, mask=mask)
