"""What spectra of one survey alone are worth to `AlignmentTranslator`.

The pairs and the protocol of `benchmarks.cnn_accuracy`, but of 6,000 stars only 1,000
are given with both spectra; of the others nothing, the source, the target, or either
of both. Printed for giants and dwarfs: by how much the rms error at the key lines, and
over all pixels, is less than with the pairs alone, in percent, with 95% intervals over
test stars (paired). All errors are against the noise-free truth. Beside them what
5,000 more pairs gain, if asked for.

The space was developed with the test stars of fold 0 in sight; --folds takes others.

    OMP_NUM_THREADS=1 python -m benchmarks.alignment_unpaired --data DIR --folds 1 2
"""

import argparse
import os
import sys
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
    before, after = (np.sqrt(r.square[stars] @ weights) for r in (base, own))
    gain = 100 * (1 - after / before)
    return gain[0], *np.quantile(gain[1:], [0.025, 0.975])


def main(data, n_pairs, n_more, folds, cases, **settings):
    """Print what each kind of more spectra gains."""
    n = n_pairs + n_more
    print(f"{n_pairs} pairs and {n_more} more: error less by %, key lines; all pixels")
    for fold in folds:
        task, base = Task(data, n, fold), None
        for case in ("nothing", *cases):
            model = AlignmentTranslator(**settings)
            model.fit(*given(task.pairs, n_pairs, n, case))
            found = task.judged(model, None, False)
            base = base or found
            line = f"fold {fold} {case:8}"
            for domain, stars in task.stars.items():
                lines = larger(task, domain, base.errors, found.errors)
                lines = -100 * np.array(lines)[[0, 2, 1]]
                rms = np.sqrt(found.square[stars].mean())
                line += "  {} {:5.1f} [{:5.1f}, {:5.1f}];".format(domain, *lines)
                line += " {:5.1f} [{:5.1f}, {:5.1f}]".format(
                    *less(task, domain, base, found)
                )
                line += f" ({rms:.5f})"
            print(line, flush=True)
    return 0


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
    parser.add_argument("--random-state", type=int, default=0)
    sys.exit(main(**vars(parser.parse_args())))
