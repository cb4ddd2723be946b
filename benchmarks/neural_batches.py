"""Does handing out batches cost a network any of its speed?

The step rate of one small network (two strided convolutions and a linear head, AdamW),
fed by `Batches`, over its rate on one batch that is there already:

- memory: arrays in memory, shared;
- gaps: the same with NaN, copied once and cleaned;
- augmented: the first, with shifts, noise and masks;
- map: files of twice the memory allowed, read in pools (by half of `--n` stars each);
- skorch: a plain NeuralNetRegressor with torch's default loader, row by row, on the
  arrays of the first.

All in turn in every round, beside resident batches of their own; printed are medians
of times and of ratios of neighbours. Files may be in the cache of the system.

    OMP_NUM_THREADS=2 python -m benchmarks.neural_batches
    python -m benchmarks.neural_batches --n 500 --p 500 --q 800 --n-rounds 3
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from specxfer import Spectra
from specxfer.neural import Augmentation, Batches

BAR = 0.85  # of the rate on a resident batch
BARRED = ("memory", "gaps", "map")


class Network(nn.Module):
    """Two strided convolutions, a linear head."""

    def __init__(self, p, q, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2, width, 7, 4, 3),
            nn.GELU(),
            nn.Conv1d(width, width, 7, 4, 3),
            nn.GELU(),
            nn.AdaptiveAvgPool1d(32),
            nn.Flatten(),
            nn.Linear(32 * width, 64),
            nn.Linear(64, q),
        )

    def forward(self, flux, ivar):
        return self.layers(torch.stack([flux / 0.05, torch.log1p(ivar / 1e4)], 1))


def loss_of(found, flux, ivar):
    """Mean squared residual in units of the noise."""
    return (ivar * (found - flux) ** 2).mean()


class PlainLoss(nn.Module):
    """The same of a target that is flux and ivar, as skorch takes but one."""

    def forward(self, found, target):
        return loss_of(found, target[:, 0], target[:, 1])


class Cases:
    """The ways to feed one network; each gives seconds a step."""

    def __init__(self, n, p, q, batch_size, width, folder):
        self.batch_size = batch_size
        rng = np.random.default_rng(0)
        self.flux = [rng.normal(1, 0.02, (n, m)).astype("f4") for m in (p, q)]
        self.ivar = [np.full((n, m), 2500, "f4") for m in (p, q)]
        self.wave = [np.exp(np.linspace(9.6, 9.75, m)) for m in (p, q)]
        self.network = Network(p, q, width)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-4, fused=True)
        mean = np.ones(p)
        options = {"mean_in": mean, "batch_size": batch_size}
        whole = self.spectra(self.flux, self.ivar)
        gaps = [flux.copy() for flux in self.flux]
        for flux in gaps:
            flux[rng.random(flux.shape) < 0.05] = np.nan
        augmentation = Augmentation(
            velocity=1.0, noise=1.0, masked=0.1, wave=self.wave[0], mean_in=mean
        )
        maps = [
            [on_disk(a, folder / f"{name}{i}") for i, a in enumerate(arrays)]
            for name, arrays in (("flux", self.flux), ("ivar", self.ivar))
        ]
        stored = self.spectra(*maps)
        size = 8 * n * (p + q)
        self.batches = {
            "memory": Batches(*whole, **options),
            "gaps": Batches(*self.spectra(gaps, self.ivar), memory=size, **options),
            "augmented": Batches(*whole, augmentation=augmentation, **options),
            "map": Batches(*stored, memory=size // 2, **options),
        }
        inputs, targets = next(self.batches["memory"].epoch(0))
        self.one = [{k: t.clone() for k, t in d.items()} for d in (inputs, targets)]
        self.net = plain_skorch(self.network, batch_size)
        self.names = [*self.batches, "skorch"]

    def spectra(self, flux, ivar):
        """Both sides as `Spectra`."""
        return [
            Spectra(f, i, wave=w, medium="vacuum")
            for f, i, w in zip(flux, ivar, self.wave)
        ]

    def step(self, inputs, targets):
        """A training step."""
        self.optimizer.zero_grad()
        loss_of(self.network(**inputs), **targets).backward()
        self.optimizer.step()

    def resident(self, n_steps):
        """On one batch again and again."""
        start = time.perf_counter()
        for _ in range(n_steps):
            self.step(*self.one)
        return (time.perf_counter() - start) / n_steps

    def run(self, name, number):
        """An epoch, and as many steps on one batch half before and half after."""
        n_steps = len(self.batches["memory"])
        half = max(1, n_steps // 2)
        before = self.resident(half)
        start = time.perf_counter()
        if name == "skorch":
            X = {"flux": self.flux[0], "ivar": self.ivar[0]}
            self.net.partial_fit(X, self.stacked)
        else:
            for inputs, targets in self.batches[name].epoch(number):
                self.step(inputs, targets)
        seconds = (time.perf_counter() - start) / n_steps
        return seconds, (before + self.resident(half)) / 2

    @property
    def stacked(self):
        """Targets as skorch takes them, made once."""
        if not hasattr(self, "_stacked"):
            self._stacked = np.stack([self.flux[1], self.ivar[1]], 1)
        return self._stacked


def plain_skorch(network, batch_size, criterion=PlainLoss):
    """As skorch comes, without the callbacks that print."""
    from skorch import NeuralNetRegressor

    net = NeuralNetRegressor(
        network,
        criterion=criterion,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=1e-4,
        batch_size=batch_size,
        max_epochs=1,
        train_split=None,
        iterator_train__shuffle=True,
        callbacks__print_log=None,
    )
    return net.initialize()


def on_disk(array, path):
    """A read-only memory map of an array."""
    stored = np.memmap(path, array.dtype, "w+", shape=array.shape)
    stored[:] = array
    stored.flush()
    return np.memmap(path, array.dtype, "r", shape=array.shape)


def main(n, p, q, batch_size, width, n_rounds):
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(n, p, q, batch_size, width, Path(folder))
        for name in cases.names:  # what is imported and cached
            cases.run(name, 0)
        found = {name: [] for name in cases.names}
        for number in range(n_rounds):
            for name in cases.names:
                found[name].append(cases.run(name, number))
    print(f"{n} stars, {p} to {q} pixels, batches of {batch_size}, width {width}")
    print(f"{'':10} {'step [ms]':>10} {'resident [ms]':>14} {'rate ratio':>11}")
    met = True
    for name, pairs in found.items():
        fed, resident = np.array(pairs).T
        ratio = np.median(resident / fed)
        verdict = ""
        if name in BARRED:
            verdict = f"  bar {BAR}: {'met' if ratio >= BAR else 'MISSED'}"
            met &= ratio >= BAR
        print(
            f"{name:10} {1e3 * np.median(fed):10.1f} {1e3 * np.median(resident):14.1f}"
            f" {ratio:11.2f}{verdict}"
        )
    return int(not met)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=3000, help="stars")
    parser.add_argument("--p", type=int, default=7514, help="source pixels")
    parser.add_argument("--q", type=int, default=14_000, help="target pixels")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--width", type=int, default=16, help="channels")
    parser.add_argument("--n-rounds", type=int, default=5)
    sys.exit(main(**vars(parser.parse_args())))
