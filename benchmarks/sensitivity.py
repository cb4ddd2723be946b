"""What errors of velocity, resolution, continuum and noise do to a translator.

PCARidge trained on the synthetic pairs of `benchmarks.lte_pairs`, with and without
`Augmented` (copies with such errors), judged on the test stars' truth at the eight key
lines: rms error of the flux, the mean over lines, giants and dwarfs apart.

    OMP_NUM_THREADS=2 python -m benchmarks.sensitivity --data DIR
"""

import argparse
import os
from pathlib import Path

import numpy as np

from benchmarks.linear_calibration import World
from specxfer.compose import Augmented
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.validation import (
    attenuation_curve,
    continuum_sensitivity,
    resolution_sensitivity,
    velocity_sensitivity,
)

SNR = 100


def main(data, n_train=3000):
    """Print a small table for each kind of error."""
    world = World.lte(data, n_train, full=False)
    lines = load_lines("galah", names=KEY_LINES)
    X, y = world.train(SNR, 0)
    X = X.replace(resolution=np.full(len(X), 22_500.0))
    test = world.test(SNR, 0)
    test = test.replace(resolution=np.full(len(test), 22_500.0))
    models = {
        "PCARidge": PCARidge(60),
        "augmented": Augmented(PCARidge(60), n_copies=2, line_strength=0,
                               missing_lines=0, resolution=0.03, continuum=0.005),
    }  # fmt: skip
    for name, model in models.items():
        model.fit(X, y)
        args = (model, test, world.truth, lines)
        options = {"noise": "none"}
        show(name, "shift", velocity_sensitivity(*args, **options))
        show(name, "change", resolution_sensitivity(*args, **options))
        show(name, "amplitude", continuum_sensitivity(*args, **options))
        show(name, "snr", attenuation_curve(*args, snr=(20, 30, 50, np.inf), **options))


def show(name, column, table):
    """Means over lines for each value of a column."""
    print(f"\n{name}: {column}, then giants and dwarfs: rms flux, rms EW (mÅ), slopes")
    for value in dict.fromkeys(np.asarray(table[column]).tolist()):
        cells = []
        for domain in ("giant", "dwarf"):
            rows = table[(np.asarray(table[column]) == value)
                         & (table["domain"] == domain)]  # fmt: skip
            cells += [
                f"{np.mean(rows['rms']):.4f}",
                f"{np.mean(rows['ew_rms'].value):.2f}",
                f"{np.nanmedian(rows['predicted_on_truth']):.2f}",
                f"{np.nanmedian(rows['observed_on_predicted']):.2f}",
            ]
        print(f"{value:>7g}  ", "  ".join(cells))


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=3000)
    main(**vars(parser.parse_args()))
