"""How often the truth lies in PCARidge's intervals, and in those of its widths.

Two worlds whose truth is known: the synthetic pairs of `benchmarks.lte_pairs`, and the
simulator (every fourth star is tested on) with no errors of velocity or continuum in
the target, which no model can tell from differences between stars. Source noise is
white at a signal-to-noise ratio of 30, 100 or 200; none or a fifth of the pixels of
both sides are masked at random. Training and test spectra are equally noisy; models
trained at 100 are tested at 30 and 200 as well.

Coverage: the share of pixels in the windows of heavy-element lines, over all test stars
of a domain, whose noise-free flux is within 1 and within 2 stated standard deviations.
The bars: 3 points from 68.3 and 95.4. Widths: the rms over stars of (predicted − true
equivalent width) / the standard deviation of 100 draws of `sample`, for each line; its
mean over lines is to be within 10% of 1.

Only the surroundings of the lines are predicted; --full predicts all pixels.

    OMP_NUM_THREADS=1 python -m benchmarks.linear_calibration --data DIR
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from astropy.table import Table

from benchmarks.simulated_pairs import heavy_lines
from specxfer import Spectra
from specxfer.datasets import make_paired_spectra
from specxfer.io import apogee_wave, galah_wave
from specxfer.linear import PCARidge
from specxfer.lines import as_windows, window_pixels
from specxfer.metrics import equivalent_width, giants_and_dwarfs

SNRS = (30, 100, 200)
MASKED = (0.0, 0.2)
TRAINED_AT = 100
SNR_TARGET = 50
MARGIN = 1.2  # Å on both sides of a window
NOMINAL = (68.27, 95.45)
BAR_COVERAGE, BAR_WIDTHS = 3.0, 0.1
N_DRAWS = 100
ROWS = 50  # stars whose draws are held at once


class World:
    """Noise-free source spectra, targets and their truth, of the same stars.

    Parameters
    ----------
    name : str
    source : Spectra of shape (n, n_source_pixels)
        Without noise.
    target, truth : Spectra of shape (n, n_pixels)
    test : ndarray of bool of shape (n,)
    n_train : int
        The first so many of the others are trained on.
    """

    def __init__(self, name, source, target, truth, test, n_train):
        self.name, self.truth = name, truth[test]
        self.lines = heavy_lines(truth)
        self.domains = giants_and_dwarfs(self.truth)
        self._source, self._target, self._test = source, target, test
        self._train = np.flatnonzero(~test)[:n_train]

    @classmethod
    def lte(cls, data, n_train, full):
        """The pairs of `benchmarks.lte_pairs`."""
        with np.load(data / "lte/pairs_dev.npz") as stored:
            coef, basis = stored["coef"], stored["basis"].astype(np.float32)
            mean, on_chip = stored["mean"], stored["x_good"]
            meta = Table(stored["labels"])
        meta["giant"] = meta["giant"].astype(bool)
        p = int(on_chip.sum())
        wave = galah_wave()
        cols = surroundings(wave, full)
        source = Spectra(
            coef @ basis[:, :p] + mean[:p],
            wave=apogee_wave()[on_chip],
            medium="vacuum",
            meta=meta,
        )
        flux = coef @ basis[:, p:][:, cols] + mean[p:][cols]
        truth = Spectra(flux, wave=wave[cols], medium="air", meta=meta)
        target = noisy(truth, SNR_TARGET, 2)
        test = np.arange(len(coef)) % 5 == 0
        return cls("lte", source, target, truth, test, n_train)

    @classmethod
    def simulated(cls, n_stars, n_train, full):
        """`make_paired_spectra` without errors that the truth does not have."""
        source, y, truth = make_paired_spectra(
            n_stars,
            snr_source=None,
            snr_target=SNR_TARGET,
            rv_error=(0.1, 0),
            continuum_error=(0.003, 0),
            random_state=0,
        )
        seen = np.isfinite(y.flux).mean(axis=0) > 0.9
        cols = surroundings(y.wave, full) & seen
        truth.meta = y.meta
        known = np.isfinite(source.flux).mean(axis=0) > 0.9
        source, y, truth = source[:, known], y[:, cols], truth[:, cols]
        test = np.arange(n_stars) % 4 == 0
        return cls("simulator", source, y, truth, test, n_train)

    def train(self, snr, masked):
        """Source and target spectra to fit to."""
        X = noisy(self._source, snr, 1, masked)[self._train]
        return X, with_masks(self._target, masked, 4)[self._train]

    def everything(self, snr):
        """Source and target spectra of all stars, without masks."""
        return noisy(self._source, snr, 1), self._target

    def test(self, snr, masked):
        """Source spectra to predict from."""
        return noisy(self._source, snr, 1, masked)[self._test]


def surroundings(wave, full):
    """Pixels of the windows and around them; all with `full`."""
    if full:
        return np.ones(len(wave), bool)
    grid = Spectra(np.ones((1, len(wave))), wave=wave, medium="air")
    windows = as_windows(heavy_lines(grid), "air") + np.array([-MARGIN, MARGIN])
    return window_pixels(windows, wave, "air")


def noisy(spectra, snr, seed, masked=0.0):
    """Spectra with white noise and masked pixels, the same draws at any S/N."""
    draws = np.random.default_rng(seed).standard_normal(spectra.shape, "f4")
    flux = spectra.flux + draws / np.float32(snr)
    known = np.isfinite(flux)
    ivar = known * np.float32(snr**2)
    return with_masks(like(spectra, flux, ivar), masked, seed + 2)


def with_masks(spectra, masked, seed):
    """Spectra of which a fraction of the pixels is masked at random."""
    if not masked:
        return spectra
    bad = np.random.default_rng(seed).random(spectra.shape, "f4") < masked
    return like(
        spectra, np.where(bad, np.nan, spectra.flux), np.where(bad, 0, spectra.ivar)
    )


def like(spectra, flux, ivar=None):
    """Other fluxes on the grid of spectra, with their labels."""
    return Spectra(
        flux,
        ivar,
        wave=spectra.wave,
        medium=spectra.medium,
        chip=spectra.chip,
        meta=spectra.meta,
        resolution=spectra.resolution,
    )


def covered(z):
    """Percentages of |z| below 1 and 2."""
    return [100 * np.mean(np.abs(z) < k) for k in (1, 2)]


def width_errors(model, X, flux, truth, lines):
    """(predicted − true equivalent width) / stated, (n, n_lines)."""
    z = np.empty((len(X), len(lines)))
    predicted, _ = equivalent_width(like(truth, flux), lines)
    true, _ = equivalent_width(truth, lines)
    for start in range(0, len(X), ROWS):
        rows = slice(start, start + ROWS)
        at = truth.resolution
        draws = model.sample(
            X[rows],
            N_DRAWS,
            random_state=0,
            resolution=None if at is None else at[rows],
        )
        stars = len(draws[0])
        draws = Spectra(
            draws.reshape(-1, draws.shape[-1]), wave=truth.wave, medium=truth.medium
        )
        widths = equivalent_width(draws, lines)[0].reshape(N_DRAWS, stars, -1)
        z[rows] = (predicted[rows] - true[rows]) / widths.std(axis=0, ddof=1)
    return z


def check(world, model, X, label):
    """A row of the table for each domain, and the widths' ratios of each line."""
    truth = world.truth
    flux, std = model.predict(X, return_std=True, resolution=truth.resolution)
    inside = window_pixels(world.lines, truth.wave, truth.medium)
    z = ((flux - truth.flux) / std)[:, inside]
    of_widths = width_errors(model, X, flux, truth, world.lines)
    rows, each = [], {}
    for domain, mask in world.domains.items():
        ratio = np.sqrt(np.nanmean(of_widths[mask] ** 2, axis=0))
        each[domain] = ratio
        rms = np.sqrt(np.mean((flux - truth.flux)[mask][:, inside] ** 2))
        rows.append([world.name, *label, domain, *covered(z[mask]), ratio.mean(), rms])
    return rows, each


def is_met(row):
    """Whether coverage and widths of a row are within the bars."""
    coverage = np.abs(np.subtract(row[5:7], NOMINAL)) <= BAR_COVERAGE
    return bool(coverage.all()), bool(abs(row[7] - 1) <= BAR_WIDTHS)


def show(row):
    """Print a row with its verdicts."""
    verdicts = ["met" if met else "MISSED" for met in is_met(row)]
    values = (*row[:7], verdicts[0], row[7], verdicts[1], row[8])
    layout = "{:10} {:7} {:6} {:6.0%} {:7} {:7.1f} {:6.1f}  {:6} {:6.2f}  {:6} {:8.4f}"
    print(layout.format(*values), flush=True)


def main(data, n_train=4000, n_stars=3000, n_components=60, full=False, worlds=()):
    """Print both tables and the widths of each line; 1 if a bar is missed."""
    make = {
        "lte": lambda: World.lte(data, min(n_train, 6000), full),
        "simulator": lambda: World.simulated(n_stars, n_train, full),
    }
    print(
        "{:10} {:7} {:6} {:>6} {:7} {:>7} {:>6}  {:6} {:>6}  {:6} {:>8}".format(
            *("world", "trained", "tested", "masked", "domain", "in 1", "in 2", ""),
            *("widths", "", "rms"),
        )
    )
    table, lines = [], []
    for name in worlds or make:
        world = make[name]()
        for masked in MASKED:
            for snr in SNRS:
                start = time.perf_counter()
                model = PCARidge(n_components).fit(*world.train(snr, masked))
                fitted = time.perf_counter() - start
                tested = SNRS if snr == TRAINED_AT else (snr,)
                for at in tested:
                    label = (snr, at, masked)
                    rows, each = check(world, model, world.test(at, masked), label)
                    for row in rows:
                        show(row)
                    table += rows
                    if at == snr:
                        lines.append((world, label, each))
                seconds = time.perf_counter() - start - fitted
                print(f"# fit {fitted:.0f} s, {len(tested)} tests {seconds:.0f} s")
    print("\nwidths of each line: error / stated, at each S/N and share of masks")
    for name in dict.fromkeys(world.name for world, _, _ in lines):
        show_lines([entry for entry in lines if entry[0].name == name])
    met = np.array([is_met(row) for row in table])
    print(f"coverage met in {met[:, 0].sum()} of {len(met)} rows")
    print(f"widths met in {met[:, 1].sum()} of {len(met)} rows")
    return int(not met.all())


def show_lines(entries):
    """The ratio of each line of one world."""
    world = entries[0][0]
    for domain in world.domains:
        heads = [f"{snr}/{masked:.0%}" for _, (snr, _, masked), _ in entries]
        print(f"{world.name} {domain:17}", *(f"{head:>8}" for head in heads))
        for i, line in enumerate(world.lines):
            ratios = (f"{each[domain][i]:8.2f}" for *_, each in entries)
            print(f"{line.name:27}", *ratios)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=4000)
    parser.add_argument("--n-stars", type=int, default=3000, help="simulated")
    parser.add_argument("--n-components", type=int, default=60)
    parser.add_argument("--full", action="store_true", help="all target pixels")
    parser.add_argument("--worlds", nargs="*", choices=("lte", "simulator"), default=())
    sys.exit(main(**vars(parser.parse_args())))
