"""Size, speed and faults of PairedStore, beside float32 in a numpy.memmap.

Size: all bytes of the store over those of its flux and inverse variance as float32.
Rates: batches of 256 pairs, flux and inverse variance of both sides, from the page
cache: rows of a memmap copied to memory, rows of the store decoded; in order, and drawn
at random. They take turns; printed are medians over rounds, of ratios between
neighbours, which a change of the machine's load hardly touches. Faults: a build from
files and one from Spectra, each killed (SIGKILL) at random moments and called again; a
file system that takes no more; a file that cannot be read; bytes that change.

    python -m benchmarks.store
    python -m benchmarks.store --pairs 2000 --rate-pairs 2000 --kills 5
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from astropy.table import Table
from threadpoolctl import threadpool_info

from benchmarks.kills import contents, in_child, kills
from benchmarks.sections import Section
from specxfer import Spectra
from specxfer.io import PairedStore, StoreError

BATCH = 256
PIXELS = 8575, 16384
PARTS = "parts/*.npz"
BARS = {"size": 0.6, "sequential": 0.6, "random": 2.0}


# ------------------------------------------------------------------------ made-up pairs
def pair(n, seed, pixels=PIXELS):
    """Pairs of spectra with noise, gaps and masked pixels, and their names."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"{seed} {i}" for i in range(n)])
    strength = rng.uniform(0.1, 0.6, (n, 1)).astype("f4")
    sides = []
    for p, snr, medium in zip(pixels, (100, 40), ("vacuum", "air")):
        lines = np.sin(np.arange(p, dtype="f4") / 9) ** 8
        sigma = rng.uniform(0.5, 2, (n, 1)).astype("f4") / np.float32(snr)
        sigma = sigma * (1 + 0.3 * rng.random((1, p), dtype="f4"))
        flux = 1 - strength * lines + sigma * rng.standard_normal((n, p), "f4")
        ivar = 1 / sigma**2
        bad = rng.random((n, p), dtype="f4") < 0.01
        bad[:, p // 3 : p // 3 + p // 30] = True
        flux[bad], ivar[bad] = np.nan, 0
        wave = 5000 * np.exp(np.arange(p) * 1e-5)
        sides.append(Spectra(flux, ivar, wave=wave, medium=medium, ids=ids))
    return sides


def blocks(n, size=1024):
    """Many pairs: one block again and again, turned by some rows."""
    X, y = pair(min(n, size), 0)
    for number, start in enumerate(range(0, n, size)):
        rows = np.roll(np.arange(len(X)), number)[: n - start]
        yield X[rows], y[rows]


def bytes_in(folder):
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# ----------------------------------------------------------------------- size and rates
def size(path, n):
    """Build and verify a store; its size over float32, and what misses its bar."""
    start = time.perf_counter()
    store = PairedStore.build(path, blocks(n))
    built = time.perf_counter() - start
    start = time.perf_counter()
    store.verify()
    took = time.perf_counter() - start
    plain = 2 * 4 * n * sum(PIXELS)
    ratio = bytes_in(path) / plain
    print(
        f"{n} pairs, {plain / 1e9:.2f} GB as float32: {ratio:.3f} of it; built at "
        f"{n / built:.0f} pairs/s ({plain / built / 1e9:.2f} GB/s of float32, making "
        f"the spectra included), verified at {n / took:.0f} pairs/s",
        flush=True,
    )
    missed = [f"size {ratio:.3f}, at most {BARS['size']}"]
    return ratio, missed if ratio > BARS["size"] else []


def rates(path, folder, n, rounds):
    """GB/s of float32, from a memmap and from the store, and what misses its bar."""
    store = PairedStore(path)
    n = min(n, len(store)) // BATCH * BATCH
    stored, mapped = [], []
    for name in ("source", "target"):
        side = getattr(store, name)[:n]
        for what in ("flux", "ivar"):
            file = folder / f"{name}_{what}.npy"
            plain = np.lib.format.open_memmap(file, "w+", "f4", side.shape)
            for rows, block in side.iter_blocks():
                plain[rows] = getattr(block, what)
            plain.flush()
            mapped.append(np.load(file, mmap_mode="r"))
            stored.append((name, what))
    order = np.random.default_rng(0).permutation(n)

    def from_map(batches):
        for rows in batches:
            for array in mapped:
                np.array(array[rows])

    def from_store(batches):
        for rows in batches:
            for name, what in stored:
                getattr(getattr(store, name)[rows], what)

    sequential = [slice(i, i + BATCH) for i in range(0, n, BATCH)]
    shuffled = [order[rows] for rows in sequential]
    takes = {
        "memmap, in order": partial(from_map, sequential),
        "store, in order": partial(from_store, sequential),
        "store, at random": partial(from_store, shuffled),
        "memmap, at random": partial(from_map, shuffled),
    }
    volume = 2 * 4 * n * sum(PIXELS) / 1e9
    times = {name: [] for name in takes}
    for turn in range(rounds + 1):
        for name, take in takes.items():
            start = time.perf_counter()
            take()
            if turn:  # the first brings everything into the page cache
                times[name].append(time.perf_counter() - start)
    speed = {name: volume / np.median(took) for name, took in times.items()}
    for name, value in speed.items():
        print(f"{name:18s} {value:6.2f} GB/s of float32")
    a, b, c, d = (np.array(took) for took in times.values())
    in_order, at_random = np.median(a / b), np.median(c / b)
    blas = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    n_threads = max(lib["num_threads"] for lib in blas)
    print(
        f"store over memmap, in order {in_order:.2f}, at random "
        f"{np.median(d / c):.2f}; a random batch takes {at_random:.2f} times one in "
        f"order; {n_threads} thread(s), load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    missed = []
    if in_order < BARS["sequential"]:
        missed.append(f"in order {in_order:.2f}, at least {BARS['sequential']}")
    if at_random > BARS["random"]:
        missed.append(f"at random {at_random:.2f}, at most {BARS['random']}")
    table = Table(
        [
            ["in order", "at random"],
            [speed["memmap, in order"], speed["memmap, at random"]],
            [speed["store, in order"], speed["store, at random"]],
            [in_order, np.median(d / c)],
        ],
        names=["batches of 256 pairs", "memmap", "store", "ratio"],
        units=[None, "GB / s", "GB / s", None],
    )
    for name in table.colnames[1:]:
        table[name].format = ".2f"
    return table, missed


# ------------------------------------------------------------------------------- faults
def read_row(path):
    """A spectrum of a file of ours."""
    flux, ivar = np.load(path)
    wave = 5000 + np.arange(len(flux))
    return Spectra(
        flux[None], ivar[None], wave=wave, medium="air", ids=[Path(path).stem]
    )


def files_of(folder, n):
    """Files of n pairs, of both sides."""
    names = []
    for side, spectra in zip("Xy", pair(n, 7, (300, 500))):
        (folder / side).mkdir()
        names.append([str(folder / side / f"{i}.npy") for i in range(n)])
        for name, one in zip(names[-1], spectra):
            np.save(name, np.concatenate([one.flux, one.ivar]))
    return names


def full_disk(build, folder):
    """No file may grow; then it may. Whether nothing is lost."""
    whole, full = folder / "whole", folder / "full"
    said = folder / "said"

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))
        try:
            build(full)
        except OSError as error:
            said.write_text("\n".join([str(error), *error.__notes__]))

    in_child(limited)
    error = said.read_text() if said.exists() else "no error"
    in_child(partial(build, full))
    same = contents(full) == contents(whole)
    print(f"no more room: {error!r}; called again with room: same bytes {same}")
    return same and "call again" in error


def unreadable(build, files, folder):
    """A file that is no spectrum, and is mended. Whether nothing is lost."""
    whole, broken = folder / "whole", folder / "unreadable"
    victim = Path(files[1][len(files[1]) // 2])
    sound = victim.read_bytes()
    victim.write_bytes(b"no spectrum")
    try:
        build(broken)
        error = "no error"
    except StoreError as refusal:
        error = str(refusal)
    skipped = build(folder / "skipped", on_error="skip")
    victim.write_bytes(sound)
    build(broken)
    same = contents(broken) == contents(whole)
    print(
        f"unreadable file: {error!r}; left out {len(files[1]) - len(skipped)} when "
        f"skipping; mended and called again: same bytes {same}"
    )
    return same and victim.name in error and len(skipped) == len(files[1]) - 1


def damage(folder, n):
    """Change bytes of a store, one at a time; whether `verify` names each file."""
    store = PairedStore(folder / "whole")
    files = [path for path in store.path.rglob("*") if path.is_file()]
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(n):
        victim = files[rng.integers(len(files))]
        sound = victim.read_bytes()
        torn = bytearray(sound)
        torn[rng.integers(len(torn))] ^= 1 << rng.integers(8)
        victim.write_bytes(torn)
        try:
            store.verify()
        except StoreError as error:
            found += victim.relative_to(store.path).as_posix() in str(error)
        victim.write_bytes(sound)
    store.verify()
    print(f"one bit changed {n} times: {found} times verify named the file")
    return found == n


def faults(folder, n_kills):
    """What is lost when something happens: nothing, it should be."""
    files = files_of(folder, 400)
    X, y = pair(4000, 3, (600, 1000))
    from_files = partial(
        _from_files, files=files, read_source=read_row, read_target=read_row
    )
    of_files, of_spectra = folder / "files", folder / "spectra"
    from_spectra = partial(_from_spectra, X, y)
    sound = {
        "kills, from files": kills("from files", from_files, of_files, n_kills, PARTS),
        "kills, from Spectra": kills(
            "from Spectra", from_spectra, of_spectra, n_kills, PARTS
        ),
        "full disk": full_disk(from_files, of_files),
        "unreadable file": unreadable(from_files, files, of_files),
        "damage": damage(of_files, 100),
    }
    return [name for name, met in sound.items() if not met]


def _from_files(path, files, **options):
    return PairedStore.build(path, *files, chunk_rows=16, **options)


def _from_spectra(X, y, path):
    return PairedStore.build(path, X, y, chunk_rows=64)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30_000)
    parser.add_argument("--rate-pairs", type=int, default=8192, help="read for rates")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--kills", type=int, default=20, help="of each build")
    parser.add_argument("--folder", help="on the disk to write to")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        folder = Path(folder)
        path = folder / "pairs.zarr"
        missed = size(path, args.pairs)[1]
        missed += rates(path, folder, args.rate_pairs, args.rounds)[1]
        missed += faults(folder, args.kills)
    print("all bars met" if not missed else f"missed: {'; '.join(missed)}")
    return int(bool(missed))


def sections(data):
    """Its section of the documentation; it takes no data."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.zarr"
        ratio, _ = size(path, 30_000)
        table, _ = rates(path, Path(folder), 8192, 7)
    text = (
        "``PairedStore``, 30,000 made-up pairs of 8,575 and 16,384 pixels, flux and "
        "inverse variance, quantised as by default, beside float32 in a "
        "``numpy.memmap``. On disk the store has "
        f"{ratio:.2f} of the bytes. Gigabytes of float32 a second, from the page "
        "cache: medians of seven rounds in turn, and the ratio is of neighbouring "
        "rounds."
    )
    yield Section("Reading a store", text, table)


if __name__ == "__main__":
    sys.exit(main())
