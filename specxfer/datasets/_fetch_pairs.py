"""`fetch_pairs`: the spectra of a cross-match, from the surveys' archives."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from astropy.table import Table
from tqdm import tqdm

from specxfer.datasets._archives import BASES, remote_files
from specxfer.datasets._download import Downloader, Outcome

__all__ = ["FetchReport", "fetch_pairs"]

MOST = 16  # requests at the same time: archives are shared
ELSEWHERE = {"cloud.datacentral.org.au"}  # what the archives redirect to


class FetchReport(NamedTuple):
    """What became of the files of a download.

    Parameters
    ----------
    files : Table
        One row a file: url, path, status ("fetched", "there", "missing", "failed", or
        in a dry run "to fetch"), n_bytes (-1 unknown), attempts, reason.
    """

    files: Table

    @property
    def complete(self):
        """Whether all files are there."""
        return bool(np.isin(self.files["status"], ["fetched", "there"]).all())

    def __repr__(self):
        lines = []
        for status in ("fetched", "there", "to fetch", "missing", "failed"):
            some = self.files[self.files["status"] == status]
            if not len(some):
                continue
            known = np.asarray(some["n_bytes"])[some["n_bytes"] >= 0]
            size = f", {known.sum() / 1e6:.1f} MB" if len(known) else ""
            if len(known) and len(known) < len(some):
                size += f" and {len(some) - len(known)} files of unknown size"
            lines.append(f"{len(some)} files {status}{size}")
            reasons, first, n = np.unique(
                np.asarray(some["reason"]), return_index=True, return_counts=True
            )
            for reason, row, count in zip(reasons, first, n):
                if reason:
                    lines.append(f"  {count} × {reason}, as {some['path'][row]}")
        return "\n".join(lines) or "no files"

    __str__ = __repr__


def fetch_pairs(
    pairs,
    folder,
    *,
    source="aspcapStar",
    target="galah_dr3",
    n_jobs=4,
    retries=5,
    backoff=1.0,
    timeout=60.0,
    dry_run=False,
    bases=None,
    verbose=0,
):
    """Download the spectra of a cross-match.

    A file is written under another name and gets its own when it is whole and opens as
    FITS; what is there already is not fetched again, and what was broken off goes on
    where it was. Call again to fetch what failed.

    Parameters
    ----------
    pairs : Table
        As of `specxfer.io.crossmatch`: with source_apogee_id, source_telescope and
        source_field (or source_sdss_id) and target_sobject_id.
    folder : path-like
        Files go into ``apogee/{telescope}/{field}``, ``sdss5/{..}/{..}`` and
        ``galah/{yymmdd}`` below it.
    source, target : str or None
        The archive of each side, None to leave it out: "aspcapStar" or "apStar"
        (APOGEE DR17), "mwmStar" (SDSS-V DR19), "galah_dr3" (four files a spectrum).
        Where GALAH DR4 keeps single files is not documented: "galah_dr4" is an error
        that says how to get them.
    n_jobs : int, default=4
        Files fetched at the same time, 16 at most.
    retries : int, default=5
        Further attempts when a server is busy or fails, a connection breaks, or what
        came is no FITS file.
    backoff : float, default=1.0
        Seconds before the second attempt, doubled before each further one. If a server
        says how long to wait (Retry-After), all requests to it wait.
    timeout : float, default=60.0
        Seconds without a byte after which an attempt has failed.
    dry_run : bool, default=False
        Only ask how many files and bytes it would be; nothing is written.
    bases : dict, optional
        Other addresses for "sdss" and "datacentral", such as a mirror's.
    verbose : int, default=0
        Above 0, show a progress bar.

    Returns
    -------
    FetchReport
        Print it; ``report.files`` has a row a file, ``report.complete`` says whether
        all are there.

    Raises
    ------
    ValueError
        If columns are missing from `pairs`, `n_jobs` is not 1 to 16, or it is not known
        where an archive keeps its files.
    OSError
        If a file cannot be written. What was fetched stays.

    Notes
    -----
    Only the hosts of `bases` and those they are known to redirect to are asked; a
    redirect to another host, or from https to http, is refused. A file is whole if its
    size is what the server said, its FITS structure is complete, and its checksums, if
    its headers have any (DATASUM), are right.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from specxfer.datasets import fetch_pairs
    >>> pairs = Table({"target_sobject_id": [131118001101019]})
    >>> report = fetch_pairs(pairs[:0], "spectra", source=None, dry_run=True)
    >>> report
    no files
    """
    if not 1 <= n_jobs <= MOST:
        raise ValueError(
            f"n_jobs is {n_jobs}; expected 1 to {MOST}: the archives are shared."
        )
    bases = BASES | (bases or {})
    unknown = set(bases) - set(BASES)
    if unknown:
        raise ValueError(f"bases has {min(unknown)!r}; expected {sorted(BASES)}.")
    files = [
        file
        for side, archive in (("source", source), ("target", target))
        if archive is not None
        for file in remote_files(pairs, side, archive, bases)
    ]
    hosts = {urlsplit(base).hostname for base in bases.values()} | ELSEWHERE
    downloader = Downloader(hosts, retries, backoff, timeout)
    act = downloader.look if dry_run else downloader.fetch
    folder = Path(folder)
    outcomes = _run(act, downloader, files, folder, n_jobs, verbose)
    table = Table()
    table["url"] = np.array([file.url for file in files], "U")
    table["path"] = np.array([str(folder / file.path) for file in files], "U")
    for name, kind in (
        ("status", "U"),
        ("n_bytes", int),
        ("attempts", int),
        ("reason", "U"),
    ):
        table[name] = np.array([getattr(o, name) for o in outcomes], kind)
    return FetchReport(table)


def _run(act, downloader, files, folder, n_jobs, verbose):
    """The outcome of each file, in order."""

    def one(file):
        if file.problem:
            return Outcome("failed", reason=file.problem)
        return act(file.url, folder / file.path)

    pool = ThreadPoolExecutor(n_jobs)
    try:
        futures = [pool.submit(one, file) for file in files]
        with tqdm(total=len(files), disable=not verbose, unit="file") as progress:
            for future in as_completed(futures):
                future.result()  # raises at once, whichever file it was
                progress.update()
        return [future.result() for future in futures]
    except BaseException:  # Ctrl-C, or a disk that is full: no thread goes on
        downloader.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
