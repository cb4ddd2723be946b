"""PCARidge against the nulls on simulated pairs: the two bars of the ground floor.

Bar 1: better than the label null at every heavy-element line of giants, paired over
stars, 95%. Bar 2: the mean null's error is at least five times PCARidge's over all
pixels, giants and dwarfs apart. Every star is predicted by a model that never saw it.

    python -m benchmarks.simulated_pairs
"""

import argparse
import time

import numpy as np
from sklearn.base import clone

from specxfer import predict_like
from specxfer.baselines import NullTranslator
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.metrics import line_table
from specxfer.model_selection import StarKFold

LABELS = ["teff", "logg", "fe_h", "alpha_fe"]


def out_of_fold(model, X, y, cv):
    """Prediction of each star by a model fitted without it."""
    flux = np.empty(y.shape, np.float32)
    for train, test in cv.split(X, y):
        fitted = clone(model).fit(X[train], y[train])
        flux[test] = predict_like(fitted, X[test], y[test])
    return flux


def heavy_lines(y):
    """Heavy-element lines whose window lies on the target grid."""
    lines = [line for line in load_lines("galah") if line.element != "Li"]
    return [ln for ln in lines if ((y.wave > ln.lo) & (y.wave < ln.hi)).any()]


def main(n_stars=4000, n_components=60, n_splits=5):
    """Print the table of errors and the two verdicts."""
    start = time.perf_counter()
    X, y, truth = make_paired_spectra(n_stars, random_state=0, n_jobs=2)
    print(f"{n_stars} pairs simulated in {time.perf_counter() - start:.0f} s")
    models = {
        "PCARidge": PCARidge(n_components),
        "labels 2": NullTranslator("labels", labels=LABELS, degree=2),
        "labels 3": NullTranslator("labels", labels=LABELS, degree=3),
        "mean": NullTranslator("mean"),
    }
    cv = StarKFold(n_splits, random_state=0)
    predictions = {}
    for name, model in models.items():
        start = time.perf_counter()
        predictions[name] = out_of_fold(model, X, y, cv)
        print(f"{name}: {n_splits} folds in {time.perf_counter() - start:.0f} s")
    truth.meta = y.meta
    table = line_table(truth, predictions, heavy_lines(y), noise="none")
    shown = ["line", "domain", *models, "d_labels 2", "d_labels 2_lo"]
    table[shown].pprint(max_lines=-1, max_width=-1)
    report(table)
    return table


def report(table):
    """Say whether the bars are met."""
    everywhere = table[table["line"] == "all"]
    for row in everywhere:
        ratio = row["mean"] / row["PCARidge"]
        print(f"{row['domain']}: mean null / PCARidge over all pixels = {ratio:.2f}")
    giants = table[(table["domain"] == "giant") & (table["line"] != "all")]
    for null in ("labels 2", "labels 3"):
        won = giants[f"d_{null}_lo"] > 0
        lost = ", ".join(giants["line"][~won]) or "none"
        print(
            f"giants: beats {null} at {won.sum()} of {len(giants)} lines; not: {lost}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-stars", type=int, default=4000)
    parser.add_argument("--n-components", type=int, default=60)
    parser.add_argument("--n-splits", type=int, default=5)
    main(**vars(parser.parse_args()))
