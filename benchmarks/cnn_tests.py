"""The validation suite on CNNTranslator, beside PCARidge.

- null: the synthetic pairs of `benchmarks.lte_pairs`, pixels of the lines of heavy
  elements alone. Skill at each of the eight key lines over a null of Teff, log g,
  [Fe/H] and [α/Fe], and over one of all labels that are not of a heavy element. The
  rows to look for: skill in giants at the lines of Ce and Nd and what runs with them,
  and none at lithium, of which the source shows nothing.
- leakage: the same stars. What is left of the skill over all labels when the Ce II,
  Nd II and Yb II windows of the source are hidden, refitted without them or predicting
  without them.
- counterfactual: simulated stars that neither model has seen, with [Ce/Fe] 0.3 dex
  higher and all else as it was. The slope of the predicted change of the equivalent
  width of Ce II 4774 against the true one, 1 if the line follows; beside it the slopes
  of predicted on true widths, and of observed on predicted ones, over the stars as they
  were. And the predicted change (mÅ, rms) at the lines of other elements, which stay as
  they are: of most of them the source shows no more than Ce, Nd and Yb, so stars rich
  in cerium are taken for stars rich in all.

    OMP_NUM_THREADS=1 python -m benchmarks.cnn_tests --data DIR [--only counterfactual]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.linear_calibration import surroundings
from benchmarks.lte_pairs import LABELS, Pairs
from benchmarks.tests_of_the_tests import LITHIUM
from specxfer.baselines import NullTranslator
from specxfer.datasets import make_paired_spectra
from specxfer.datasets._population import TRENDS
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines, window_pixels
from specxfer.metrics import slope_table
from specxfer.neural import CNNTranslator
from specxfer.validation import counterfactual_test, leakage_test, null_test

TURBULENCE = ["vmic", "vmac", "vsini", "c12c13"]
LIGHT = [*TRENDS, "P", "Zn", "Ge"]
ALL = [*LABELS, *TURBULENCE, *(f"{element}_fe" for element in LIGHT)]
NULLS = {"four labels": LABELS, "all labels": ALL}
CE = "Ce II 4774"
STEP = 0.3  # dex
MODES = ("refit", "predict")


def translators(epochs):
    """The two to compare."""
    settings = {"max_epochs": epochs} if epochs else {}
    return {"PCARidge": PCARidge(), "CNNTranslator": CNNTranslator(**settings)}


def synthetic(data, n_train):
    """Pairs on the pixels of the lines, and the lines to judge."""
    pairs = Pairs(data / "lte/pairs_dev.npz", n_train)
    y = pairs.y
    heavy = window_pixels(load_lines("galah"), y.wave, y.medium)
    lines = load_lines("galah", names=[*KEY_LINES, LITHIUM])
    return pairs.X, y[:, heavy], lines


def nulls(X, y, lines, models, **how):
    """Skill over labels."""
    columns = ["line", "domain", "rms", "rms_null", "skill", "skill_lo", "skill_hi"]
    for null, labels in NULLS.items():
        for name, model in models.items():
            table = null_test(
                model, X, y, lines, null=NullTranslator("labels", labels=labels), **how
            )
            skilful = int(table["skilful"].sum())
            print(f"\nnull of {null}, {name}: skill in {skilful} of {len(table)} rows")
            table[[*columns, "p", "skilful"]].pprint(max_lines=-1, max_width=-1)


def leakage(X, y, lines, models, modes, **how):
    """Skill that stays when the source's heavy elements are hidden."""
    columns = ["line", "domain", "rms", "rms_masked", "rms_null", "skill"]
    columns += ["skill_masked", "fall", "fall_lo", "fall_hi", "p"]
    columns += ["skilful", "skilful_masked"]
    null = NullTranslator("labels", labels=ALL)
    for mode in modes:
        for name, model in models.items():
            table = leakage_test(model, X, y, lines, mode=mode, null=null, **how)
            had, kept = (int(table[c].sum()) for c in ("skilful", "skilful_masked"))
            print(f"\nhidden, {mode}, {name}: skill in {had} rows, kept in {kept}")
            table[columns].pprint(max_lines=-1, max_width=-1)


def counterfactual(models, n_stars):
    """Slopes at cerium, and what other lines do."""
    how = {"size": "small"}
    X, y, _ = make_paired_spectra(n_stars, random_state=0, **how)
    n_test = n_stars // 2
    before, observed, truth = make_paired_spectra(n_test, random_state=1, **how)
    after, _, truth_after = make_paired_spectra(
        n_test, random_state=1, shift={"ce_fe": STEP}, **how
    )
    truth.meta = truth_after.meta = observed.meta
    lines = load_lines("galah", names=KEY_LINES)
    seen = np.isfinite(y.flux).mean(axis=0) > 0.5
    cols = surroundings(y.wave, False) & seen
    y, observed, truth, truth_after = (
        s[:, cols] for s in (y, observed, truth, truth_after)
    )
    flux = {}
    for name, model in models.items():
        model.fit(X, y)
        found = counterfactual_test(model, (before, truth), (after, truth_after), lines)
        print(f"\n[Ce/Fe] + {STEP}, {name}, {len(before)} stars")
        cerium = np.asarray(found["line"]) == CE
        columns = ["line", "domain", "rms_true", "rms_predicted", "slope"]
        found[cerium][[*columns, "slope_lo", "slope_hi"]].pprint(max_width=-1)
        found[~cerium]["line", "domain", "rms_true", "rms_predicted"].pprint(
            max_lines=-1, max_width=-1
        )
        flux[name] = model.predict(before)
    slopes = slope_table(observed, flux, load_lines("galah", names=[CE]))
    print("\nstars as they were")
    for name in slopes.colnames:
        if slopes[name].dtype.kind == "f":
            slopes[name].format = ".2f"
    slopes.pprint(max_lines=-1, max_width=-1)


def main(data, n_train, n_stars, cv, epochs, modes, n_jobs, only):
    """Run the parts, or one of them."""
    models = translators(epochs)
    X = y = lines = None
    if only != "counterfactual":
        X, y, lines = synthetic(data, n_train)
    with tempfile.TemporaryDirectory() as folder:  # no model is fitted twice
        how = {"cv": cv, "n_jobs": n_jobs, "resume": folder}
        parts = {
            "null": lambda: nulls(X, y, lines, models, **how),
            "leakage": lambda: leakage(X, y, lines, models, modes, **how),
            "counterfactual": lambda: counterfactual(models, n_stars),
        }
        for name, part in parts.items():
            if only in (None, name):
                start = time.perf_counter()
                part()
                print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=2000, help="synthetic pairs")
    parser.add_argument("--n-stars", type=int, default=2000, help="simulated")
    parser.add_argument("--cv", type=int, default=2, help="folds")
    parser.add_argument("--epochs", type=int, help="at most, instead of the default")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--only", choices=["null", "leakage", "counterfactual"])
    main(**vars(parser.parse_args()))
