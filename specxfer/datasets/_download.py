"""Download files: politely, from allowed hosts, whole or not at all."""

import email.utils
import os
import random
import threading
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from astropy.io import fits

from specxfer._version import __version__
from specxfer.io._errors import ReadError
from specxfer.io._fits import read_parts

__all__ = ["Downloader", "Outcome"]

CHUNK = 2**16  # bytes
LARGEST = 2**28  # bytes; spectra have less than 2 MB
PATIENCE = 600.0  # seconds: the longest a server may ask to wait
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
GONE = {404: "missing", 410: "missing"}


@dataclass
class Outcome:
    """What became of a file."""

    status: str  # fetched, there, missing, failed, or (dry run) to fetch
    n_bytes: int = -1
    attempts: int = 0
    reason: str = ""


class _Failure(Exception):
    """An attempt failed, and another one would too."""


class _Setback(Exception):
    """An attempt failed; another may not."""

    def __init__(self, reason, wait=None, restart=False):
        super().__init__(reason)
        self.wait, self.restart = wait, restart


class _AllowedRedirects(HTTPRedirectHandler):
    def __init__(self, check):
        self.check = check

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        self.check(newurl, of=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Downloader:
    """Fetches files over HTTP.

    Parameters
    ----------
    hosts : set of str
        The hosts it may speak to, redirects included.
    retries : int
        Attempts after the first.
    backoff : float
        Seconds before the second attempt; doubled before each further one.
    timeout : float
        Seconds without a byte after which an attempt has failed.
    sleep : callable, optional
        To wait so many seconds; by default a wait that `stop` ends.
    clock : callable
        `time.monotonic`, or what stands for it.
    """

    def __init__(
        self, hosts, retries, backoff, timeout, sleep=None, clock=time.monotonic
    ):
        self.hosts, self.retries, self.backoff = hosts, retries, backoff
        self.stopped = threading.Event()
        self.timeout, self.sleep, self.clock = timeout, sleep, clock
        if sleep is None:
            self.sleep = self.stopped.wait
        self.opener = build_opener(_AllowedRedirects(self._check_address))
        self._pauses, self._lock = {}, threading.Lock()
        self._random = random.Random()

    def stop(self):
        """No further attempts, in any thread."""
        self.stopped.set()

    def fetch(self, url, path):
        """Get one file, or go on with the part of it that is there."""
        path = Path(path)
        if path.exists() and not _flaw(path):
            return Outcome("there", path.stat().st_size)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        return self._try(url, lambda: self._get(url, path, part))

    def look(self, url, path):
        """Ask how large a file is."""
        path = Path(path)
        if path.exists() and not _flaw(path):
            return Outcome("there", path.stat().st_size)

        def ask():
            with self._open(Request(url, method="HEAD")) as response:
                return int(response.headers.get("Content-Length", -1))

        outcome = self._try(url, ask)
        outcome.status = {"fetched": "to fetch"}.get(outcome.status, outcome.status)
        return outcome

    # ------------------------------------------------------------------ attempts
    def _try(self, url, attempt):
        reason = "stopped"
        for n in range(1, self.retries + 2):
            try:
                self._wait_for(url)
                if self.stopped.is_set():
                    return Outcome("failed", attempts=n - 1, reason=reason)
                return Outcome("fetched", attempt(), n)
            except _Failure as failure:
                status, reason = failure.args
                return Outcome(status, attempts=n, reason=reason)
            except _Setback as setback:
                reason = str(setback)
                if n > self.retries:
                    break
                wait = self.backoff * 2 ** (n - 1) * self._random.uniform(0.75, 1.25)
                if setback.wait is not None:
                    if setback.wait > PATIENCE:
                        reason += f", and asks to wait for {setback.wait:.0f} s"
                        return Outcome("failed", attempts=n, reason=reason)
                    wait = max(wait, setback.wait)
                    self._pause(url, wait)  # all threads: the server has had enough
                else:
                    self.sleep(wait)
        return Outcome("failed", attempts=n, reason=reason)

    def _pause(self, url, seconds):
        host, until = urlsplit(url).hostname, self.clock() + seconds
        with self._lock:
            self._pauses[host] = max(until, self._pauses.get(host, until))

    def _wait_for(self, url):
        with self._lock:
            until = self._pauses.get(urlsplit(url).hostname, 0.0)
        left = until - self.clock()
        if left > 0:
            self.sleep(left)

    def _get(self, url, path, part):
        """One attempt: the number of bytes of the whole file."""
        tag = part.with_name(f"{part.name}.tag")
        request = Request(url)
        have = part.stat().st_size if part.exists() and tag.exists() else 0
        if have:
            request.add_header("Range", f"bytes={have}-")
            request.add_header("If-Range", tag.read_text())
        try:
            with self._open(request) as response:
                start = self._start_of(response, have)
                left = _length(response)
                if left is not None and start + left > LARGEST:
                    said = f"it is of {start + left} bytes: too large"
                    raise _Failure("failed", said)
                if not start:  # before the tag, so that it is never that of another
                    _remove(part)
                _write_tag(tag, response.headers)
                with open(part, "ab") as file:
                    size = self._copy(response, file, start, left)
        except _Setback as setback:
            if setback.restart:
                _remove(part, tag)
            raise
        flaw = _flaw(part)
        if flaw:
            _remove(part, tag)
            raise _Setback(f"what came is no FITS file: {flaw}")
        os.replace(part, path)
        _remove(tag)
        return size

    def _start_of(self, response, have):
        """How many bytes of the part that is there the answer continues."""
        if response.status != 206:
            return 0
        seen = response.headers.get("Content-Range", "")
        if not have or not seen.startswith(f"bytes {have}-"):
            said = f"asked for the bytes from {have}, was given {seen!r}"
            raise _Setback(said, None, True)
        return have

    def _copy(self, response, file, size, left):
        whole = None if left is None else size + left
        while True:
            if self.stopped.is_set():
                raise _Failure("failed", "stopped")
            try:
                chunk = response.read1(CHUNK)
            except (HTTPException, OSError) as error:
                raise _Setback(f"broken off after {size} bytes ({error})") from None
            if not chunk:
                break
            file.write(chunk)  # an error of the disk is nobody's to retry
            size += len(chunk)
            if size > LARGEST:
                raise _Failure("failed", f"it has more than {LARGEST} bytes: too large")
        file.flush()
        os.fsync(file.fileno())
        if whole is not None and size != whole:
            raise _Setback(f"broken off after {size} of {whole} bytes")
        return size

    def _open(self, request):
        """The answer to a request; every other ending is a setback or a failure."""
        self._check_address(request.full_url)
        request.add_header("User-Agent", f"specxfer/{__version__}")
        request.add_header("Accept-Encoding", "identity")
        try:
            return self.opener.open(request, timeout=self.timeout)
        except HTTPError as error:
            error.close()
            said = f"HTTP {error.code} {error.reason}"
            if error.code == 416:  # nothing there after what we have
                raise _Setback(f"{said}: the part does not fit", None, True) from None
            if error.code in TRY_AGAIN:
                wait = _retry_after(error.headers.get("Retry-After"))
                raise _Setback(said, wait) from None
            raise _Failure(GONE.get(error.code, "failed"), said) from None
        except URLError as error:
            raise _Setback(str(error.reason)) from None
        except (HTTPException, OSError) as error:
            raise _Setback(f"{type(error).__name__}: {error}") from None

    def _check_address(self, url, of=None):
        parts = urlsplit(url)
        if parts.hostname not in self.hosts:
            how = "redirected to " if of else ""
            raise _Failure("failed", f"{how}{parts.hostname}, which is not allowed")
        expected = {"https"} if of and of.startswith("https:") else {"https", "http"}
        if parts.scheme not in expected:
            raise _Failure("failed", f"redirected to {parts.scheme}: not allowed")


def _length(response):
    """How many bytes an answer has, if it says so."""
    said = response.headers.get("Content-Length")
    return int(said) if said is not None and said.isdigit() else None


def _write_tag(tag, headers):
    """Note which version of the file this is: a part is continued only by the same."""
    etag = headers.get("ETag", "")
    known = headers.get("Last-Modified") if etag.startswith("W/") or not etag else etag
    if known:
        tag.write_text(known)
    else:
        _remove(tag)


def _flaw(path):
    """Why a file is no whole FITS file; "" if it is one."""
    try:
        parts = read_parts(path)
        if any(_has(part.header, "DATASUM") for part in parts):
            with fits.open(path, memmap=False) as hdus:
                if not all(hdu.verify_datasum() for hdu in hdus):
                    return "its checksum (DATASUM) is another"
    except (ReadError, OSError, ValueError) as error:
        return getattr(error, "reason", str(error))
    return ""


def _has(header, key):
    try:
        return header[key] is not None
    except KeyError:
        return False


def _remove(*paths):
    for path in paths:
        path.unlink(missing_ok=True)


def _retry_after(said):
    """Seconds that a server asks to wait; None if it does not say."""
    if said is None:
        return None
    if said.strip().isdigit():
        return float(said)
    try:
        when = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())
