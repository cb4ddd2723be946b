"""Damaged files of every format: read or refused with a reason, never a crash."""

from functools import partial

import numpy as np
import pytest

from specxfer.io import ReadError, read_apogee, read_galah, read_multimodal

pytest.importorskip("h5py")

N_DAMAGED = 40  # of each kind of damage, for each format
N_PASS = 60  # pixels of 200 damaged bytes; a moved continuum or grid is thousands
N_WEIGHTS = 100  # a damaged error passes more easily, and two new pixels share it
FORMATS = {
    "aspcapstar": read_apogee,
    "apstar": read_apogee,
    "apvisit": read_apogee,
    "mwmstar": read_apogee,
    "pixels_npz": read_apogee,
    "galah_dr3": read_galah,
    "galah_dr4": read_galah,
    "galah_fit": read_galah,
    "mmu_apogee": partial(read_multimodal, survey="apogee"),
    "mmu_galah": partial(read_multimodal, survey="galah"),
}
SUFFIXES = {"pixels_npz": "npz", "mmu_apogee": "hdf5", "mmu_galah": "hdf5"}


def good_file(write, format, folder):
    if format.startswith("galah_dr"):
        return getattr(write, format)(folder, 210115000101001, ccds=[3])[0]
    options = {"n_rows": (1, 0)} if format == "mwmstar" else {}
    options |= {"n": 1} if format.startswith("mmu") else {}
    path = folder / f"star.{SUFFIXES.get(format, 'fits')}"
    return getattr(write, format)(path, **options)


def flip_anywhere(content, rng):
    at = rng.integers(len(content), size=rng.integers(1, 200))
    content[at] = rng.integers(256, size=len(at))
    return content


def flip_in_header(content, rng):
    at = rng.integers(min(len(content), 2880), size=rng.integers(1, 30))
    content[at] = rng.integers(256, size=len(at))
    return content


def swap_characters_of_cards(content, rng):
    """Printable nonsense in headers: digits, letters and signs in the wrong place."""
    text = (content > 31) & (content < 127)
    at = rng.choice(np.flatnonzero(text), size=rng.integers(1, 40))
    content[at] = rng.choice(np.frombuffer(b"0123456789+-.ETF' ", np.uint8), len(at))
    return content


def wipe_a_piece(content, rng):
    start = rng.integers(len(content))
    content[start : start + rng.integers(1, 20_000)] = rng.choice([0, 255, 32])
    return content


def cut(content, rng):
    return content[: rng.integers(len(content))]


def splice(content, rng):
    """A piece is missing, so that everything after it is out of step."""
    start = rng.integers(len(content))
    return np.delete(content, slice(start, start + rng.integers(1, 5_000)))


DAMAGE = (
    flip_anywhere,
    flip_in_header,
    swap_characters_of_cards,
    wipe_a_piece,
    cut,
    splice,
)


def moved(X, whole):
    """Pixels that differ from those of the undamaged file by more than its noise."""
    both = X.valid()[0] & whole.valid()[0]
    noise = np.maximum(whole.ivar[0, both] ** -0.5, 0.005)
    return np.abs(X.flux[0, both] - whole.flux[0, both]) > noise


def reweighted(X, whole):
    """Pixels whose inverse variance has changed."""
    both = X.valid()[0] & whole.valid()[0]
    return np.abs(X.ivar[0, both] / whole.ivar[0, both] - 1) > 0.2


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files(write, tmp_path, rng, format, damage):
    read = FORMATS[format]
    path = good_file(write, format, tmp_path)
    undamaged = read(path)[0]
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for i in range(N_DAMAGED):
        path.write_bytes(damage(whole.copy(), rng).tobytes())
        X, report = read(path)
        what = f"{damage.__name__} {i}: {dict(zip(report.colnames, report[0]))}"
        assert len(report) == 1, what
        assert report["status"][0] in ("read", "partial", "refused"), what
        assert len(X) == (report["status"][0] != "refused"), what
        assert (report["status"][0] == "read") == (report["reason"][0] == ""), what
        assert (X.ivar >= 0).all(), what
        assert np.isfinite(X.ivar).all(), what
        assert (np.isfinite(X.flux) == (X.ivar > 0)).all(), what
        if len(X) == 0:
            with pytest.raises(ReadError) as caught:
                read(path, on_error="raise")
            assert caught.value.reason, what
        else:
            # no byte says what a damaged pixel was, and one may pass for starlight
            assert moved(X, undamaged).sum() <= N_PASS, what
            assert reweighted(X, undamaged).sum() <= N_WEIGHTS, what


@pytest.mark.parametrize(
    "format",
    [
        *("aspcapstar", "apstar", "apvisit", "mwmstar", "pixels_npz"),
        *("galah_dr3", "galah_dr4", "galah_fit", "mmu_apogee", "mmu_galah"),
    ],
)
def test_every_cut_is_noticed(write, tmp_path, rng, format):
    """A download that stopped is refused, wherever it stopped (or lacks a part)."""
    path = good_file(write, format, tmp_path)
    whole = path.read_bytes()
    for length in rng.integers(len(whole.rstrip(b"\0")) - 1, size=N_DAMAGED):
        path.write_bytes(whole[:length])
        X, report = FORMATS[format](path)
        reason = report["reason"][0]
        assert reason
        # cut exactly between two parts of a file, what is there is whole
        lacks_a_part = "has no" in reason and report["status"][0] == "partial"
        assert len(X) == 0 or lacks_a_part, f"{length} of {len(whole)}: {reason}"


def test_the_undamaged_files_are_read(write, tmp_path):
    """So that the tests above damage something."""
    for format, read in FORMATS.items():
        _, report = read(good_file(write, format, tmp_path))
        expected = {"galah_dr3": "partial", "galah_dr4": "partial"}
        assert report["status"][0] == expected.get(format, "read")


@pytest.mark.parametrize("read", [read_apogee, read_galah, FORMATS["mmu_galah"]])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 5760,
        b"SIMPLE  =",
        b"SIMPLE  =" + b" " * 2871,
        b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
        b"\x1f\x8b" + b"junk" * 30,
        b"PK\x03\x04" + b"junk" * 30,
        b"<!DOCTYPE html><html>404 Not Found</html>",
        b"\x89HDF\r\n\x1a\n" + b"\0" * 500,
        bytes(range(256)) * 40,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_foreign_content(tmp_path, read, content):
    path = tmp_path / "2101150001010011.fits"
    path.write_bytes(content)
    X, report = read(path)
    assert len(X) == 0
    assert report["status"][0] == "refused"
    assert report["reason"][0]
    with pytest.raises(ReadError):
        read(path, on_error="raise")


@pytest.mark.parametrize("read", [read_apogee, read_galah, FORMATS["mmu_galah"]])
def test_paths_that_are_no_files(tmp_path, read):
    (tmp_path / "folder.fits").mkdir()
    for path in (tmp_path / "none.fits", "nul\0byte.fits"):
        with pytest.raises(FileNotFoundError, match="does not exist"):
            read(path)
    for path in (tmp_path / "folder.fits", tmp_path / "none*.fits"):
        X, report = read(path)
        assert len(X) == 0
        assert report["status"][0] == "refused"
        assert report["reason"][0]
