"""fetch_pairs against a server that is slow, busy, broken or hostile."""

import io
import itertools
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from specxfer.datasets import _download as download
from specxfer.datasets import fetch_pairs
from specxfer.datasets._archives import BASES, remote_files

FIRST, N = 131118001101001, 3


def content(name):
    """A FITS file that its name decides."""
    out = io.BytesIO()
    rng = np.random.default_rng(abs(hash(name)) % 2**32)
    fits.PrimaryHDU(rng.normal(size=3000).astype(">f4")).writeto(out)
    return out.getvalue()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server = self.server
        with server.lock:
            server.n_open += 1
            server.most_open = max(server.most_open, server.n_open)
            server.requests.append((self.command, self.path, dict(self.headers)))
            n = server.count[self.path] = server.count.get(self.path, 0) + 1
        try:
            server.answer(self, n)
        finally:
            with server.lock:
                server.n_open -= 1

    def send(self, body, code=200, length=None, ranges=True, etag='"1"', **headers):
        given = self.headers.get("Range")
        if ranges and code == 200 and given and self.headers.get("If-Range") == etag:
            start = int(given.removeprefix("bytes=").rstrip("-"))
            code = 206
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body = body[start:]
        self.send_response(code)
        headers["Content-Length"] = len(body) if length is None else length
        if etag:
            headers["ETag"] = etag
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    """A server whose `answer` tests set, and a way to fetch from it."""
    monkeypatch.setenv("no_proxy", "*")
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.lock = threading.Lock()
    made.requests, made.count, made.n_open, made.most_open = [], {}, 0, 0
    made.answer = lambda handler, n: handler.send(content(handler.path))
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    made.base = f"http://127.0.0.1:{made.server_port}/"
    yield made
    made.shutdown()
    made.server_close()


def pairs(n=N):
    return Table(
        {
            "source_apogee_id": [f"2M0000000{i}+0000001" for i in range(n)],
            "source_telescope": ["apo25m", *["lco25m"] * (n - 1)],
            "source_field": ["060+00_MGA"] * n,
            "source_sdss_id": [54392544 + i for i in range(n)],
            "target_sobject_id": FIRST + np.arange(n),
        }
    )


def fetch(server, folder, n=N, **options):
    bases = dict.fromkeys(BASES, server.base)
    options = {"source": None, "backoff": 1e-3, "timeout": 5.0, **options}
    return fetch_pairs(pairs(n), folder, bases=bases, **options)


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def assert_all_right(server, report):
    assert report.complete
    for row in report.files:
        parts = urlsplit(row["url"])
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        with open(row["path"], "rb") as file:
            assert file.read() == content(path)


# ----------------------------------------------------------------------- addresses
def test_addresses_are_those_of_the_archives():
    table = pairs(2)
    urls = {
        archive: [f.url for f in remote_files(table, side, archive, BASES)]
        for side, archive in [
            *[("source", name) for name in ("aspcapStar", "apStar", "mwmStar")],
            ("target", "galah_dr3"),
        ]
    }
    sdss = "https://data.sdss.org/sas/"
    assert urls["aspcapStar"][0] == (
        f"{sdss}dr17/apogee/spectro/aspcap/dr17/synspec_rev1/apo25m/060%2B00_MGA/"
        "aspcapStar-dr17-2M00000000%2B0000001.fits"
    )
    assert urls["apStar"] == [
        f"{sdss}dr17/apogee/spectro/redux/dr17/stars/apo25m/060%2B00_MGA/"
        "apStar-dr17-2M00000000%2B0000001.fits",
        f"{sdss}dr17/apogee/spectro/redux/dr17/stars/lco25m/060%2B00_MGA/"
        "asStar-dr17-2M00000001%2B0000001.fits",
    ]
    assert urls["mwmStar"][0] == (
        f"{sdss}dr19/spectro/astra/0.6.0/spectra/star/25/44/mwmStar-0.6.0-54392544.fits"
    )
    short = Table({"source_sdss_id": [7]})  # the folders are of four digits
    assert remote_files(short, "source", "mwmStar", BASES)[0].url == (
        f"{sdss}dr19/spectro/astra/0.6.0/spectra/star/00/07/mwmStar-0.6.0-7.fits"
    )
    assert len(urls["galah_dr3"]) == 8
    assert urls["galah_dr3"][1] == (
        "https://datacentral.org.au/vo/slink/links?ID=131118001101001&DR=galah_dr3"
        "&IDX=0&FILT=G&RESPONSEFORMAT=fits"
    )


def test_nothing_is_asked_where_no_address_is_documented(server, tmp_path):
    for dry_run in (True, False):
        with pytest.raises(ValueError, match="no address of single files") as caught:
            fetch(server, tmp_path, target="galah_dr4", dry_run=dry_run)
        assert "https://datacentral.org.au/services/download/" in str(caught.value)
        assert '"galah_dr3"' in str(caught.value)
    assert not server.requests
    assert not names(tmp_path)


def test_names_that_leave_the_folder_are_refused(server, tmp_path):
    table = pairs(1)
    for bad in ("../../etc", "/etc/passwd", "a/b", "", "..", "a b"):
        table["source_field"] = [bad]
        report = fetch_pairs(
            table, tmp_path, target=None, bases=dict.fromkeys(BASES, server.base)
        )
        assert list(report.files["status"]) == ["failed"]
        assert "is no name of a file or folder" in repr(report)
    assert not names(tmp_path)
    assert not server.requests


# ------------------------------------------------------------------------ all well
def test_everything_comes_and_a_second_call_asks_for_nothing(server, tmp_path):
    report = fetch(server, tmp_path, source="aspcapStar", verbose=0)
    assert len(report.files) == N + 4 * N
    assert_all_right(server, report)
    assert not [name for name in names(tmp_path) if not name.endswith(".fits")]
    assert "15 files fetched" in repr(report)
    before = len(server.requests)
    again = fetch(server, tmp_path, source="aspcapStar")
    assert list(again.files["status"]) == ["there"] * 15
    assert len(server.requests) == before
    one = tmp_path / "galah" / "131118" / f"{FIRST}1.fits"
    one.write_bytes(one.read_bytes()[:-2000])  # damaged since
    assert_all_right(server, fetch(server, tmp_path, source="aspcapStar"))
    assert len(server.requests) == before + 1


def test_repeats_in_the_table_are_fetched_once(server, tmp_path):
    table = pairs(1)[[0, 0, 0]]
    report = fetch_pairs(
        table, tmp_path, source=None, bases=dict.fromkeys(BASES, server.base)
    )
    assert len(report.files) == len(server.requests) == 4


def test_requests_are_bounded(server, tmp_path):
    def slowly(handler, n):
        time.sleep(0.02)
        handler.send(content(handler.path))

    server.answer = slowly
    assert fetch(server, tmp_path, n_jobs=3).complete
    assert 1 < server.most_open <= 3
    for n_jobs in (0, 17):
        with pytest.raises(ValueError, match="expected 1 to 16"):
            fetch(server, tmp_path, n_jobs=n_jobs)


def test_a_dry_run_counts_and_writes_nothing(server, tmp_path):
    folder = tmp_path / "new"
    report = fetch(server, folder, dry_run=True)
    assert not folder.exists()
    assert {command for command, *_ in server.requests} == {"HEAD"}
    sizes = [len(content("x"))] * 12
    assert list(report.files["n_bytes"]) == sizes
    assert f"12 files to fetch, {sum(sizes) / 1e6:.1f} MB" in repr(report)
    assert not report.complete
    fetch(server, folder, n=1)
    report = fetch(server, folder, dry_run=True)
    assert (report.files["status"] == "there").sum() == 4


# --------------------------------------------------------------------- server trouble
@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 408])
def test_a_busy_server_is_asked_again(server, tmp_path, code):
    def busy(handler, n):
        handler.send(content(handler.path) if n > 2 else b"no", 200 if n > 2 else code)

    server.answer = busy
    report = fetch(server, tmp_path, n=1)
    assert_all_right(server, report)
    assert list(report.files["attempts"]) == [3] * 4


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 418, 501])
def test_what_is_not_there_is_not_asked_for_again(server, tmp_path, code):
    server.answer = lambda handler, n: handler.send(b"gone", code)
    report = fetch(server, tmp_path, n=1)
    missing = code in (404, 410)
    assert set(report.files["status"]) == {"missing" if missing else "failed"}
    assert list(report.files["attempts"]) == [1] * 4
    assert f"4 × HTTP {code}" in repr(report)
    assert not names(tmp_path)


def test_it_gives_up_and_says_why(server, tmp_path):
    server.answer = lambda handler, n: handler.send(b"", 503)
    report = fetch(server, tmp_path, n=1, retries=2)
    assert list(report.files["attempts"]) == [3] * 4
    assert "HTTP 503" in repr(report)
    server.answer = lambda handler, n: handler.send(content(handler.path))
    assert_all_right(server, fetch(server, tmp_path, n=1))


def waits(server, folder, header, **options):
    """What a download would sleep for, and its outcome."""
    slept, now = [], itertools.count(0, 1e-3)
    server.answer = lambda handler, n: (
        handler.send(content(handler.path))
        if n > 2
        else handler.send(b"", 429, Retry_After=header)
    )
    downloader = download.Downloader(
        {"127.0.0.1"}, 3, 0.5, 5.0, slept.append, lambda: next(now)
    )
    return slept, downloader.fetch(f"{server.base}star", folder / "star.fits")


def test_it_waits_as_long_as_the_server_asks(server, tmp_path):
    slept, outcome = waits(server, tmp_path, "17")
    assert outcome.status == "fetched"
    np.testing.assert_allclose(slept, 17, atol=0.1)
    server.count.clear()
    slept, _ = waits(server, tmp_path / "c", formatdate(time.time() + 40, usegmt=True))
    np.testing.assert_allclose(slept, [40, 40], atol=3)
    server.count.clear()
    slept, outcome = waits(server, tmp_path / "d", "86400")
    assert not slept
    assert outcome.status == "failed"
    assert "asks to wait for 86400 s" in outcome.reason
    server.count.clear()
    slept, outcome = waits(server, tmp_path / "e", "soon")
    assert outcome.status == "fetched"
    assert 0.3 < slept[0] < 0.7 < slept[1] < 1.3  # its own, doubled


def test_a_pause_is_for_all_requests_to_the_server(server, tmp_path):
    slept, now = [], itertools.count(0, 1e-3)
    downloader = download.Downloader(
        {"127.0.0.1"}, 0, 0.5, 5.0, slept.append, lambda: next(now)
    )
    server.answer = lambda handler, n: handler.send(b"", 429, Retry_After="9")
    downloader.retries = 1
    downloader.fetch(f"{server.base}a", tmp_path / "a.fits")
    server.answer = lambda handler, n: handler.send(content(handler.path))
    slept.clear()
    downloader.fetch(f"{server.base}b", tmp_path / "b.fits")
    assert len(slept) == 1
    assert 8 < slept[0] <= 18


def test_a_server_that_falls_silent(server, tmp_path):
    def silent(handler, n):
        if n == 1:
            time.sleep(0.5)
        handler.send(content(handler.path))

    server.answer = silent
    report = fetch(server, tmp_path, n=1, timeout=0.2)
    assert_all_right(server, report)
    assert (report.files["attempts"] == 2).all()


def test_a_server_that_is_not_there(server, tmp_path):
    server.shutdown()
    server.server_close()
    report = fetch(server, tmp_path, n=1, retries=1)
    assert set(report.files["status"]) == {"failed"}
    assert "refused" in repr(report)


# ----------------------------------------------------------------- broken off, damaged
def test_a_part_is_continued(server, tmp_path):
    def broken(handler, n):
        body = content(handler.path)
        if n == 1:
            handler.send(body[:5000], length=len(body))
        else:
            handler.send(body)

    server.answer = broken
    report = fetch(server, tmp_path, n=1)
    assert_all_right(server, report)
    again = [headers for _, _, headers in server.requests if "Range" in headers]
    assert len(again) == 4
    assert {headers["Range"] for headers in again} == {"bytes=5000-"}
    assert not [name for name in names(tmp_path) if not name.endswith(".fits")]


def test_a_part_is_continued_by_a_later_call(server, tmp_path):
    def broken(handler, n):
        body = content(handler.path)
        handler.send(body[:5000], length=len(body))

    server.answer = broken
    report = fetch(server, tmp_path, n=1, retries=0)
    assert "broken off after 5000 of" in repr(report)
    assert not [name for name in names(tmp_path) if name.endswith(".fits")]
    server.answer = lambda handler, n: handler.send(content(handler.path))
    report = fetch(server, tmp_path, n=1)
    assert_all_right(server, report)
    assert all("Range" in headers for _, _, headers in server.requests[-4:])


@pytest.mark.parametrize("how", ["no ranges", "other version", "no version", "wrong"])
def test_a_part_that_cannot_be_continued_is_begun_again(server, tmp_path, how):
    def answer(handler, n):
        body = content(handler.path)
        if n == 1:
            etag = None if how == "no version" else '"1"'
            handler.send(b"?" * 5000, length=len(body), etag=etag)
        elif how == "wrong" and "Range" in handler.headers:
            handler.send(body[9:], 206, Content_Range=f"bytes 9-{len(body) - 1}/*")
        else:
            handler.send(body, ranges=how == "other version", etag='"2"')

    server.answer = answer
    assert_all_right(server, fetch(server, tmp_path, n=1))


def test_a_part_longer_than_the_file(server, tmp_path):
    path = tmp_path / "galah" / "131118" / f"{FIRST}1.fits.part"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"?" * 99_999)
    path.with_name(f"{path.name}.tag").write_text('"1"')

    def answer(handler, n):
        if "Range" in handler.headers:
            handler.send(b"", 416)
        else:
            handler.send(content(handler.path))

    server.answer = answer
    assert_all_right(server, fetch(server, tmp_path, n=1))


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: b"<html>Service unavailable</html>",
        lambda body: b"",
        lambda body: body[:7000],
        lambda body: b"\0" * len(body),
        lambda body: body[:100] + b"\xff" * 100 + body[200:],
    ],
)
def test_what_is_no_fits_file_is_never_kept(server, tmp_path, damage):
    server.answer = lambda handler, n: handler.send(damage(content(handler.path)))
    report = fetch(server, tmp_path, n=1, retries=1)
    assert set(report.files["status"]) == {"failed"}
    assert "what came is no FITS file" in repr(report)
    assert not names(tmp_path)
    server.answer = lambda handler, n: handler.send(content(handler.path))
    assert_all_right(server, fetch(server, tmp_path, n=1))


def test_a_checksum_in_the_file_is_heeded(server, tmp_path):
    out = io.BytesIO()
    fits.PrimaryHDU(np.arange(3000.0)).writeto(out, checksum=True)
    body = out.getvalue()
    wrong = bytearray(body)
    wrong[-4000] ^= 1
    server.answer = lambda handler, n: handler.send(bytes(wrong) if n < 2 else body)
    report = fetch(server, tmp_path, n=1)
    assert (report.files["attempts"] == 2).all()
    server.count.clear()
    server.answer = lambda handler, n: handler.send(bytes(wrong))
    report = fetch(server, tmp_path / "b", n=1, retries=0)
    assert "checksum" in repr(report)


def test_no_length_and_a_whole_file(server, tmp_path):
    def answer(handler, n):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content(handler.path))

    server.answer = answer
    assert_all_right(server, fetch(server, tmp_path, n=1))


def test_files_that_are_too_large_are_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LARGEST", 9000)
    report = fetch(server, tmp_path, n=1)
    assert "too large" in repr(report)
    server.answer = lambda handler, n: (
        handler.send_response(200),
        handler.end_headers(),
        handler.wfile.write(b"?" * 20_000),
    )
    assert "too large" in repr(fetch(server, tmp_path, n=1))
    assert not [name for name in names(tmp_path) if name.endswith(".fits")]


# ----------------------------------------------------------------------- hostile
def test_redirects_go_to_allowed_hosts_only(server, tmp_path):
    elsewhere = server.base.replace("127.0.0.1", "localhost")
    for place in (elsewhere, "https://example.org/", "file:///etc/passwd", "ftp://a/"):
        server.count.clear()
        server.answer = lambda handler, n, place=place: handler.send(
            b"", 302, Location=f"{place}secret"
        )
        report = fetch(server, tmp_path, n=1)
        assert set(report.files["status"]) == {"failed"}, place
        assert list(report.files["attempts"]) == [1] * 4
        report = fetch(server, tmp_path, n=1, dry_run=True)
        assert set(report.files["status"]) == {"failed"}
    assert not [path for _, path, _ in server.requests if "secret" in path]
    assert not names(tmp_path)


def test_redirects_on_the_same_host_are_followed(server, tmp_path):
    def answer(handler, n):
        if handler.path.startswith("/moved"):
            query = parse_qs(urlsplit(handler.path).query)
            handler.send(content(query["from"][0]))
        else:
            handler.send(b"", 302, Location=f"{server.base}moved?from=there")

    server.answer = answer
    report = fetch(server, tmp_path, n=1)
    assert report.complete


def test_https_is_not_left():
    check = download.Downloader({"a.org"}, 0, 0, 1)._check_address
    check("https://a.org/y", of="https://a.org/x")
    with pytest.raises(download._Failure, match="redirected to http"):
        check("http://a.org/y", of="https://a.org/x")
    with pytest.raises(download._Failure, match=r"b\.org"):
        check("https://b.org/y")
    with pytest.raises(download._Failure, match=r"a\.org\.b\.org"):
        check("https://a.org.b.org/y")


# ------------------------------------------------------------------------ stopping
def test_a_full_disk_stops_everything(server, tmp_path, monkeypatch):
    def full(self, response, file, size, left):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.Downloader, "_copy", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(server, tmp_path)
    assert len(server.requests) < 12
    assert not [name for name in names(tmp_path) if name.endswith(".fits")]


def test_ctrl_c_leaves_parts_to_go_on_with(server, tmp_path, monkeypatch):
    real = download.Downloader._copy

    def interrupted(self, response, file, size, left):
        if len(server.requests) > 5:
            raise KeyboardInterrupt
        return real(self, response, file, size, left)

    monkeypatch.setattr(download.Downloader, "_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path, n_jobs=1)
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")
    report = fetch(server, tmp_path)
    assert_all_right(server, report)
    assert (report.files["status"] == "there").sum() == 5


def test_ctrl_c_does_not_wait_as_long_as_the_server_asks(server, tmp_path, monkeypatch):
    def interrupted(futures):
        while not server.requests:
            time.sleep(0.01)
        raise KeyboardInterrupt

    server.answer = lambda handler, n: handler.send(b"", 429, Retry_After="500")
    monkeypatch.setattr("specxfer.datasets._fetch_pairs.as_completed", interrupted)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path, n=1)
    assert time.monotonic() - start < 60  # of the 500 that it would have slept


def test_wrong_arguments(server, tmp_path):
    with pytest.raises(ValueError, match="expected one of"):
        fetch(server, tmp_path, source="dr99")
    with pytest.raises(ValueError, match="no column 'target_sobject_id'"):
        fetch_pairs(pairs()[["source_apogee_id"]], tmp_path, source=None)
    with pytest.raises(ValueError, match="bases has 'eso'"):
        fetch_pairs(pairs(), tmp_path, bases={"eso": "http://x/"})
