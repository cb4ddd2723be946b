"""What compare_translators takes to compare four translators over 8,000 stars.

The synthetic pairs of `benchmarks.lte_pairs`, all 8,000 stars, noise as there. The bar:
judging holds no more than one copy of the predictions (stars × target pixels, float32)
in memory. Memory is that of the process alone, files mapped to it left out, beyond what
was in use before the fit and before the predictions.

    OMP_NUM_THREADS=2 python -m benchmarks.compare_translators --data DIR
"""

import argparse
import os
import time
from pathlib import Path

from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from benchmarks.linear_calibration import World
from specxfer.baselines import NullTranslator
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.model_selection import StarKFold
from specxfer.model_selection._over_folds import over_folds
from specxfer.validation import compare_translators
from specxfer.validation._compare_translators import LineJudge

LABELS = ["teff", "logg", "feh", "alpha"]
SNR = 100


def translators():
    """Four to compare."""
    pca = PCA(60, whiten=True, random_state=0, svd_solver="randomized")
    return {
        "PCARidge": PCARidge(60),
        "PCARidge, linear": PCARidge(60, n_products=0),
        "scikit-learn PCA + Ridge": make_pipeline(pca, Ridge(10)),
        "mean": NullTranslator("mean"),
    }


def main(data, n_splits=2, resume=None):
    """Print the tables, and the memory that judging took."""
    world = World.lte(data, 6400, full=True)
    X, y = world.everything(SNR)
    copy = y.shape[0] * y.shape[1] * 4 / 2**20
    lines = load_lines("galah", names=KEY_LINES)
    null = NullTranslator("labels", labels=LABELS)
    start = time.perf_counter()
    options = {"cv": StarKFold(n_splits), "resume": resume or Path("output/compare")}
    found = compare_translators(translators(), X, y, lines, null=null, **options)
    print(f"{len(X)} stars, {time.perf_counter() - start:.0f} s")
    found.summary.pprint(max_width=-1)
    found.table.pprint(max_lines=-1, max_width=-1)
    # the folds, read again from where they were kept
    _, folds = over_folds(
        {**translators(), "null": null}, X, y, LineJudge(lines), **options
    )
    print(f"one copy of the predictions: {copy:.0f} MiB")
    for name, runs in folds.items():
        judge = max(run.judge_memory for run in runs)
        print(f"{name}: judging took {judge:.0f} MiB, {judge / copy:.2f} of a copy")


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-splits", type=int, default=2)
    parser.add_argument("--resume", type=Path, help="where results are kept")
    main(**vars(parser.parse_args()))
