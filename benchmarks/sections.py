"""Tables of benchmarks as sections of the documentation.

A benchmark that takes part has a function ``sections(data)`` which yields `Section`
objects; `benchmarks.all` runs it and writes them into its page, between two comments,
together with when, where and by what they were measured. What stands outside of the
comments, and between those of others, stays as it is.
"""

import importlib.metadata
import os
import platform
import re
import subprocess
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.table import Table

import specxfer

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "astropy")


@dataclass(frozen=True)
class Section:
    """A table and what a reader has to know of it.

    Parameters
    ----------
    title : str
    text : str
        The task, the stars, the peers and the seeds, in reStructuredText.
    table : Table
        Cells are written in the format of their column, units into its head.
    """

    title: str
    text: str
    table: Table

    def to_rst(self):
        """The section as reStructuredText."""
        rows = [[head(self.table[name]) for name in self.table.colnames]]
        cells = (column_cells(self.table[name]) for name in self.table.colnames)
        rows += map(list, zip(*cells, strict=True))
        lines = (", ".join(map(quoted, row)) for row in rows)
        return "\n".join(
            [self.title, "-" * len(self.title), "", wrapped(self.text), ""]
            + [".. csv-table::", "   :header-rows: 1", ""]
            + [f"   {line}" for line in lines]
        )


def wrapped(text):
    """A paragraph in lines of the documentation's width."""
    return textwrap.fill(text, 88, break_long_words=False, break_on_hyphens=False)


def head(column):
    """Name of a column with its unit."""
    name = column.info.name.replace("_", " ")
    return f"{name} [{column.unit}]" if column.unit else name


def column_cells(column):
    """The values of a column as they are printed; empty where there is none."""
    column = np.ma.filled(column, np.nan) if np.ma.isMaskedArray(column) else column
    return ["" if is_nan(value) else form(column, value) for value in column]


def form(column, value):
    """One value in the column's format."""
    pattern = getattr(getattr(column, "info", None), "format", None)
    value = getattr(value, "value", value)
    return format(value, pattern) if pattern else str(value)


def is_nan(value):
    """Whether a value is a number that is none."""
    return isinstance(value, float | np.floating) and np.isnan(value)


def quoted(cell):
    """A cell of a csv-table."""
    return '"' + cell.replace('"', '""') + '"'


def conditions():
    """Date, versions and machine, as a sentence; without names of hosts or folders."""
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in PACKAGES)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, specxfer {specxfer.__version__}{commit()}, "
        f"Python {platform.python_version()}, {versions}; {processor()}, "
        f"{os.cpu_count()} cores, threads: {threads}{load} at the start"
    )


def commit():
    """Of which commit the code is, and whether it was changed since."""

    def git(*arguments):
        run = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout

    try:
        name = git("rev-parse", "--short", "HEAD").strip()
        changed = git("status", "--porcelain", "--", "specxfer", "benchmarks")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" ({name}, changed since)" if changed else f" ({name})"


def processor():
    """The model of the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else 0
    return found[1].strip() if found else platform.processor() or platform.machine()


def write(page, name, sections, remark):
    """Put the sections of a benchmark into a page, in the place of its earlier ones.

    Parameters
    ----------
    page : Path
        It exists, and has the introduction.
    name : str
        Of the benchmark.
    sections : sequence of Section
    remark : str
        When, where and by what they were measured.
    """
    body = "\n\n".join(section.to_rst() for section in sections)
    begin, end = f".. begin {name}", f".. end {name}"
    new = f"{begin}\n\n{body}\n\n{wrapped(remark)}\n\n{end}\n"
    text = page.read_text()
    old = re.compile(rf"^{re.escape(begin)}\n.*?^{re.escape(end)}\n", re.M | re.S)
    if old.search(text):
        text = old.sub(lambda _: new, text)
    else:
        text = text.rstrip("\n") + "\n\n" + new
    page.write_text(text)
