"""Every picture that specxfer draws, from one small simulation.

    python examples/gallery.py --out DIR

writes a PNG for each Display class, in less than a minute.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt

from specxfer.baselines import NullTranslator
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.model_selection import StarShuffleSplit
from specxfer.neural import AlignmentTranslator, Schedule, train
from specxfer.plotting import (
    AttributionDisplay,
    CalibrationDisplay,
    ComparisonDisplay,
    CoverageMapDisplay,
    EmbeddingDisplay,
    HistoryDisplay,
    LineGalleryDisplay,
    RetrievalDisplay,
    SkillDisplay,
    SpectrumDisplay,
)
from specxfer.validation import compare_translators, null_test

LABELS = ["teff", "logg", "fe_h", "alpha"]


class Whole:
    """All stars as one batch, for the training core."""

    def __init__(self, X, y):
        x, self.y = torch.tensor(X.flux), torch.tensor(y.flux)
        self.x = torch.nan_to_num(x - 1)
        self.ivar = torch.nan_to_num(torch.tensor(y.ivar)) * self.y.isfinite()

    def __len__(self):
        return 1

    def epoch(self, number):
        yield {"input": self.x}, {"flux": self.y.nan_to_num(), "ivar": self.ivar}


def chi2(flux, targets):
    return (targets["ivar"] * (1 + flux - targets["flux"]) ** 2).mean()


def trained_network(X, y):
    """The history of a small network, trained on four of five of the stars."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(X.shape[1], 16), torch.nn.GELU()
    network = torch.nn.Sequential(*layers, torch.nn.Linear(16, y.shape[1]))
    n = len(X) * 4 // 5
    settings = Schedule(max_epochs=60, learning_rate=0.01, ema=0.9)
    batches, validation = Whole(X[:n], y[:n]), Whole(X[n:], y[n:])
    return train(network, chi2, batches, validation, settings=settings).history


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-stars", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("output"))
    options = parser.parse_args(argv)

    X, y, truth = make_paired_spectra(options.n_stars, size="small", random_state=1)
    split = StarShuffleSplit(n_splits=1, test_size=0.4, random_state=0)
    first, test = next(split.split(X, y))
    lines = load_lines("galah", names=KEY_LINES)

    # what is cross-validated takes all stars
    models = {f"{k} components": PCARidge(n_components=k) for k in (20, 3)}
    comparison = compare_translators(models, X, y, lines, cv=2)
    skill = null_test(PCARidge(20), X, y, lines, labels=LABELS, cv=3)

    model = PCARidge(n_components=20).fit(X[first], y[first])
    history = trained_network(X[first], y[first])
    null = NullTranslator("labels", labels=LABELS).fit(X[first], y[first])
    space = AlignmentTranslator(16, n_components=15, max_epochs=20).fit(
        X[first], y[first]
    )
    library = y[first]
    X, y, truth = X[test], y[test], truth[test]

    cerium = lines[KEY_LINES.index("Ce II 4774")]
    giant = np.asarray(X.meta["giant"])
    row = int(np.argmax(np.where(giant, X.meta["s_process"], -np.inf)))
    displays = {
        "spectrum": (
            SpectrumDisplay.from_estimator(model, X, y, row=row, truth=truth),
            {"window": (5851.5, 5856), "lines": lines},
        ),
        "line_gallery": (
            LineGalleryDisplay.from_estimator(
                model, X, y, lines, rows=row, null=null, truth=truth
            ),
            {},
        ),
        "line_gallery_mean": (
            LineGalleryDisplay.from_estimator(
                model, X, y, lines, rows=giant, null=null
            ),
            {"sharey": False},
        ),
        "skill": (SkillDisplay.from_table(skill), {}),
        "calibration": (
            CalibrationDisplay.from_estimator(model, X, y, lines),
            {"pit": True},
        ),
        "attribution": (
            AttributionDisplay.from_estimator(model, X, cerium, row=row),
            {},
        ),
        "coverage_map": (
            CoverageMapDisplay.from_estimator(model, X, y, lines),
            {"gridsize": 12, "min_stars": 3},
        ),
        "comparison": (ComparisonDisplay.from_table(comparison.table), {}),
        "embedding": (EmbeddingDisplay.from_estimator(space, X, y, label="fe_h"), {}),
        "retrieval": (
            RetrievalDisplay.from_estimator(space, X, library, y, rows=[row, 0, 1]),
            {"windows": lines[:3]},
        ),
        "history": (HistoryDisplay.from_history(history), {}),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, (display, how) in displays.items():
        figure = display.plot(**how).figure_
        figure.savefig(options.out / f"{name}.png", dpi=200)
        plt.close(figure)
        print(options.out / f"{name}.png", flush=True)


if __name__ == "__main__":
    main()
