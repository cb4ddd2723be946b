"""A store gives back what went into it, on demand, whole, or not at all."""

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import cross_val_score

from specxfer.datasets import make_paired_spectra
from specxfer.io import PairedStore, StoreError
from specxfer.linear import PCARidge
from specxfer.spectra import Spectra

N = 60


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    sides = []
    for n_pixels, snr, medium in ((300, 100, "vacuum"), (360, 50, "air")):
        strength = rng.uniform(0.5, 1.5, (N, 1))
        flux = 1 - 0.4 * strength * np.sin(np.arange(n_pixels) / 9) ** 8
        flux += rng.standard_normal(flux.shape) / snr
        ivar = snr**2 * rng.uniform(0.5, 2, (N, 1)) * np.ones(n_pixels)
        sides.append(
            Spectra(
                flux.astype("f4"),
                ivar.astype("f4"),
                wave=5000 + 0.1 * np.arange(n_pixels),
                medium=medium,
                ids=[f"star {i}" for i in range(N)],
            )
        )
    X, y = sides
    flux, ivar = np.array(y.flux), np.array(y.ivar)
    flux[3, 10:20], ivar[3, 10:20] = np.nan, 0
    ivar[4, 5] = 0
    return X, y.replace(flux=flux, ivar=ivar)


@pytest.fixture(scope="module")
def store(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "pairs.zarr"
    return PairedStore.build(path, *pairs, chunk_rows=16)


def contents(path):
    """Every file below a folder, and its bytes."""
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in sorted(path.rglob("*"))
        if p.is_file()
    }


def test_rounding_is_far_below_the_noise(pairs, store):
    for given, kept in zip(pairs, (store.source, store.target)):
        assert len(store) == N
        assert kept.shape == given.shape
        assert_array_equal(kept.wave, given.wave)
        assert kept.medium == given.medium
        valid = given.valid()
        flux, ivar = np.asarray(kept), kept[:].weights()
        assert_array_equal(ivar > 0, valid)
        left = (flux - np.asarray(given))[valid] * np.sqrt(given.weights()[valid])
        assert np.sqrt((left**2).mean()) < 0.05
        assert abs(left.mean()) < 4 * left.std() / np.sqrt(left.size)
        assert_allclose(ivar[valid], given.weights()[valid], rtol=0.005)
        assert np.isnan(flux[~valid]).all()


def test_lossless_keeps_every_bit(pairs, tmp_path):
    store = PairedStore.build(tmp_path / "exact.zarr", *pairs, lossless=True)
    for given, kept in zip(pairs, (store.source, store.target)):
        valid = given.valid()
        assert_array_equal(np.asarray(kept)[valid], np.asarray(given)[valid])
        assert_array_equal(kept[:].weights()[valid], given.weights()[valid])


def test_it_is_smaller_than_float32(pairs, store):
    size = sum(
        len(data) for name, data in contents(store.path).items() if "/c/" in name
    )
    assert (
        0 < size < 0.6 * sum(2 * 4 * given.shape[0] * given.shape[1] for given in pairs)
    )


def test_rows_and_columns_are_read_on_demand(pairs, store):
    y = store.target
    whole = np.asarray(y)
    rows = np.array([40, 3, 3, 17])
    assert y[rows].is_lazy
    assert_array_equal(np.asarray(y[rows]), whole[rows])
    assert_array_equal(np.asarray(y[:, 30:50]), whole[:, 30:50])
    assert_array_equal(np.asarray(y[rows][:, 5:9]), whole[rows][:, 5:9])
    assert y[rows].ids is None or list(y[rows].ids) == [y.ids[i] for i in rows]


@pytest.mark.parametrize("lossless", [False, True])
def test_any_rows_in_pieces_by_threads_and_with_few_files_open(
    lossless, store, pairs, tmp_path, monkeypatch
):
    if lossless:
        store = PairedStore.build(tmp_path / "a", *pairs, lossless=True, chunk_rows=16)
    whole = np.asarray(store.target), store.target.ivar
    for name, value in (("PIECE", 700), ("STRIP", 2000), ("MOST_OPEN", 2)):
        monkeypatch.setattr(f"specxfer.io._stored_array.{name}", value)
    monkeypatch.setattr("specxfer._threads.one_core_each", lambda: nullcontext(2))
    rows = np.random.default_rng(1).integers(0, N, 3 * N)
    for cols in (slice(None), slice(5, 300, 7), slice(None, None, -1), [7, 3, 3]):
        for lazy, values in zip((store.target._flux, store.target._ivar), whole):
            some = lazy[rows, cols]
            assert_array_equal(some.read(), values[rows][:, cols])
            for out in (
                np.empty(some.shape, "f4"),
                np.empty(some.shape),
                np.empty(some.shape, "f4", order="F"),
            ):
                assert some.read(out) is out
                assert_array_equal(out, values[rows][:, cols])
    assert store.target[[]].flux.shape == (0, 360)


def test_each_spectrum_has_its_own_step(pairs, tmp_path):
    X, y = pairs
    bright = 1 + np.arange(N)[:, None] / 8
    wide = X.replace(flux=np.where(np.arange(300) == 7, bright, X))
    store = PairedStore.build(tmp_path / "wide.zarr", wide, y)
    low, high = store.card["source"]["flux_step"]
    assert low < high
    assert_allclose(store.source.flux, wide.flux, atol=0.51 * high)
    assert_allclose(store.source.flux[0], wide.flux[0], atol=0.51 * low)


def test_a_file_that_is_damaged_missing_or_cut_off_is_named(pairs, tmp_path):
    store = PairedStore.build(tmp_path / "pairs.zarr", *pairs, chunk_rows=16)
    first, second = (store.path / f"source/ivar/c/{i}/0" for i in (0, 1))
    whole = second.read_bytes()
    second.write_bytes(b"\xff" * len(whole))
    with pytest.raises(StoreError, match=r"ivar.c.1.0 is damaged .*infinite"):
        store.source[20:30].load()
    second.write_bytes(whole[:-1])
    assert np.isfinite(store.source[:16].ivar).all()
    with pytest.raises(StoreError, match=r"ivar.c.1.0 is cut off"):
        store.source.load()
    first.unlink()
    with pytest.raises(StoreError, match=r"ivar.c.0.0 is missing"):
        store.source.load()


def test_translators_fit_from_it_and_from_memory_alike(store):
    X, y = store.source, store.target
    model = PCARidge(5).fit(X, y)
    assert_array_equal(model.predict(X), PCARidge(5).fit(X[:], y[:]).predict(X[:]))
    assert np.isfinite(cross_val_score(PCARidge(5), X, y, cv=3)).all()


def test_it_travels_to_other_processes(store):
    again = pickle.loads(pickle.dumps(store.source))
    assert_array_equal(np.asarray(again), np.asarray(store.source))


def test_verify_finds_a_changed_byte(pairs, tmp_path):
    store = PairedStore.build(tmp_path / "pairs.zarr", *pairs)
    store.verify()
    victim = max(
        (p for p in store.path.rglob("*") if p.is_file()),
        key=lambda p: p.stat().st_size,
    )
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with pytest.raises(StoreError):
        PairedStore(store.path).verify()


def test_what_is_no_store_is_refused(pairs, tmp_path):
    with pytest.raises(StoreError):
        PairedStore(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError):
        PairedStore.build(tmp_path, *pairs)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_same_pairs_with_a_resolution_are_the_same_run(tmp_path):
    X, y, _ = make_paired_spectra(20, size="small", random_state=0)
    X, y = (s.replace(resolution=np.linspace(2e4, 3e4, 20)) for s in (X, y))
    path = tmp_path / "pairs.zarr"
    first = PairedStore.build(path, X, y).card["parts"]
    assert PairedStore.build(path, X, y).card["parts"] == first
    with pytest.raises(StoreError) as refused:
        PairedStore.build(path, X, y[:, 1:])
    assert "target n_pixels: " in str(refused.value)
    assert "chunk_rows" not in str(refused.value)  # nor what is the same
    assert "medium" not in str(refused.value)


def test_a_store_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(StoreError, match=r"nope\.zarr does not exist"):
        PairedStore(tmp_path / "nope.zarr")


@pytest.mark.parametrize("how", [{}, {"ids": ["a", "b"]}])
def test_arrays_are_no_pairs(tmp_path, how):
    with pytest.raises(TypeError, match="source is a ndarray; expected Spectra"):
        PairedStore.build(tmp_path / "a", np.ones((2, 3)), np.ones((2, 3)), **how)


def read_row(path):
    """A spectrum of a text file."""
    if path.endswith("7.txt"):
        time.sleep(0.2)
    flux = np.loadtxt(path)
    return Spectra(
        flux[None], np.full((1, 3), 100.0), wave=[5000.0, 5000.1, 5000.2],
        medium="air", ids=[os.path.basename(path)],
    )  # fmt: skip


@pytest.fixture
def files(tmp_path):
    names = []
    for i in range(20):
        names.append(str(tmp_path / f"{i}.txt"))
        np.savetxt(names[-1], [0.5 + 0.01 * i, 0.9, 1.0])
    return names


def build(path, files, **how):
    return PairedStore.build(
        path, files, files, read_source=read_row, read_target=read_row, **how
    )


def test_unreadable_files_are_named_and_nothing_else_is_lost(files, tmp_path):
    with open(files[5], "w") as file:
        file.write("no numbers")
    with pytest.raises(Exception, match=r"5\.txt"):
        build(tmp_path / "a.zarr", files)
    store = build(tmp_path / "b.zarr", files, on_error="skip")
    assert len(store) == 19
    assert any("5.txt" in str(row) for row in store.report)
    assert_allclose(np.asarray(store.source)[5, 0], 0.56, atol=1e-3)
    # and the first goes on where it was, with the file mended
    np.savetxt(files[5], [0.55, 0.9, 1.0])
    assert len(build(tmp_path / "a.zarr", files)) == 20


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[3])
from tests.io.test_paired_store import build
build(sys.argv[1], sys.argv[2].split(","), chunk_rows=4)
"""


def test_a_killed_build_goes_on_to_the_same_bytes(files, tmp_path):
    whole = build(tmp_path / "whole.zarr", files, chunk_rows=4)
    path = tmp_path / "broken.zarr"
    here = str(Path(__file__).parents[2])
    args = [sys.executable, "-c", SCRIPT, str(path), ",".join(files), here]
    process = subprocess.Popen(
        args, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    while process.poll() is None and not list(path.rglob("*")):
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    again = build(path, files, chunk_rows=4)
    again.verify()
    assert contents(again.path) == contents(whole.path)
