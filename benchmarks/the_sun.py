"""The Sun, a real pair: the translator against the nulls, for several trainings.

The bar: below the mean-dwarf null and the label null in all four figures (rms of
predicted minus observed flux as it is, after a constant and after a quadratic per CCD,
and over the windows of eight heavy-element lines). A translator is trained on random
copies, so one training may win or lose by luck; several tell. A consistency check and
no test: the line lists behind the training spectra were tuned on the Sun.

    python -m benchmarks.the_sun --data DIR
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

from translate_real_stars import (  # noqa: E402
    FIGURES,
    NOT_A_PROOF,
    SolarCase,
    SyntheticPairs,
    nulls,
    print_rows,
    translator,
)


def main(data, n_trainings=5):
    """Print the four figures of each model, and how many trainings are below all."""
    pairs = SyntheticPairs(data / "lte/pairs_dev.npz")
    case = SolarCase.prepare(pairs, data)
    shipped = case.as_shipped(quick=False)
    null_figures = case.treated_alike(nulls())
    models = {
        f"training {seed}": translator(random_state=seed) for seed in range(n_trainings)
    }
    trained = case.treated_alike(models)
    print_rows("As shipped, none of the measures", FIGURES, shipped)
    ours = np.array(list(trained.values()))
    spread = dict(zip(("median", "best", "worst"), (f(ours, axis=0) for f in
                  (np.median, np.min, np.max))))  # fmt: skip
    spread = {f"translator, {name} of {n_trainings}": v for name, v in spread.items()}
    print_rows(
        "One continuum rule and resolving power for all",
        FIGURES,
        {**spread, **null_figures},
    )
    print()
    for name, figures in null_figures.items():
        below = (ours < np.array(figures)).sum(axis=0)
        print(f"  trainings below {name:24}: {below} of {n_trainings}")
    print(NOT_A_PROOF)


if __name__ == "__main__":
    shared = os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-trainings", type=int, default=5)
    main(**vars(parser.parse_args()))
