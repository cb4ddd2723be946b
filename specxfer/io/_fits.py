"""Just enough FITS to read a spectrum: fast, and unable to fall over.

A survey file is a few rows of numbers and thousands of header cards of which we want
ten. Interpreting every card, and every column of a one-row table, costs astropy many
times what the numbers do, and damaged cards make it raise almost anything. This module
looks up the cards it is asked for, and refuses what it does not understand.
"""

import gzip
import math
import os
import re
import zlib

import numpy as np

from specxfer.io._errors import ReadError

__all__ = ["HDU", "ZIP", "Header", "open_fits", "read_bytes"]

BLOCK, CARD = 2880, 80
ZIP = b"PK\x03\x04"
END = b"END".ljust(CARD)
BITPIX = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
COLUMNS = {  # the types of table columns: numpy type and bytes of one
    "L": ("u1", 1),
    "B": ("u1", 1),
    "I": (">i2", 2),
    "J": (">i4", 4),
    "K": (">i8", 8),
    "E": (">f4", 4),
    "D": (">f8", 8),
    "A": ("S", 1),
    "X": (None, 0),  # bits
    "C": (None, 8),
    "M": (None, 16),
    "P": (None, 8),
    "Q": (None, 16),
}
COLUMN_CARD = re.compile(rb"((?:TTYPE|TFORM)\d+) *= '([^']*)'")
VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^/]*))")


class Header:
    """The cards of one HDU, interpreted when asked for: ``header["CRVAL1"]``."""

    def __init__(self, cards):
        self.cards = cards

    def __getitem__(self, key):
        start = f"{key:<8}= ".encode("ascii")
        at = self.cards.find(start)
        while at % CARD:  # inside another card, or -1: nowhere
            if at < 0:
                raise KeyError(key)
            at = self.cards.find(start, at + 1)
        return _value(self.cards[at + 10 : at + CARD].decode("ascii", "replace"))

    def get(self, key, default=None):
        """The value of a card, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default


def _value(card):
    text, other = VALUE.match(card).groups()
    if text is not None:
        return text.replace("''", "'").rstrip()
    other = other.strip()
    if other in ("T", "F"):
        return other == "T"
    for number in (int, float):
        try:
            return number(other.replace("D", "E"))
        except ValueError:
            continue
    return other


class HDU:
    """One part of a FITS file: its header, its shape, and its data when asked for."""

    def __init__(self, buffer, header, start, shape):
        self.buffer, self.header, self.start, self.shape = buffer, header, start, shape

    @property
    def is_table(self):
        """Whether it is a binary table."""
        return self.header.get("XTENSION") == "BINTABLE"

    @property
    def name(self):
        """EXTNAME in lower case, or ""."""
        return str(self.header.get("EXTNAME", "")).strip().lower()

    @property
    def data(self):
        """The image, as stored: big-endian and read-only. None if there is none."""
        if not self.shape:
            return None
        kind = BITPIX[self.header["BITPIX"]]
        count = math.prod(self.shape)
        data = np.frombuffer(self.buffer, kind, count, self.start).reshape(self.shape)
        scale, zero = self.header.get("BSCALE", 1), self.header.get("BZERO", 0)
        return data if (scale, zero) == (1, 0) else data * float(scale) + float(zero)

    def columns(self):
        """The columns of a table: {name in capitals: (type, offset, count)}."""
        cards = dict(COLUMN_CARD.findall(self.header.cards))
        found, offset = {}, 0
        for i in range(1, int(self.header["TFIELDS"]) + 1):
            form = cards[b"TFORM%d" % i].decode("ascii")
            repeat, code = re.match(r"\s*(\d*)([A-Z])", form).groups()
            repeat = int(repeat or 1)
            kind, size = COLUMNS[code]
            name = cards.get(b"TTYPE%d" % i, b"").decode("ascii", "replace")
            found[name.strip().upper()] = (kind, offset, repeat)
            offset += -(-repeat // 8) if code == "X" else size * repeat
        return found

    def first_row(self, names):
        """The first row of a table, as {name: array or text}, as far as it has them."""
        row = {}
        if not self.is_table or self.shape[0] < 1:
            return row
        columns = self.columns()
        for name in names:
            kind, offset, count = columns.get(name, (None, 0, 0))
            if kind is None or count == 0 or offset + count > self.shape[1]:
                continue
            start = self.start + offset
            if kind == "S":
                text = self.buffer[start : start + count].split(b"\0")[0]
                row[name] = text.decode("ascii", "replace").strip()
            else:
                row[name] = np.frombuffer(self.buffer, kind, count, start)
        return row


def read_bytes(path):
    """All of a file; a `ReadError` if it cannot be opened or is empty."""
    if os.path.isdir(path):
        raise ReadError(path, "it is a folder in which no FITS or npz file was found")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ReadError(path, f"it cannot be opened ({error.strerror})") from None
    except ValueError as error:  # a null character in the name
        raise ReadError(path, f"it cannot be opened ({error})") from None
    if not content:
        raise ReadError(path, "it is empty (0 bytes)")
    return content


def open_fits(path, content=None):
    """The parts of a FITS file, which may be gzipped.

    Parameters
    ----------
    path : path-like
    content : bytes, optional
        What is in the file, if that is known already.

    Returns
    -------
    list of HDU

    Raises
    ------
    ReadError
        If the file cannot be opened, is no FITS file, is damaged or is truncated.
    """
    buffer = _unpacked(path, read_bytes(path) if content is None else content)
    hdus, at = [], 0
    while at < len(buffer):
        if hdus and not buffer.startswith(b"XTENSION", at):
            break  # padding, or what the standard calls special records
        try:
            hdu, at = _next(buffer, at)
        except (KeyError, ValueError, TypeError) as error:
            raise ReadError(
                path, f"it is damaged or truncated in HDU{len(hdus)}: {error.args[0]}"
            ) from None
        hdus.append(hdu)
    return hdus


def _unpacked(path, buffer):
    if buffer.startswith(b"\x1f\x8b"):
        try:
            buffer = gzip.decompress(buffer)
        except (OSError, EOFError, zlib.error) as error:
            raise ReadError(path, f"a damaged gzip file ({error})") from None
    if buffer.startswith(ZIP):
        raise ReadError(path, "an npz (zip) archive: use read_apogee", "npz")
    if not buffer.startswith(b"SIMPLE  ="):
        raise ReadError(path, f"it is no FITS file (it begins with {buffer[:9]!r})")
    return buffer


def _next(buffer, at):
    """The HDU that starts at byte `at`, and where the next one starts."""
    end = buffer.find(END, at)
    while end >= 0 and (end - at) % CARD:
        end = buffer.find(END, end + 1)
    if end < 0:
        raise ValueError("its header has no end")
    header = Header(buffer[at:end])
    start = at + -(-(end + CARD - at) // BLOCK) * BLOCK
    if start > len(buffer):
        raise ValueError(f"its header ends at byte {start}, the file at {len(buffer)}")
    if header["BITPIX"] not in BITPIX:
        raise ValueError(f"BITPIX is {header['BITPIX']!r}")
    axes = [header[f"NAXIS{i}"] for i in range(int(header["NAXIS"]), 0, -1)]
    counts = [*axes, header.get("PCOUNT", 0), header.get("GCOUNT", 1)]
    if not all(isinstance(n, int) and n >= 0 for n in counts):
        raise ValueError(f"its axes are {axes}")
    pixels = math.prod(axes) if axes else 0
    size = abs(header["BITPIX"]) // 8 * counts[-1] * (pixels + counts[-2])
    if start + size > len(buffer):
        raise ValueError(
            f"it promises data up to byte {start + size}, there are {len(buffer)}"
        )
    return HDU(buffer, header, start, tuple(axes)), start + -(-size // BLOCK) * BLOCK
