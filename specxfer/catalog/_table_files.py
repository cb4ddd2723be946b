"""Tables that grow by parts: each written whole, then put together a part at a time."""

import os
from io import BytesIO, StringIO
from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

__all__ = ["FORMATS", "put_together", "table_bytes"]

BLOCK = 2880  # bytes: of FITS


def fits_bytes(table, widths=()):
    """A table as a FITS file; text in columns of given widths."""
    table = table.copy(copy_data=False)
    for name in table.colnames:
        column = table[name]
        if getattr(column, "unit", None) == u.mAA:  # which FITS has no word for
            table[name] = u.Quantity(column.value, u.Unit(1e-3 * u.AA))
        elif getattr(column, "unit", None) == u.dex:  # nor for this one
            table[name] = column.value
            table[name].info.description = "dex"  # which readers show, without a unit
        elif column.dtype.kind == "U":
            text = np.char.encode(np.asarray(column), "ascii", "replace")
            width = max(dict(widths).get(name, 0), text.dtype.itemsize, 1)
            table[name] = text.astype(f"S{width}")
    out = BytesIO()
    table.write(out, format="fits")
    return out.getvalue()


def ecsv_bytes(table):
    """A table as text."""
    out = StringIO()
    table.write(out, format="ascii.ecsv")
    return out.getvalue().encode()


FORMATS = {"fits": fits_bytes, "ecsv": ecsv_bytes}


def table_bytes(table, form):
    """A table in one of the formats."""
    return FORMATS[form](table)


def put_together(parts, path):
    """One file out of many parts of the same columns, never more than one in memory.

    Parameters
    ----------
    parts : list of path
        In order.
    path : path
        Its suffix, fits or ecsv, is also that of the parts.
    """
    unfinished = path.with_name(f"{path.name}.tmp")
    join = {".fits": _join_fits, ".ecsv": _join_ecsv}[path.suffix]
    with open(unfinished, "wb") as file:
        join(parts, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


class _Rows(NamedTuple):
    """Where the rows of a FITS table are, and how wide its columns of text."""

    n_rows: int
    start: int
    n_bytes: int
    widths: dict


def _rows_of(path):
    with fits.open(path, memmap=False) as opened:
        header, start = opened[1].header, opened[1].fileinfo()["datLoc"]
    names = [header[f"TTYPE{i + 1}"] for i in range(header["TFIELDS"])]
    forms = [header[f"TFORM{i + 1}"] for i in range(header["TFIELDS"])]
    widths = {n: int(f[:-1] or 1) for n, f in zip(names, forms) if f.endswith("A")}
    n_rows = header["NAXIS2"]
    return _Rows(n_rows, start, n_rows * header["NAXIS1"], widths)


def _join_ecsv(parts, file):
    for i, part in enumerate(parts):
        lines = part.read_bytes().splitlines(keepends=True)
        if i:
            head = sum(line.startswith(b"#") for line in lines) + 1  # and the names
            lines = lines[head:]
        file.writelines(lines)


def _join_fits(parts, file):
    """The first part's header with the rows of all, as astropy writes each."""
    rows, widths = [_rows_of(part) for part in parts], {}
    for each in rows:
        for name, width in each.widths.items():
            widths[name] = max(widths.get(name, 1), width)
    n_rows = sum(each.n_rows for each in rows)
    size = 0
    for i, (part, each) in enumerate(zip(parts, rows)):
        if i and each.widths == widths:  # its bytes are what they would be again
            with open(part, "rb") as opened:
                opened.seek(each.start)
                size += file.write(opened.read(each.n_bytes))
            continue
        table = QTable.read(
            part, format="fits", character_as_bytes=False, mask_invalid=False
        )
        data = fits_bytes(table, widths.items())
        with fits.open(BytesIO(data)) as opened:
            primary, hdu = opened
            if i == 0:
                hdu.header["NAXIS2"] = n_rows
                head = primary.header.tostring() + hdu.header.tostring()
                file.write(head.encode("ascii"))
            start = hdu.fileinfo()["datLoc"]
            length = hdu.header["NAXIS1"] * len(table)
        file.write(data[start : start + length])
        size += length
    file.write(bytes(-size % BLOCK))
