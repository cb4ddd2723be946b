"""Every picture that specxfer draws, from one small simulation.

    python examples/gallery.py --out DIR

writes a PNG for each Display class, in ten seconds. Tables that cross-validation makes
elsewhere (`specxfer.validation`) come from a single split here.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack
from matplotlib import pyplot as plt

from specxfer import predict_like
from specxfer.baselines import NullTranslator
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.metrics import (
    equivalent_width,
    giants_and_dwarfs,
    line_table,
    mse_per_star,
)
from specxfer.model_selection import StarShuffleSplit
from specxfer.plotting import (
    AttributionDisplay,
    CalibrationDisplay,
    ComparisonDisplay,
    CoverageMapDisplay,
    LineGalleryDisplay,
    SkillDisplay,
    SpectrumDisplay,
)

STEP = 0.01  # of the flux, for slopes
DRAWS = 500  # of the stars, for intervals


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-stars", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("output"))
    options = parser.parse_args(argv)

    X, y, truth = make_paired_spectra(options.n_stars, size="small", random_state=1)
    split = StarShuffleSplit(n_splits=1, test_size=0.4, random_state=0)
    train, test = next(split.split(X, y))
    models = {
        f"{k} components": PCARidge(n_components=k).fit(X[train], y[train])
        for k in (20, 3)
    }
    model = models["20 components"]
    null = NullTranslator("labels", labels=["teff", "logg", "fe_h", "alpha"])
    null.fit(X[train], y[train])
    X, y, truth = X[test], y[test], truth[test]

    lines = load_lines("galah", names=KEY_LINES)
    cerium = lines[KEY_LINES.index("Ce II 4774")]
    giant = np.asarray(X.meta["giant"])
    row = int(np.argmax(np.where(giant, X.meta["s_process"], -np.inf)))
    errors = error_table(models, null, X, y, lines)
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
        "skill": (SkillDisplay.from_table(skill_table(model, null, X, y, lines)), {}),
        "calibration": (
            CalibrationDisplay.from_estimator(model, X, y, lines),
            {"pit": True},
        ),
        "attribution": (
            AttributionDisplay.from_predictions(
                X, slopes(model, X[[row]], cerium, y), cerium, row=row
            ),
            {},
        ),
        "coverage_map": (
            CoverageMapDisplay.from_estimator(model, X, y, lines),
            {"gridsize": 12, "min_stars": 3},
        ),
        "comparison": (ComparisonDisplay.from_table(errors), {}),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, (display, how) in displays.items():
        figure = display.plot(**how).figure_
        figure.savefig(options.out / f"{name}.png", dpi=200)
        plt.close(figure)
        print(options.out / f"{name}.png", flush=True)


def error_table(models, null, X, y, lines):
    """Rms error of each model and of the null, in long form."""
    predicted = {name: predict_like(model, X, y) for name, model in models.items()}
    predicted["null"] = predict_like(null, X, y)
    wide = line_table(y, predicted, lines)
    wide = wide[wide["line"] != "all"]
    parts = []
    for name in models:
        part = wide["line", "domain", "n_stars"]
        part["model"] = name
        for suffix in ("", "_lo", "_hi"):
            part[f"rms{suffix}"] = wide[f"{name}{suffix}"]
        part["rms_null"] = wide["null"]
        parts.append(part)
    return vstack(parts)


def skill_table(model, null, X, y, lines):
    """Skill over the null, with an interval from stars drawn again and again."""
    mse, of_null = (
        mse_per_star(y, predict_like(some, X, y), lines) for some in (model, null)
    )
    rng = np.random.default_rng(0)
    rows = []
    for domain, mask in giants_and_dwarfs(y).items():
        stars = np.flatnonzero(mask)
        drawn = rng.choice(stars, (DRAWS, len(stars)))
        skill = 1 - mse[stars].mean(axis=0) / of_null[stars].mean(axis=0)
        again = 1 - mse[drawn].mean(axis=1) / of_null[drawn].mean(axis=1)
        lo, hi = np.quantile(again, [0.025, 0.975], axis=0)
        rows += [
            (line.name, domain, *values, values[1] > 0)
            for line, *values in zip(lines, skill, lo, hi)
        ]
    names = ["line", "domain", "skill", "skill_lo", "skill_hi", "skilful"]
    return Table(rows=rows, names=names)


def slopes(model, star, line, y):
    """Slope of an equivalent width by each source pixel, mÅ per unit of flux."""
    n = star.shape[1]
    moved = np.repeat(star.flux.astype(float), n, axis=0)
    moved[np.arange(n), np.arange(n)] += STEP
    sources = star[np.zeros(n, dtype=int)].replace(flux=moved)
    ew = [
        equivalent_width(model.predict(X), line, wave=y.wave, medium=y.medium)[0][:, 0]
        for X in (sources, star)
    ]
    return (ew[0] - ew[1]) / STEP


if __name__ == "__main__":
    main()
