"""Read many files, in parallel, into one array and one report."""

import os
import warnings
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from astropy.table import Table
from joblib import Parallel, delayed
from tqdm import tqdm

from specxfer.io._errors import ReadWarning

__all__ = ["Reading", "collect", "mask_pixels", "meta_table", "most_refused", "refused"]

ABSURD = 1e6  # continuum units: beyond it no number is a measurement
TINY = 1e-6  # and below it none is: padding, or what damage left
# a table that is too wide for a terminal loses columns from the middle: the paths
REPORTED = ("status", "reason", "id", "file", "format")


@dataclass
class Reading:
    """One spectrum, or why there is none."""

    file: str
    id: str = ""
    format: str = "unknown"
    status: str = "read"  # or "partial", or "refused"
    reason: str = ""
    flux: np.ndarray | None = None
    ivar: np.ndarray | None = None
    meta: dict = field(default_factory=dict)
    resolution: np.ndarray | float = np.nan
    errors: tuple = ()  # the ReadErrors met on the way


def refused(error, id=""):
    """The `Reading` of a file that was refused."""
    return Reading(
        error.path, id, error.format, "refused", error.reason, errors=(error,)
    )


def mask_pixels(flux, error, good, max_error, max_flux):
    """NaN and weight 0 where a pixel is bad or cannot be starlight.

    Parameters
    ----------
    flux, error : ndarray of float64 of shape (n_pixels,)
        Continuum units. Readers give the errors a floor, so ivar stays finite.
    good : ndarray of bool of shape (n_pixels,)
        What the survey says of the pixels.
    max_error : float
        Pixels with a larger error are bad.
    max_flux : float or None
        Pixels more than 5 errors above it, and their neighbours (3 on each side),
        are bad: cosmic rays and sky lines, which no survey flags for us. So are
        pixels more than 5 errors below 0.

    Returns
    -------
    flux, ivar : ndarray of float32 of shape (n_pixels,)
    """
    with np.errstate(all="ignore"):  # damaged files hold NaN, infinity and 1e300
        good = good & (np.abs(flux) < ABSURD) & (np.abs(flux) > TINY) & (error > TINY)
        good &= error <= min(max_error, ABSURD)
        if max_flux is not None:
            spike = good & (flux > max_flux + 5 * error)
            good &= np.convolve(spike, np.ones(7), "same") < 0.5
            good &= flux > -5 * error
        flux = np.where(good, flux, np.nan).astype(np.float32)
        ivar = np.where(good, 1 / np.square(error), 0).astype(np.float32)
    return flux, ivar


def collect(read_one, tasks, n_pixels, *, n_jobs, verbose, on_error):
    """Run `read_one` over `tasks` and stack what it read, in the order of `tasks`.

    Parameters
    ----------
    read_one : callable
        From a task to its `Reading`, or to a list of them where a file holds several
        spectra, or a task is a list of files.

    Returns
    -------
    flux, ivar : ndarray of float32 of shape (n_read, n_pixels)
    readings : list of Reading
        Those of the rows, without their arrays.
    report : Table
    """
    if on_error not in ("skip", "raise"):
        raise ValueError(f'on_error is {on_error!r}; expected "skip" or "raise".')
    # pages that are never written cost no memory, so room for one a file is free
    n_files = sum(map(_size, tasks))
    flux = np.empty((n_files, n_pixels), np.float32)
    ivar = np.empty((n_files, n_pixels), np.float32)
    kept, lines = [], []
    for reading in _run(read_one, tasks, n_jobs, verbose, on_error):
        good = 0
        if reading.status != "refused":
            row = len(kept)
            if row == len(flux):
                room = (row + row // 4 + 1, n_pixels)
                flux.resize(room, refcheck=False)  # the system moves pages, not bytes
                ivar.resize(room, refcheck=False)
            flux[row], ivar[row] = reading.flux, reading.ivar
            good = int(np.count_nonzero(reading.ivar))
            reading.flux = reading.ivar = None
            kept.append(reading)
        lines.append([*(getattr(reading, name) for name in REPORTED), good])
    columns = list(zip(*lines)) or [()] * (len(REPORTED) + 1)
    report = Table({n: np.array(c, "U") for n, c in zip(REPORTED, columns)})
    report["n_good"] = np.array(columns[-1], int)
    if not kept and len(set(report["file"])) > 1:  # of one file, its row says it all
        warnings.warn(f"nothing was read: {most_refused(report)}.", ReadWarning, 3)
    return flux[: len(kept)], ivar[: len(kept)], kept, report


def most_refused(report):
    """Of how many files none was read, and why, in most cases.

    Parameters
    ----------
    report : Table
        With columns status, reason and file.

    Returns
    -------
    str
    """
    refused = report[report["status"] == "refused"]
    reasons = Counter(refused["reason"].tolist())
    ((reason, n),) = reasons.most_common(1)
    first = os.path.basename(refused["file"][refused["reason"] == reason][0])
    return f"{n} of {len(report)} are refused, as {first}: {reason}"


def _run(read_one, tasks, n_jobs, verbose, on_error):
    total = sum(map(_size, tasks))
    progress = tqdm(total=total, disable=not verbose, unit="spectrum")
    jobs = (delayed(_guarded)(read_one, task, on_error) for task in tasks)
    results = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    with progress:
        for task, readings in zip(tasks, results):
            progress.update(_size(task))
            yield from readings


def _size(task):
    return len(task) if isinstance(task, list) else 1


def _guarded(read_one, task, on_error):
    readings = read_one(task)
    readings = readings if isinstance(readings, list) else [readings]
    for reading in readings:
        if on_error == "raise" and reading.errors:
            raise reading.errors[0]
        reading.errors = ()  # their tracebacks hold on to whole files
    return readings


def meta_table(readings, columns):
    """The `meta` table of the spectra read: `columns` maps name to (type, unit)."""
    table = Table()
    for name, (kind, unit) in columns.items():
        missing = {"f": np.nan, "i": -1, "U": ""}[np.dtype(kind).kind]
        values = [r.meta.get(name, missing) for r in readings]
        table[name] = np.array(values, dtype=kind)
        table[name].unit = unit
    table["file"] = np.array([r.file for r in readings], dtype="U")
    return table
