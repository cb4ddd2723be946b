"""Do the tests of `specxfer.validation` find what is there, and nothing else?

Three cases in which the answer is known:

1. *Tied*: simulated stars whose heavy elements follow exactly from [Fe/H] and [α/Fe].
   The null is given all that is not a heavy element: Teff, log g, [Fe/H], [α/Fe],
   micro- and macroturbulence and [X/Fe] of all light elements. A seed is a false
   positive if any line is found skilful, in giants or dwarfs, at a false discovery rate
   of 5%. At most 6 of 50 are expected (5%, 97.5% quantile).
2. *Scattered*: giants whose s-process elements scatter on their own. Skill over the
   same null is to be found, and to be lost when the Ce II, Nd II and Yb II windows of
   the source are hidden.
3. *Lithium*: the line at 6707.8 Å in synthetic pairs from real line lists. The source
   shows no lithium: no translator can have skill over a label null. Beside it a null
   that is too stiff, a quadratic in the labels of giants and dwarfs together, which a
   translator beats without knowing anything of lithium.

    python -m benchmarks.tests_of_the_tests --data DIR
"""

import argparse
import os
import time
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    StandardScaler,
)

from benchmarks.label_terms import LIGHT, MAIN, label_terms
from benchmarks.lte_pairs import LABELS, Pairs
from specxfer.baselines import NullTranslator
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge, SpectralRidge
from specxfer.lines import KEY_LINES, load_lines, window_pixels
from specxfer.validation import leakage_test, null_test

LITHIUM = "Li I 6708"
EXPECTED = 6  # of 50


NULLS = {
    "labels": NullTranslator("labels", labels=MAIN + LIGHT),
    "quadratic": make_pipeline(
        FunctionTransformer(label_terms), StandardScaler(), SpectralRidge()
    ),
}


def key_lines(n_stars, seed, **options):
    """Simulated pairs of which the target has the windows of the eight key lines."""
    X, y, _ = make_paired_spectra(n_stars, size="small", random_state=seed, **options)
    lines = load_lines("galah", names=KEY_LINES)
    return X, y[:, window_pixels(lines, y.wave, y.medium)], lines


def tied(seeds, n_stars, null, n_jobs):
    """Count the seeds in which skill is found where there can be none."""
    found = 0
    for seed in range(seeds):
        X, y, lines = key_lines(n_stars, seed, heavy_scatter=False)
        table = null_test(PCARidge(30), X, y, lines, null=NULLS[null], n_jobs=n_jobs)
        found += table["skilful"].any()
        names = ", ".join(
            f"{row['line']} ({row['domain']}, q = {row['q']:.3f})"
            for row in table[table["skilful"]]
        )
        skill = np.nanmedian(table["skill"])
        print(f"seed {seed}: {names or 'none'}; median skill {skill:.2f}", flush=True)
    print(f"tied: {found} of {seeds} seeds (at most {EXPECTED} of 50), null {null}")
    return found


def scattered(n_stars, null, n_jobs):
    """Print skill with and without the lines of Ce, Nd and Yb."""
    X, y, lines = key_lines(n_stars, 1, giant_fraction=1)
    columns = ["line", "rms", "rms_masked", "rms_null", "skill", "skill_masked"]
    columns += ["fall", "p", "skilful", "skilful_masked"]
    for mode in ("refit", "predict"):
        table = leakage_test(
            PCARidge(30), X, y, lines, mode=mode, null=NULLS[null], n_jobs=n_jobs
        )
        kept, lost = table["skilful"].sum(), (~table["skilful_masked"]).sum()
        print(f"scattered, {mode}: skill at {kept} of 8, lost at {lost} of 8")
        table[columns].pprint(max_width=-1)


def lithium(data, n_train, n_jobs):
    """Print the skill of two translators at lithium, and at barium beside it."""
    pairs = Pairs(data / "lte/pairs_dev.npz", n_train)
    lines = load_lines("galah", names=[LITHIUM, "Ba II 6497", "Eu II 6645"])
    X, y = pairs.X, pairs.y
    near = [(line.lo - 2, line.hi + 2) for line in lines]
    y = y[:, window_pixels(near, y.wave, y.medium)]
    models = {
        "PCARidge": PCARidge(60),
        "sklearn": make_pipeline(PCA(60, whiten=True, random_state=0), Ridge(10)),
    }
    columns = ["line", "domain", "rms", "rms_null", "skill", "skill_lo", "skill_hi"]
    nulls = {
        "labels": NullTranslator("labels", labels=LABELS),
        "stiff": NullTranslator("labels", labels=LABELS, degree=2),
    }
    for null, quantity in product(nulls, ("flux", "ew")):
        for name, model in models.items():
            table = null_test(
                model, X, y, lines, null=nulls[null], cv=3, quantity=quantity,
                n_jobs=n_jobs,
            )  # fmt: skip
            print(f"lithium: {quantity}, {name} over {null}")
            table[[*columns, "p", "skilful"]].pprint(max_width=-1)


def main(data, seeds, n_stars, n_train, null, n_jobs, only):
    """Run the cases, or one of them."""
    cases = {
        "tied": lambda: tied(seeds, n_stars, null, n_jobs),
        "scattered": lambda: scattered(n_stars, null, n_jobs),
        "lithium": lambda: lithium(data, n_train, n_jobs),
    }
    for name, case in cases.items():
        if only in (None, name):
            start = time.perf_counter()
            case()
            print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--n-stars", type=int, default=2000)
    parser.add_argument("--n-train", type=int, default=6000)
    parser.add_argument("--null", choices=NULLS, default="labels")
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--only", choices=["tied", "scattered", "lithium"])
    main(**vars(parser.parse_args()))
