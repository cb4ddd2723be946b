"""Speed and memory of translate_catalog, beside the same model's predictions in memory.

Rates: the same stars by `predict` in memory and through a catalogue on disk, in turn;
printed is the median over rounds of the ratio of neighbours, which a change of the
machine's load hardly touches. Memory: the anonymous part of the resident set (RssAnon,
without mapped files, the interpreter and the model included) while many stars go from a
memory map to a catalogue: their flux, and of fewer stars all there is. Kills: a run of
few pixels is killed (SIGKILL) at random moments and called again.

    python -m benchmarks.catalog
    python -m benchmarks.catalog --p 2000 --q 4000 --n 3000 --n-full 100000
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from astropy.table import Table

import specxfer
from benchmarks.kills import kills
from benchmarks.sections import Section
from specxfer import Spectra
from specxfer.linear import PCARidge

RANK = 40
BLOCK = 2000
BARS = {"rate": 0.8, "memory": 1.5}
CASES = {
    "flux": {"std": False, "support": False},
    "flux, std": {"support": False},
    "flux, std, support": {},
}


def grids(p, q):
    """Wavelengths of two surveys, Å."""
    return np.linspace(15100, 16900, p), np.linspace(4700, 7800, q)


def observed(n, wave, seed):
    """Low-rank spectra with noise, as a block that is repeated for more stars."""
    rng = np.random.default_rng(seed)
    fall = 0.05 / np.sqrt(np.arange(1.0, RANK + 1))[:, None]
    basis = fall * np.random.default_rng(len(wave)).normal(size=(RANK, len(wave)))
    flux = 1 + rng.normal(size=(n, RANK)) @ basis + rng.normal(0, 0.01, (n, len(wave)))
    return flux.astype("f4")


def spectra(flux, wave, ivar=1e4):
    """With noise that is the same everywhere."""
    noise = np.broadcast_to(np.float32(ivar), flux.shape)
    return Spectra(flux, noise, wave=wave, medium="vacuum")


def in_memory(model, X, std=True, support=True):
    """What a catalogue holds, as arrays."""
    found = specxfer.predict_std(model, X) if std else model.predict(X)
    return found, specxfer.support(model, X) if support else None


def timed(function, *args, **options):
    """Seconds by the clock and of processor."""
    start = np.array([time.perf_counter(), time.process_time()])
    function(*args, **options)
    return np.array([time.perf_counter(), time.process_time()]) - start


def rates(model, X, folder, rounds):
    """Stars per second in memory and through a catalogue."""
    found, n = [], len(X)
    for name, options in CASES.items():
        if options.get("std", True):  # which takes twenty times as long
            X = X[: max(1, n // 8)]
        times = []
        for _ in range(rounds):
            out = folder / "rate"
            inside = timed(in_memory, model, X, **options)
            through = timed(specxfer.translate_catalog, model, X, out, **options)
            shutil.rmtree(out)
            times.append((inside, through))
        inside, through = np.median(times, axis=0)[:, 0]
        ratio, of_work = np.median([a / b for a, b in times], axis=0)
        print(
            f"{name:20s} {len(X) / inside:8.0f} stars/s in memory "
            f"{len(X) / through:8.0f} to disk   ratio {ratio:.2f} "
            f"(processor time {of_work:.2f})",
            flush=True,
        )
        found.append((name, len(X) / inside, len(X) / through, ratio))
    names = ["written", "in memory", "to disk", "ratio"]
    return Table(rows=found, names=names)


class AnonymousMemory:
    """Peak of RssAnon above that at the start, GB, looked at every 20 ms."""

    def __enter__(self):
        self.start = self.peak = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _look(self):
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now():
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1e6
        raise OSError("this system does not tell RssAnon.")


def memory(model, wave, n, folder, **options):
    """Peak of RssAnon in GB of a catalogue from a memory map; prints the rate, too."""
    path = folder / "flux.npy"
    stored = np.lib.format.open_memmap(path, "w+", "f4", (n, len(wave)))
    block = observed(BLOCK, wave, 2)
    for start in range(0, n, BLOCK):
        stored[start : start + BLOCK] = block[: n - start]
    stored.flush()
    del stored, block
    X = Spectra(np.load(path, mmap_mode="r"), wave=wave, medium="vacuum")
    with AnonymousMemory() as used:
        out = folder / "memory"
        took, _ = timed(specxfer.translate_catalog, model, X, out, **options)
    shutil.rmtree(out)
    path.unlink()
    print(
        f"{n} stars from a memory map, {'all there is' if options['std'] else 'flux'}: "
        f"peak RssAnon {used.peak:.2f} GB ({used.peak - used.start:.2f} above the "
        f"start), {n / took:.0f} stars/s",
        flush=True,
    )
    return used.peak


def killed(folder, n_kills):
    """Whether a catalogue that was killed ends with the same bytes."""
    folder = folder / "kills"
    folder.mkdir()
    waves = grids(600, 1000)
    X, y = (spectra(observed(500, wave, 1), wave) for wave in waves)
    model = PCARidge(20).fit(X, y)
    new = spectra(observed(5_000, waves[0], 3), waves[0])

    def make(out):
        lines = [(5000.0, 5020.0), (6490.0, 6510.0)]
        specxfer.translate_catalog(model, new, out, lines=lines)

    return kills("in a catalogue", make, folder, n_kills, "parts/*.fits")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--p", type=int, default=8575, help="pixels of the source")
    parser.add_argument("--q", type=int, default=16384, help="pixels of the target")
    parser.add_argument(
        "--n", type=int, default=8192, help="stars of the rates; an eighth with std"
    )
    parser.add_argument("--n-memory", type=int, default=100_000, help="flux alone")
    parser.add_argument("--n-full", type=int, default=5_000, help="with std and lines")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--folder", help="on the disk to write to")
    args = parser.parse_args(argv)
    wave_in, wave_out = grids(args.p, args.q)
    train = 1500
    X, y = (spectra(observed(train, w, 1), w) for w in (wave_in, wave_out))
    model = PCARidge(100).fit(X, y)
    del y
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        folder = Path(folder)
        new = spectra(observed(args.n, wave_in, 3), wave_in)
        table = rates(model, new, folder, args.rounds)
        missed = [
            f"rate, {row['written']}: {row['ratio']:.2f}, at least {BARS['rate']}"
            for row in table
            if row["ratio"] < BARS["rate"]
        ]
        del new
        lines = [(5000.0, 5001.5), (6496.7, 6497.3)]
        peaks = [
            memory(model, wave_in, args.n_memory, folder, std=False, support=False),
            memory(model, wave_in, args.n_full, folder, std=True, lines=lines),
        ]
        missed += [] if killed(folder, args.kills) else ["kills"]
    missed += [
        f"memory {peak:.2f} GB, less than {BARS['memory']}"
        for peak in peaks
        if peak >= BARS["memory"]
    ]
    print("all bars met" if not missed else f"missed: {'; '.join(missed)}")
    return table, args, peaks, missed


def sections(data):
    """Its section of the documentation; it takes no data."""
    table, args, (flux, full), _ = main([])
    for name in ("in memory", "to disk"):
        table[name].unit, table[name].format = "star / s", ".0f"
    table["ratio"].format = ".2f"
    text = (
        "Stars per second from 8,575 to 16,384 pixels by ``PCARidge(100)``: predicted "
        "in memory, and by ``translate_catalog`` to disk, 8,192 stars, or 1,024 with "
        "their std. Median of three rounds in turn, seeds 1 and 3; the ratio is of "
        "neighbouring rounds. "
        "From a memory map, the process's anonymous memory (RssAnon) peaks at "
        f"{flux:.2f} GB for the flux of {args.n_memory:,} stars, and at {full:.2f} GB "
        f"for flux, std, support and lines of {args.n_full:,}."
    )
    yield Section("Catalogues", text, table)


if __name__ == "__main__":
    sys.exit(int(bool(main()[-1])))
