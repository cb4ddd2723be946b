"""Tables as Zarr groups: an array a column."""

import re

from specxfer.io._columns import Plain
from specxfer.io._zarr_arrays import (
    read_array,
    read_json,
    write_array,
    write_group_json,
)

__all__ = ["read_table", "write_table"]


def write_table(folder, columns):
    """Write columns, each under its own name as far as folders allow.

    Parameters
    ----------
    folder : Path
    columns : dict of str to Plain
    """
    taken, about = set(), []
    for name, column in columns.items():
        place = re.sub(r"[^A-Za-z0-9_-]", "_", name).lstrip("_") or "column"
        if place.lower() in taken:  # some disks do not tell Teff from teff
            place = f"{place}_{len(taken)}"
        taken.add(place.lower())
        write_array(
            folder / place,
            column.values,
            unit=column.unit,
            description=column.description,
        )
        if column.mask is not None:
            write_array(folder / f"{place}.mask", column.mask)
        about.append([name, place, column.mask is not None])
    write_group_json(folder, {"columns": about})


def read_table(folder):
    """The columns again."""
    columns = {}
    for name, place, masked in read_json(folder)["attributes"]["columns"]:
        values, about = read_array(folder / place)
        mask = read_array(folder / f"{place}.mask")[0] if masked else None
        columns[name] = Plain(values, mask, about["unit"], about["description"])
    return columns
