"""What the Displays of tables ask of them."""

import numpy as np


def checked_table(table, columns, made_by):
    """Raise unless the table has rows and the columns."""
    missing = [c for c in columns if c not in getattr(table, "colnames", table.keys())]
    if missing:
        raise ValueError(
            f"the table lacks the columns {missing}; it has "
            f"{list(getattr(table, 'colnames', table.keys()))}. Give what {made_by} "
            "returns."
        )
    if not len(table):
        raise ValueError(f"the table is empty: nothing of {made_by} to draw.")
    return table


def plain(column):
    """A column's values as floats, in its own unit; masked ones as NaN."""
    values = np.ma.asarray(getattr(column, "value", column), dtype=float)
    return values.filled(np.nan)


def in_order(column):
    """The different entries of a column, in order of appearance."""
    return list(dict.fromkeys(str(entry) for entry in column))
