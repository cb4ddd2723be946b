"""The parts of a FITS file: structure, single cards, arrays.

astropy parses every card of every header, which takes ten times as long as reading the
numbers. This reads what a spectrum needs, and refuses what it does not understand:
damage is always a `ReadError`.
"""

import gzip
import math
import os
import re
from dataclasses import dataclass

import numpy as np

from specxfer.io._errors import ReadError

__all__ = ["ZIP", "Cards", "Part", "first_bytes", "first_row", "read_parts", "shape_of"]

FITS, ZIP, GZIP = b"SIMPLE  =", b"PK\x03\x04", b"\x1f\x8b"
BLOCK = 2880
EXTENSION = b"XTENSION="
END = re.compile(rb"END {77}")
NOT_A_CARD = re.compile(rb"[^ -~]")
IMAGES = {-32: ">f4", -64: ">f8", 8: "u1", 16: ">i2", 32: ">i4", 64: ">i8"}
COLUMNS = {  # letter of a column in FITS: numpy's
    **{"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4"},
    **{"D": ">f8"},
}
SKIPPED = {"C": 8, "M": 16, "P": 8, "Q": 16}  # bytes of columns that are not read
FORMAT = re.compile(r"(\d*)([A-Z]).*")

TEXT = re.compile(r"'((?:[^']|'')*)'")
WHOLE = re.compile(r"[+-]?\d{1,19}")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([EeDd][+-]?\d+)?")


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
    """All of a FITS file, maybe gzipped."""
    content = first_bytes(path, all_of=(FITS, GZIP))
    if content.startswith(ZIP):
        raise ReadError(path, "an npz (zip) archive: use read_apogee", "npz")
    if not content.startswith((FITS, GZIP)):
        raise ReadError(path, f"it is no FITS file (it begins with {content!r})")
    return content


class Cards:
    """The cards of a header; each is parsed when it is asked for.

    A long text is cut where its first card ends.
    """

    def __init__(self, content):
        self.content, self.places = content, None

    def __getitem__(self, key):
        if self.places is None:
            starts = range(len(self.content) // 80 * 80 - 80, -1, -80)
            # of cards with the same name the first counts, as with astropy
            self.places = {self.content[at : at + 10]: at for at in starts}
        at = self.places.get(f"{key:8}= ".encode("ascii"))
        if at is None:
            raise KeyError(key)
        value = self.content[at + 10 : at + 80].decode("ascii").lstrip()
        if quoted := TEXT.match(value):
            return quoted[1].replace("''", "'").rstrip().removesuffix("&")
        value = value.split("/")[0].rstrip()
        if value in ("T", "F"):
            return value == "T"
        if WHOLE.fullmatch(value):
            return int(value)  # a Gaia source_id has 19 digits, a float 16
        if NUMBER.fullmatch(value):
            return float(value.upper().replace("D", "E"))
        raise ValueError(f"{key} is {value!r}")

    def __contains__(self, key):
        return self.get(key) is not None

    def get(self, key, missing=None):
        """The value of a card, or `missing`; an error where it makes no sense."""
        try:
            return self[key]
        except KeyError:
            return missing


@dataclass
class Part:
    """A header and its data (an HDU)."""

    header: Cards
    shape: tuple  # as numpy has it; () where there are no data
    is_table: bool
    content: bytes
    start: int

    @property
    def is_image(self):
        """Whether it is no table."""
        return not self.is_table

    @property
    def name(self):
        """EXTNAME in lower case."""
        return str(self.header.get("EXTNAME", "")).strip().lower()

    @property
    def data(self):
        """The numbers of an image, as they are in the file."""
        if self.is_table or not self.shape:
            raise ValueError("no image")
        kind = np.dtype(IMAGES[int(self.header["BITPIX"])])
        values = self._array(kind, math.prod(self.shape)).reshape(self.shape)
        scale, zero = self.header.get("BSCALE", 1), self.header.get("BZERO", 0)
        if (scale, zero) == (1, 0):
            return values
        return values * float(scale) + float(zero)

    @property
    def column_names(self):
        """The names of the columns of a table in lower case."""
        n_fields = int(self.header["TFIELDS"]) if self.is_table else 0
        return [self.header[f"TTYPE{i + 1}"].strip().lower() for i in range(n_fields)]

    @property
    def columns(self):
        """The columns of a table that can be read, by name in lower case."""
        if not self.is_table:
            return {}
        rows = self._rows(self.shape[0])
        return {name: rows[name] for name in self._readable()}

    def rows(self, names, n_rows=None):
        """The first rows of a table (all by default), each as {name: array or bytes}.

        Of the `names` those that the table has, whatever their case.
        """
        n_rows = self.shape[0] if n_rows is None else min(n_rows, self.shape[0])
        readable = set(self._readable())
        names = [name for name in names if name.lower() in readable]
        return [
            {name: row[name.lower()] for name in names} for row in self._rows(n_rows)
        ]

    def _readable(self):
        """Names of the columns that are as they are stored, and of a kind we know."""
        for i, name in enumerate(self.column_names, 1):
            scaled = self.header.get(f"TSCAL{i}", self.header.get(f"TZERO{i}"))
            letter = FORMAT.fullmatch(self.header[f"TFORM{i}"].strip())[2]
            if scaled is None and (letter == "A" or letter in COLUMNS):
                yield name

    def _rows(self, n_rows):
        fields = []
        for i, name in enumerate(self.column_names, 1):
            form = FORMAT.fullmatch(self.header[f"TFORM{i}"].strip())
            if form is None:
                raise ValueError(f"column {i} is {self.header[f'TFORM{i}']!r}")
            n, letter = int(form[1] or 1), form[2]
            if letter in COLUMNS:
                fields.append((name, COLUMNS[letter], () if n == 1 else (n,)))
            elif letter in "AX":
                fields.append((name, f"S{n}" if letter == "A" else f"V{-(-n // 8)}"))
            else:
                fields.append((name, f"V{n * SKIPPED[letter]}"))
        kind, n_bytes = np.dtype(fields), self.shape[1]
        if kind.itemsize != n_bytes:
            raise ValueError(f"a row has {n_bytes} bytes, its columns {kind.itemsize}")
        return self._array(kind, n_rows)

    def _array(self, kind, n):
        return np.frombuffer(self.content, kind, n, self.start)


def read_parts(path):
    """All parts of a FITS file, which may be gzipped.

    Raises
    ------
    ReadError
        If it is no FITS file, or ends before its headers say.
    """
    content = fits_bytes(path)
    try:
        if content.startswith(GZIP):
            content = gzip.decompress(content)
        return _parts(content)
    except Exception as error:  # gzip raises half a dozen kinds, damaged cards others
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise ReadError(path, f"it is damaged or truncated ({detail})") from error


def _parts(content):
    parts, at = [], 0
    while at < len(content) and (not parts or content[at:].strip(b"\0 ")):
        if not content.startswith(EXTENSION if parts else FITS, at):
            raise ValueError(f"no header at byte {at}")
        start = _end_of_header(content, at)
        header = Cards(content[at:start])
        sizes = [int(header[f"NAXIS{i + 1}"]) for i in range(int(header["NAXIS"]))]
        shape = tuple(reversed(sizes))
        is_table = bool(parts) and header["XTENSION"].strip() == "BINTABLE"
        part = Part(header, shape, is_table, content, start)
        n_bytes = abs(int(header["BITPIX"])) // 8 * math.prod(sizes) if sizes else 0
        if is_table:
            n_bytes += int(header["PCOUNT"])
        at = start + -(-n_bytes // BLOCK) * BLOCK
        # the padding counts: a piece of the data may be missing instead
        if min(sizes, default=0) < 0 or at > len(content):
            raise ValueError(f"part {len(parts)} ends beyond the end of the file")
        parts.append(part)
    return parts


def _end_of_header(content, at):
    for found in END.finditer(content, at):
        if (found.start() - at) % 80 == 0:
            if NOT_A_CARD.search(content, at, found.start()):
                break  # that is another header's, with numbers before it
            return at + -(-(found.end() - at) // BLOCK) * BLOCK
    raise ValueError("a header has no end")


def shape_of(part):
    """The shape of an image; () of what is none."""
    return () if part.is_table else part.shape


def first_row(part, names):
    """The first row of a table, as {name: array or bytes}, as far as it has `names`."""
    rows = part.rows(names, 1) if part.is_table else []
    return rows[0] if rows else {}
