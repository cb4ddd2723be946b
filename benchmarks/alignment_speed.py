"""What an epoch of an `AlignmentTranslator`'s space costs, beside one of its networks.

An epoch is a pass over all stars: of the networks of `CNNTranslator` with the judging
of every epoch, of the space as it is. Its cost does not depend on the pixels, so every
so many of the pairs of `benchmarks.cnn_accuracy` are taken. Each fit trains networks,
then a space: both are timed in turns. Printed are medians over epochs, and of their
ratios over fits. The bar: 1.5.

    OMP_NUM_THREADS=1 python -m benchmarks.alignment_speed --data DIR
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.lte_pairs import Pairs
from specxfer.neural import AlignmentTranslator

BAR = 1.5
EPOCHS = 8  # the first of each warms up and is left out
LIKE_LINES = 20  # every so many of the thinned pixels stand for lines


def main(data, n_train, n_fits, every):
    """Print the times; 1 if the bar is missed."""
    pairs = Pairs(data / "lte/pairs_dev.npz", n_train)
    X, y = pairs.X[:, ::every], pairs.y[:, ::every]
    half = 0.4 * np.diff(y.wave[:2])[0]
    lines = [(w - half, w + half) for w in y.wave[::LIKE_LINES]]
    settings = {"max_epochs": EPOCHS, "space_epochs": EPOCHS, "patience": None}
    found = []
    for _ in range(n_fits):
        model = AlignmentTranslator(lines=lines, **settings).fit(X, y)
        histories = model.history_, model.space_history_
        found.append([np.median(h["seconds"][1:]) for h in histories])
        print("networks {:.3f} s, space {:.3f} s".format(*found[-1]), flush=True)
    sizes = model._members.sizes["n_in"], model._members.sizes["n_out"]
    ratio = np.median([space / networks for networks, space in found])
    networks, space = np.median(found, axis=0)
    print(
        f"{n_train} stars, {sizes[0]} features, {sizes[1]} coefficients: networks "
        f"{networks:.3f} s an epoch, space {space:.3f} s, ratio {ratio:.2f} (bar {BAR})"
    )
    return int(ratio > BAR)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=6000)
    parser.add_argument("--n-fits", type=int, default=5)
    parser.add_argument("--every", type=int, default=16)
    sys.exit(main(**vars(parser.parse_args())))
