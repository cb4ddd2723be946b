"""Tables for papers and notebooks."""

from astropy.table import Table

__all__ = ["to_markdown"]


def to_markdown(table):
    """A table in Markdown, with the formats and units of its columns.

    Parameters
    ----------
    table : Table or QTable

    Returns
    -------
    str

    Examples
    --------
    >>> from astropy.table import Table
    >>> from specxfer.validation import to_markdown
    >>> print(to_markdown(Table({"line": ["Ba II 6497"], "rms": [0.0128]})))
    | line | rms |
    |---|---|
    | Ba II 6497 | 0.0128 |
    """
    table = Table(table)
    heads = [
        name if table[name].unit is None else f"{name} [{table[name].unit}]"
        for name in table.colnames
    ]
    columns = [
        table[name].pformat(show_name=False, show_unit=False, max_lines=-1)
        for name in table.colnames
    ]
    rows = [heads, *([cell.strip() for cell in row] for row in zip(*columns))]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:]])
