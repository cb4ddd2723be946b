"""How strong the label null is, beside polynomials and scikit-learn's kernel ridge.

A weak null makes discoveries of its own. Two worlds: the synthetic pairs of
`benchmarks.lte_pairs` (labels Teff, log g, [Fe/H], [α/Fe]) and the simulator with heavy
elements tied to light ones, there once with these four labels and once with all that
is not a heavy element. Every fifth star is tested; the error is rms (prediction −
noise-free truth) at the eight key lines, in giants and dwarfs. The peer is
``KernelRidge`` with a Gaussian kernel on standardised labels, length and penalty by
``GridSearchCV``, which takes neither noise nor masks: only pixels that all stars have
are compared. Nulls learn the surroundings of the windows too: what a change of
resolving power does to a pixel hangs on those beside it.

    OMP_NUM_THREADS=1 python -m benchmarks.label_null --data DIR
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.linear_calibration import World
from specxfer import predict_like
from specxfer.baselines import NullTranslator
from specxfer.datasets import make_paired_spectra
from specxfer.lines import KEY_LINES, load_lines, window_pixels
from specxfer.metrics import line_table

FOUR = ["teff", "logg", "fe_h", "alpha_fe"]
LIGHT = ["C", "N", "O", "Na", "Mg", "Al", "Si", "S", "K", "Ca", "Sc", "Ti", "V", "Cr",
         "Mn", "Co", "Ni", "Cu"]  # fmt: skip
EVERYTHING = [*FOUR, "vmic", "vmac", *(f"{name.lower()}_fe" for name in LIGHT)]


def worlds(data, n_train):
    """Names, training and test pairs, truth, and labels."""
    world = World.lte(data, n_train, full=False)
    X, y = world.train(100, 0)
    four = ["teff", "logg", "feh", "alpha"]
    yield "lte, 4 labels", X, y, world.test(100, 0), world.truth, four
    X, y, truth = make_paired_spectra(
        n_train * 5 // 4, size="small", heavy_scatter=False, bad_pixels=(0.02, 0),
        gaps=False, random_state=3,
    )  # fmt: skip
    truth.meta = y.meta
    test = np.arange(len(y)) % 5 == 0
    args = X[~test], y[~test], X[test], truth[test]
    yield "simulator, 4 labels", *args, FOUR
    yield f"simulator, {len(EVERYTHING)} labels", *args, EVERYTHING


def kernel_ridge():
    """The peer."""
    model = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf"))
    grid = {
        "kernelridge__alpha": [1e-4, 1e-3, 1e-2, 0.1],
        "kernelridge__gamma": [0.003, 0.01, 0.03, 0.1],
    }
    return GridSearchCV(model, grid, cv=3)


def main(data, n_train=3000):
    """Print a table for each world."""
    lines = load_lines("galah", names=KEY_LINES)
    for name, X, y, X_test, truth, labels in worlds(data, n_train):
        cols = window_pixels(lines, y.wave, y.medium)
        models = {"null": NullTranslator("labels", labels=labels)}
        for degree in (2, 3):
            if degree == 2 or len(labels) < 10:
                models[f"degree {degree}"] = NullTranslator(
                    "labels", labels=labels, degree=degree
                )

        def windows_of(model, X, truth=truth, cols=cols):
            return predict_like(model, X, truth)[:, cols]

        predictions = {}
        for model_name, model in models.items():
            start = time.perf_counter()
            predictions[model_name] = windows_of(model.fit(X, y), X_test)
            print(f"{name}: {model_name} {time.perf_counter() - start:.1f} s")
        print("chosen:", models["null"].terms_)
        start = time.perf_counter()
        z, z_test = (
            np.column_stack([s.meta[label] for label in labels]) for s in (X, X_test)
        )
        peer = kernel_ridge().fit(z, y[:, cols].flux - 1)
        predictions["KernelRidge"] = 1 + peer.predict(z_test)
        print(f"KernelRidge {time.perf_counter() - start:.1f} s", peer.best_params_)
        for model_name in ("neighbors",):
            model = NullTranslator(model_name, labels=labels)
            predictions[model_name] = windows_of(model.fit(X, y), X_test)
        table = line_table(
            truth[:, cols], predictions, lines, noise="none", reference="null"
        )
        worse = {
            other: int((table[f"d_{other}_hi"] < 0).sum())
            for other in predictions
            if other != "null"
        }
        print(f"rows of {len(table)} where another is better, 95%: {worse}")
        table["line", "domain", *predictions].pprint(max_lines=-1, max_width=-1)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=3000)
    main(**vars(parser.parse_args()))
