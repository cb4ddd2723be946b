"""From the stars that two surveys share to those that only one of them saw.

Simulates an APOGEE-like and a GALAH-like survey, searches for the best translator with
star-wise folds, and asks at each line of a heavy element whether it learned more from
the infrared spectrum than Teff, log g, [Fe/H] and [α/Fe] already tell. About a minute.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from specxfer import predict_like, predict_std, translate
from specxfer.baselines import NullTranslator
from specxfer.compose import TargetWindow
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines, window_pixels
from specxfer.metrics import equivalent_width, line_flux_scorer, line_table, signed_root
from specxfer.model_selection import StarKFold, StarShuffleSplit
from specxfer.plotting import LineGalleryDisplay, SkillDisplay
from specxfer.preprocessing import Rebinner, WindowCropper


def main(argv=None):
    options = parse(argv)

    # 1. The same stars in two surveys. A fifth of them were observed twice; repeats of
    #    a star must not stand on both sides of a split, and these splitters see to it.
    print(f"Simulating {options.n_stars} stars in two surveys ...", flush=True)
    X, y, truth = make_paired_spectra(
        options.n_stars, repeats=0.2, random_state=1, n_jobs=-1
    )
    split = StarShuffleSplit(n_splits=1, test_size=0.25, random_state=0)
    train, test = next(split.split(X, y))
    print(f"  {X.shape[1]} pixels in, {y.shape[1]} out; {len(train)} pairs of spectra")
    print(f"  to learn from, {len(test)} pairs of other stars to be judged by\n")

    # 2. Zoom in. Of the target: eight lines, with 1 Å around them. Of the source:
    #    everything, or only its few lines of Ce, Nd and Yb? Cross-validation will say.
    #    The scorer has its own, fixed list of lines, whatever windows are searched.
    lines = load_lines("galah", names=KEY_LINES)
    heavy = load_lines("apogee", elements=["Ce", "Nd", "Yb"])
    steps = [
        ("crop", WindowCropper(pad=1.5)),
        ("rebin", Rebinner(factor=3)),  # to one pixel per resolution element
        ("translator", PCARidge()),
    ]
    grid = {
        "estimator__crop__windows": [None, heavy],
        "estimator__translator__n_components": [20, 60],
        "estimator__translator__alpha": ["auto", 100],
    }
    search = GridSearchCV(
        TargetWindow(Pipeline(steps), lines, pad=1.0),
        grid,
        cv=StarKFold(n_splits=options.folds),
        scoring=line_flux_scorer(lines),
    )
    print("Searching over windows, components and penalty ...", flush=True)
    search.fit(X[train], y[train])
    show(search_table(search))

    # 3. The null case. How well does one do without any infrared spectrum, knowing the
    #    mean star only, or each star's labels (here even without an error)?
    labels = NullTranslator("labels", labels=["teff", "logg", "fe_h", "alpha_fe"])
    nulls = {"labels": labels, "mean": NullTranslator("mean")}
    predicted = {"translator": predict_like(search, X[test], y[test])}
    for name, null in nulls.items():
        null = TargetWindow(null, lines, pad=1.0).fit(X[train], y[train])
        predicted[name] = predict_like(null, X[test], y[test])

    # Errors are judged as with real data: against noisy spectra, the noise taken off,
    # each at the resolving power of the spectrograph on that night.
    # Differences are paired star by star, with a 95% interval.
    table = line_table(y[test], predicted, lines, reference="labels")
    table["skill"] = -table["d_translator"] / table["labels"] ** 2
    table["skilful"] = table["d_translator_hi"] < 0
    table["verdict"] = np.where(table["skilful"], "better", "not better")
    print("Held-out stars, line by line: rms error of flux / continuum, and the nulls'")
    show(error_table(table))

    # 4. Translate. The held-out giant richest in s-process elements has heavy lines
    #    stronger than its labels suggest. Does its infrared spectrum tell?
    s_process = np.where(X.meta["giant"], X.meta["s_process"], -np.inf)[test]
    row = [int(np.argmax(s_process))]
    star = test[row]
    views = {
        "observed": y[star],
        "truth": truth[star],
        "translated": translate(search, X[star], resolution=y[star].resolution),
        "from labels": truth[star].replace(flux=predicted["labels"][row]),
    }
    print(f"Equivalent widths (mÅ) of the s-process rich giant {y.ids[star][0]}")
    show(width_table(views, lines))

    flux, std = predict_std(search, X[test], resolution=y[test].resolution)
    seen = window_pixels(lines, y.wave, y.medium)
    inside = (np.abs(flux - truth.flux[test]) < std)[:, seen].mean()
    figure = draw(views, lines, table, options.out)
    print(
        f"±1σ holds the truth in {inside:.0%} of the pixels: more than 68%, since σ\n"
        "has to cover errors of velocity and continuum in the target spectra as well"
    )
    print(f"Figure: {figure}")
    better = table["domain"][table["verdict"] == "better"].tolist()
    print(
        f"Reading: the infrared tells more than the labels at {better.count('giant')} "
        f"of the {len(lines)} lines in giants, at {better.count('dwarf')} in dwarfs.\n"
        "These stars are simulated: expect real ones to be harder."
    )
    return table


# -------------------------------------- what follows is options, tables and a figure
def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-stars", type=int, help="1500, or 400 if --quick")
    parser.add_argument("--out", type=Path, default=Path("output"))
    parser.add_argument("--quick", action="store_true", help="fewer stars and folds")
    options = parser.parse_args(argv)
    options.n_stars = options.n_stars or (400 if options.quick else 1500)
    options.folds = 2 if options.quick else 3
    return options


def show(table):
    print("", *table.pformat(max_lines=-1, max_width=-1), "", sep="\n")


def search_table(search):
    """The candidates, best first."""
    found = search.cv_results_
    order = np.argsort(found["rank_test_score"])
    windows, alpha, n_components = (
        [found["params"][i][f"estimator__{name}"] for i in order]
        for name in ("crop__windows", "translator__alpha", "translator__n_components")
    )
    table = Table(
        {
            "source": ["Ce, Nd, Yb lines" if w else "everything" for w in windows],
            "components": n_components,
            "penalty": [str(a) for a in alpha],
            "rms error": signed_root(-found["mean_test_score"][order]),
        }
    )
    table["rms error"].format = ".4f"
    return table


def error_table(table):
    """What to print of a line table."""
    shown = table["line", "domain", "n_stars", "translator", "labels", "mean", "skill"]
    shown["skill"].format = "+.2f"
    shown["translator² - labels² (1e-4)"] = [
        f"{1e4 * row['d_translator']:+.2f} [{1e4 * row['d_translator_lo']:+.2f}, "
        f"{1e4 * row['d_translator_hi']:+.2f}]"
        for row in table
    ]
    shown["verdict"] = table["verdict"]
    return shown


def width_table(views, lines):
    """Equivalent widths of one star; a translated line's pixels err together."""
    table = Table({"line": [line.name for line in lines]})
    for name, spectrum in views.items():
        ew, error = (values[0] for values in equivalent_width(spectrum, lines))
        known = np.isfinite(error).all()
        table[name] = [
            f"{w:.1f} ± {e:.1f}" if known else f"{w:.1f}" for w, e in zip(ew, error)
        ]
    return table


def draw(views, lines, table, out):
    """The star's lines above, what was learned at each of them below."""
    figure = Figure(figsize=(8.5, 7.5), dpi=140, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[2.1, 1])
    LineGalleryDisplay.from_predictions(
        views["observed"],
        views["translated"],
        lines,
        null=views["from labels"],
        truth=views["truth"],
        name="A simulated giant rich in s-process elements, translated from the "
        "infrared",
    ).plot(above, order=None, bands=(1,), null_label="from labels alone")
    below.suptitle(
        "What the infrared adds to the labels: 0 nothing, 1 everything",
        fontsize="small",
    )
    SkillDisplay.from_table(table).plot(below.subplots())
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "quickstart.png")
    return out / "quickstart.png"


if __name__ == "__main__":
    main()
