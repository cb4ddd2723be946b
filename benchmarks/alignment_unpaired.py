"""What spectra of one survey alone are worth to `AlignmentTranslator`.

The pairs and the protocol of `benchmarks.cnn_accuracy`, but of 6,000 stars only 1,000
are given with both spectra; of the others nothing, the source, the target, or either
of both. Printed for giants and dwarfs: by how much the rms error at the key lines, and
over all pixels, is less than with the pairs alone, in percent, with 95% intervals over
test stars (paired), for each seed and for the mean squared error of all seeds. From
seed to seed the error itself differs by a percent, which intervals over stars leave
out. All errors are against the noise-free truth. With ``--cases pairs``, what 5,000
more pairs gain.

The space was developed with the test stars of fold 0 in sight; --folds takes others.

    OMP_NUM_THREADS=1 python -m benchmarks.alignment_unpaired --data DIR --folds 1 2
"""

import argparse
import os
from pathlib import Path

import numpy as np

from benchmarks.alignment import larger
from benchmarks.cnn_accuracy import Task
from specxfer.neural import AlignmentTranslator


def without(spectra, rows):
    """Spectra of which some rows are unknown."""
    flux = spectra.flux.copy()
    flux[rows] = np.nan
    return spectra.replace(flux=flux)


def given(pairs, n_pairs, n, case):
    """What is given of the first n stars: X and y."""
    X, y = pairs.X[:n], pairs.y[:n]
    alone = np.arange(n) >= n_pairs
    if case == "source":
        return X, without(y, alone)
    if case == "target":
        return without(X, alone), y
    if case == "either":
        odd = np.arange(n) % 2 == 1
        return without(X, alone & odd), without(y, alone & ~odd)
    n = n_pairs if case == "nothing" else n
    return X[:n], y[:n]


def less(task, domain, base, own):
    """Percent by which the error over all pixels is less, and its interval."""
    stars = task.stars[domain]
    every = np.full((stars.sum(), 1), 1 / stars.sum())
    weights = np.hstack([every, task.shares[domain]])
    before, after = (np.sqrt(square[stars] @ weights) for square in (base, own))
    gain = 100 * (1 - after / before)
    return gain[0], *np.quantile(gain[1:], [0.025, 0.975])


def told(task, label, base, own):
    """Print what is gained, from squared errors at lines and over all pixels."""
    line = f"{label:24}"
    for domain, stars in task.stars.items():
        at_lines = larger(task, domain, base[0], own[0])
        at_lines = -100 * np.array(at_lines)[[0, 2, 1]]
        line += "  {} {:5.1f} [{:5.1f}, {:5.1f}];".format(domain, *at_lines)
        whole = less(task, domain, base[1], own[1])
        line += " {:5.1f} [{:5.1f}, {:5.1f}]".format(*whole)
        line += f" ({np.sqrt(own[1][stars].mean()):.5f})"
    print(line, flush=True)


def main(data, n_pairs, n_more, folds, seeds, cases):
    """Print what each kind of more spectra gains, by seed and in the mean of seeds."""
    n, cases = n_pairs + n_more, ["nothing", *cases]
    print(f"{n_pairs} pairs and {n_more} more: error less by %, key lines; all pixels")
    for fold in folds:
        task, found = Task(data, n, fold), {case: [] for case in cases}
        for seed in seeds:
            for case in cases:
                model = AlignmentTranslator(random_state=seed)
                model.fit(*given(task.pairs, n_pairs, n, case))
                run = task.judged(model, None, False)
                found[case].append((run.errors, run.square))
                label = f"fold {fold} seed {seed} {case}"
                told(task, label, found["nothing"][-1], found[case][-1])
        for case in cases:
            base, own = (
                [np.mean(values, axis=0) for values in zip(*found[name])]
                for name in ("nothing", case)
            )
            told(task, f"fold {fold} mean of seeds {case}", base, own)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-pairs", type=int, default=1000)
    parser.add_argument("--n-more", type=int, default=5000)
    parser.add_argument(
        "--folds", type=int, nargs="+", default=[1, 2], choices=range(5)
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        default=["source", "target", "either"],
        choices=["source", "target", "either", "pairs"],
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    main(**vars(parser.parse_args()))
