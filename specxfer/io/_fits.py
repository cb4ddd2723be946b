"""Opening FITS files with astropy, so that damage is always a `ReadError`."""

import gzip
import io
import os
import warnings
from contextlib import contextmanager

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from specxfer.io._errors import ReadError

__all__ = [
    "ZIP",
    "first_bytes",
    "first_row",
    "open_fits",
    "shape_of",
    "table_rows",
]

FITS, ZIP, GZIP = b"SIMPLE  =", b"PK\x03\x04", b"\x1f\x8b"
DAMAGE = ".*truncated|Error validating header"  # astropy goes on without the rest


def first_bytes(path, all_of=()):
    """The first nine bytes of a file; a `ReadError` if it cannot be opened.

    All of its bytes, if it begins with one of `all_of`.
    """
    if os.path.isdir(path):
        raise ReadError(path, "it is a folder in which no file to read was found")
    try:
        with open(path, "rb") as file:
            start = file.read(9)
            if start.startswith(all_of):
                start += file.read()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", error)
        raise ReadError(path, f"it cannot be opened ({reason})") from None
    if not start:
        raise ReadError(path, "it is empty (0 bytes)")
    return start


def fits_bytes(path):
    """All of a FITS file, maybe gzipped: faster than astropy's many small reads."""
    content = first_bytes(path, all_of=(FITS, GZIP))
    if content.startswith(ZIP):
        raise ReadError(path, "an npz (zip) archive: use read_apogee", "npz")
    if not content.startswith((FITS, GZIP)):
        raise ReadError(path, f"it is no FITS file (it begins with {content!r})")
    return content


@contextmanager
def open_fits(path):
    """The `astropy.io.fits.HDUList` of a file, which may be gzipped, for reading.

    Damage shows when a part is read: until it is closed, every error is a `ReadError`.
    """
    content = fits_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # cards we do not read
            warnings.filterwarnings("error", DAMAGE, AstropyWarning)
            if content.startswith(GZIP):
                # astropy compares neither checksum nor length
                content = gzip.decompress(content)
            with fits.open(io.BytesIO(content), memmap=False) as hdus:
                yield hdus
    except Exception as error:  # astropy lets damage raise almost anything
        if isinstance(error, ReadError):
            raise
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise ReadError(path, f"it is damaged or truncated ({detail})") from error


def shape_of(hdu):
    """The shape of an image; () of what is none."""
    images = (fits.PrimaryHDU, fits.ImageHDU)
    return hdu.shape if getattr(hdu, "is_image", isinstance(hdu, images)) else ()


def first_row(hdu, names):
    """The first row of a table, as {name: array or bytes}, as far as it has `names`."""
    rows = table_rows(hdu, names, 1)
    return rows[0] if rows else {}


def table_rows(hdu, names, n_rows=None):
    """The (first) rows of a table, each as {name: array or bytes}."""
    if not isinstance(hdu, fits.BinTableHDU):
        return []
    n_rows = (
        hdu.header["NAXIS2"] if n_rows is None else min(n_rows, hdu.header["NAXIS2"])
    )
    if n_rows < 1:
        return []
    # hdu.data would describe all columns a second time: twice the time of a whole file
    kind = hdu.columns.dtype.newbyteorder(">")
    if kind.itemsize != (n_bytes := hdu.header["NAXIS1"]):
        raise ValueError(f"a row has {n_bytes} bytes, its columns {kind.itemsize}")
    file = hdu.fileinfo()["file"]
    file.seek(hdu.fileinfo()["datLoc"])
    rows = np.frombuffer(file.read(n_rows * kind.itemsize), kind)
    plain = [c.name for c in hdu.columns if c.bscale is None and c.bzero is None]
    return [{name: row[name] for name in plain if name in names} for row in rows]
