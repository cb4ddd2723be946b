"""CNNTranslator against PCARidge and the bound, at the lines of heavy elements.

The protocol of `benchmarks.lte_pairs`: every fifth star is tested on, 6000 of the
others are trained on, S/N 100 in the source and 50 in the target, errors against the
noise-free truth. Both models are as they come, on whole spectra, or with --windows on
the pixels of the lines of heavy elements alone, as in a `TargetWindow`.

Printed for giants and dwarfs: the rms error of PCARidge, of every seed and of their
mean square at the eight key lines, with the part of the gap from PCARidge to the bound
that is closed (`benchmarks.matched_scores`): the mean over lines and the ratio of sums,
with 95% intervals over test stars. The bar: a mean of 0.25, and an interval above zero.
Then the rms error over all pixels predicted, how often the truth is within 1 and 2
stated standard deviations and the standard deviation of what it deviates by in these
units, the lines translated to 0.01 of the continuum, and the share of the networks.

PCARidge as it comes learns from neighbouring pixels, too; "pixels alone" is without
that, as it was when the bar was set, and the gap is printed from there as well.

The settings of CNNTranslator were chosen with the test stars of fold 0 in sight, which
the protocol names; --fold takes others, that had no part in that.

With several --n-train, a line for each instead: a learning curve. With --ablation, a
line for each setting of one seed, on the lines' pixels but where it says otherwise;
--cases takes some, --epochs bounds those with convolutions, which are slow and so have
two members. With "clean targets" those of the training stars have no noise: what that
gains is what data limit, not the network, its loss or its training. With a learning
rate of 0 the networks say nothing, and what is left should be PCARidge.

    OMP_NUM_THREADS=1 python -m benchmarks.cnn_accuracy --data DIR [--windows]
    python -m benchmarks.cnn_accuracy --windows --n-train 1000 2000 4000 6000 --seeds 0
    python -m benchmarks.cnn_accuracy --ablation --epochs 20
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.table import Table

from benchmarks.linear_accuracy import BAR, bounds, squared_errors, to_user
from benchmarks.linear_calibration import covered
from benchmarks.lte_pairs import Pairs, short_names
from benchmarks.matched_scores import gap_closed, report, resampled
from benchmarks.sections import Section
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines, window_pixels
from specxfer.neural import CNNTranslator

DOMAINS = ("giant", "dwarf")
MODELS = "PCARidge alone", "PCARidge", "CNNTranslator"
CONV = ("encoder=conv", "encoder=both")
ABLATION = {
    "as it comes": {},
    "base=None": {"base": None},
    "n_members=2": {"n_members": 2},
    "n_members=15": {"n_members": 15},
    "n_leading=1": {"n_leading": 1},
    "weight_decay=0": {"weight_decay": 0.0},
    "learning_rate=0": {"learning_rate": 0.0},
    "noise=1": {"noise": 1.0},
    "masked=0.1": {"masked": 0.1},
    "velocity=0.5": {"velocity": 0.5},
    "whole spectra": {},
    "whole, lines=None": {"lines": None},
    "whole, clean targets": {"clean": True},
    "encoder=conv": {"encoder": "conv", "n_members": 2},
    "encoder=both": {"encoder": "both", "n_members": 2},
}


DEPTHS = 0, 0.003, 0.01, 0.03, 0.1, 0.3, 1  # of the stars' lines, to tell errors by


@dataclass
class Found:
    """What one fitted model does for the test stars.

    Parameters
    ----------
    model : estimator
        Fitted.
    seconds : tuple of float
        Of the fit, and of the prediction with its standard deviation.
    errors : ndarray of shape (n_lines, n_stars)
        Mean squared error in each window.
    square : ndarray of shape (n_stars,)
        Mean squared error of all pixels predicted.
    stated : dict of str to tuple
        For each domain percentages within 1 and 2 σ, and the standard deviation.
    by_depth : dict of str to ndarray of shape (n_depths, 4)
        For each domain share of pixels, rms error, rms stated and rms of z, by how deep
        the star's spectrum is there.
    """

    model: object
    seconds: tuple
    errors: np.ndarray
    square: np.ndarray
    stated: dict
    by_depth: dict


class Task:
    """The pairs, the windows and the bounds."""

    def __init__(self, data, n_train, fold=0, clean=False):
        self.pairs = pairs = Pairs(data / "lte/pairs_dev.npz", n_train, fold, clean)
        self._how = data, n_train, fold
        lines = [line for line in load_lines("galah") if line.element != "Li"]
        grid = pairs.truth.wave, pairs.truth.medium
        self.windows = np.stack([window_pixels(line, *grid) for line in lines])
        self.pixels = self.windows.any(axis=0)
        self.key = np.array([line.name in KEY_LINES for line in lines])
        self.names = np.array([short_names(lines)[line.name] for line in lines])
        giant = np.asarray(pairs.truth.meta["giant"], bool)
        self.stars = dict(zip(DOMAINS, (giant, ~giant)))
        path = data / "lte/bound.csv"
        self.bound = {d: bounds(path, self.names, d)[0] for d in DOMAINS}
        self.bound_of_all = {d: bounds(path, ["all"], d)[0][0] for d in DOMAINS}
        rng = np.random.default_rng(0)
        self.shares = {d: resampled(s.sum(), rng) for d, s in self.stars.items()}

    def run(self, model, n_train, windows, alone=False):
        """Fit to the first stars and predict the test stars.

        With `alone`, the order of the target's pixels is not known.
        """
        pairs, cols = self.pairs, self._pixels(windows)
        y = pairs.y[:n_train]
        if alone:
            y = y.replace(wave=None, medium=None)
        start = time.perf_counter()
        model.fit(pairs.X[:n_train], y[:, cols], context=y if windows else None)
        return self.judged(model, time.perf_counter() - start, windows)

    def with_clean_targets(self):
        """The same with training targets that have no noise."""
        return Task(*self._how, clean=True)

    def _pixels(self, windows):
        """The pixels that are predicted."""
        return self.pixels if windows else np.ones(len(self.pixels), bool)

    def judged(self, model, fitted, windows):
        """What a fitted model, after so many seconds, does for the test stars."""
        pairs, cols = self.pairs, self._pixels(windows)
        start = time.perf_counter()
        flux, std = model.predict(pairs.X_test, return_std=True)
        seconds = fitted, time.perf_counter() - start
        truth = np.asarray(pairs.truth)[:, cols]
        left = flux - truth
        z = left / std
        stated = {d: (*covered(z[s]), z[s].std()) for d, s in self.stars.items()}
        errors = squared_errors(truth, flux, self.windows[:, cols])
        square = np.square(left).mean(axis=1)
        by_depth = {
            d: told_by_depth(truth[s], left[s], std[s]) for d, s in self.stars.items()
        }
        return Found(model, seconds, errors, square, stated, by_depth)

    def closed(self, domain, base, errors):
        """The gap closed at the key lines; see `gap_closed`."""
        parts = (e[self.key][:, self.stars[domain]] for e in (base, errors))
        return gap_closed(*parts, self.bound[domain][self.key], self.shares[domain])


def told_by_depth(truth, left, std):
    """Share of pixels, rms error and rms stated, rms of z; a row for each of DEPTHS."""
    rows, depth = [], 1 - truth
    for low, high in pairwise(DEPTHS):
        these = (depth > low) & (depth <= high)
        e, s = left[these], std[these]
        rms = [np.sqrt(np.mean(x**2)) if len(x) else np.nan for x in (e, s, e / s)]
        rows.append([these.mean(), *rms])
    return np.array(rows)


def averaged(runs, what):
    """Squared errors of several seeds, averaged star by star."""
    return np.mean([getattr(run, what) for run in runs], axis=0)


def compact(task, label, base, runs, seconds):
    """One line: gap closed and rms error over all pixels, giants and dwarfs."""
    errors, square = averaged(runs, "errors"), averaged(runs, "square")
    line = f"{label:24}"
    for domain, stars in task.stars.items():
        closed = task.closed(domain, base.errors, errors)
        mean, sums = ("{:5.2f} [{:5.2f}, {:4.2f}]".format(*v) for v in closed.values())
        before, after = (np.sqrt(s[stars].mean()) for s in (base.square, square))
        line += f"  {domain} {mean} {sums} {before:.5f} {after:.5f}"
    print(f"{line}  {seconds:4.0f} s", flush=True)


def heading():
    """What the columns of `compact` are."""
    print("gap closed: mean over lines, ratio of sums; rms of PCARidge, CNNTranslator")


def full_report(task, base, alone, runs, windows):
    """Every table; whether the bar is reached in both domains."""
    errors = averaged(runs.values(), "errors")
    models = {"PCARidge": base.errors, "pixels alone": alone.errors}
    models |= {f"seed {seed}": run.errors for seed, run in runs.items()}
    models["mean over seeds"] = errors
    met = True
    for domain, stars in task.stars.items():
        key, bound = task.key, task.bound[domain]
        of_key = {name: e[key][:, stars] for name, e in models.items()}
        report(domain, task.names[key], of_key, bound[key], task.shares[domain])
        closed, low, high = task.closed(domain, base.errors, errors)["mean"]
        reached = closed >= BAR and low > 0
        met &= reached
        print(
            f"mean gap closed {closed:.2f} [{low:.2f}, {high:.2f}], bar {BAR}: "
            f"{'reached' if reached else 'MISSED'}"
        )
        from_alone = task.closed(domain, alone.errors, errors)["mean"]
        print("from pixels alone {:.2f} [{:.2f}, {:.2f}]".format(*from_alone))
    what = "the lines' pixels" if windows else "all pixels"
    print(f"\nrms over {what}; truth within 1σ (68.3%), 2σ (95.4%); std of z")
    for domain, stars in task.stars.items():
        limit = "" if windows else f", bound {task.bound_of_all[domain]:.5f}"
        print(f"{domain}s{limit}")
        for name, run in {"PCARidge": base, "alone": alone, **runs}.items():
            rms = np.sqrt(run.square[stars].mean())
            inside, twice, spread = run.stated[domain]
            name = name if isinstance(name, str) else f"seed {name}"
            print(f"  {name:10} {rms:.5f}  {inside:5.1f}% {twice:5.1f}%  {spread:.3f}")
    print("\nby depth of a star's pixels: share, rms error, rms stated, rms of z")
    for domain in task.stars:
        for name, run in {"PCARidge": base, **runs}.items():
            name = name if isinstance(name, str) else f"seed {name}"
            for (low, high), row in zip(pairwise(DEPTHS), run.by_depth[domain]):
                told = "{:5.1%} {:.5f} {:.5f} {:.3f}".format(*row)
                print(f"{domain}s {name:10} {low:5} to {high:5}: {told}")
    for domain, stars in task.stars.items():
        rms = np.sqrt(errors[:, stars].mean(axis=1))
        to_user(domain, task.names, rms, task.bound[domain])
    print("\nshare of the networks in each coefficient")
    for seed, run in runs.items():
        share = np.asarray(run.model.share_)
        print(
            f"seed {seed}: mean {share.mean():.2f}, above a half {(share > 0.5).sum()}"
        )
        print(np.array2string(share, precision=2, max_line_width=88))
    return met


def told(name, found):
    """Print how long a model took, and how it ended."""
    line = f"{name}: fit {found.seconds[0]:.0f} s, predict {found.seconds[1]:.0f} s"
    if hasattr(found.model, "history_"):
        history = found.model.history_
        line += f"; best epoch {found.model.best_epoch_} of {len(history['epoch'])}"
        line += f" ({found.model.stopped_}), {np.median(history['seconds']):.2f} s each"
    print(line, flush=True)


def ablation(task, seed, n_train, epochs, cases):
    """A line for each setting, beside PCARidge on the same pixels."""
    heading()
    base = {}
    for name in cases or ABLATION:
        windows = "whole" not in name
        if windows not in base:
            base[windows] = task.run(PCARidge(random_state=0), n_train, windows)
        settings = dict(ABLATION[name])
        clean = settings.pop("clean", False)
        if epochs and name in CONV:
            settings["max_epochs"] = epochs
        model = CNNTranslator(**settings, random_state=seed)
        of_case = task.with_clean_targets() if clean else task
        found = of_case.run(model, n_train, windows)
        label = f"{name} ({model.best_epoch_})"
        compact(task, label, base[windows], [found], found.seconds[0])


def measured(task, n_train, windows, seeds, settings):
    """PCARidge, the same of pixels alone, and CNNTranslator of every seed."""
    base = task.run(PCARidge(), n_train, windows)
    told("PCARidge", base)
    alone = task.run(PCARidge(), n_train, windows, alone=True)
    runs = {}
    for seed in seeds:
        runs[seed] = task.run(
            CNNTranslator(**settings, random_state=seed), n_train, windows
        )
        told(f"seed {seed}", runs[seed])
    return base, alone, runs


def main(data, n_train=(6000,), windows=False, seeds=(0, 1, 2), epochs=None, **how):
    """Print what is asked for; 1 if the bar is missed."""
    task = Task(data, max(n_train), how["fold"])
    if how["ablation"]:
        ablation(task, seeds[0], max(n_train), epochs, how["cases"])
        return 0
    settings = {"max_epochs": epochs} if epochs else {}
    if len(n_train) == 1:
        found = measured(task, n_train[0], windows, seeds, settings)
        return int(not full_report(task, *found, windows))
    heading()
    for n in n_train:
        base = task.run(PCARidge(), n, windows)
        runs = []
        for seed in seeds:
            model = CNNTranslator(**settings, random_state=seed)
            runs.append(task.run(model, n, windows))
        seconds = np.mean([run.seconds[0] for run in runs])
        compact(task, f"{n} stars", base, runs, seconds)
    return 0


# --------------------------------------------------------------- for the documentation
def sections(data, n_train=6000, folds=(2, 3, 4), seeds=(0, 1, 2)):
    """Its sections of the documentation, of folds that chose no settings."""
    of_fold, of_line = [], []
    for fold in folds:
        print(f"\nfold {fold}", flush=True)
        task = Task(data, n_train, fold)
        found = measured(task, n_train, False, seeds, {})
        full_report(task, *found, False)
        of_fold += fold_rows(fold, task, *found)
        of_line.append(line_rows(task, *found))
    n_seeds = f"seeds {', '.join(map(str, seeds))}"
    text = (
        "The pairs and errors of the table of PCARidge above, with test stars that had "
        "no part in choosing settings: fold 2 is every fifth star from the third on, "
        f"and so on. Rms error over all pixels of CNNTranslator, {n_seeds}; of "
        "PCARidge; and of PCARidge that does not know of neighbouring pixels, as it "
        "was when the bar was set. ``gap closed`` is how far CNNTranslator gets from "
        "PCARidge to the bound, mean over eight lines of heavy elements, with 95% "
        "intervals over test stars; ``from alone`` the same from PCARidge of pixels "
        "alone. The bar for the first: 0.25. ``in 1σ`` and ``in 2σ`` are how often the "
        "noise-free truth is within one and two of CNNTranslator's stated standard "
        "deviations (68.3 and 95.4%), ``z`` the standard deviation in these units."
    )
    table = Table(rows=of_fold)
    for name in ("PCARidge alone", "PCARidge", "CNNTranslator"):
        table[name].format = ".5f"
    for name in ("in 1σ", "in 2σ"):
        table[name].format, table[name].unit = ".1f", "%"
    table["z"].format = ".2f"
    yield Section("CNNTranslator", text, table)
    text = (
        "Rms error at the eight lines in the same runs, mean over folds and seeds of "
        "the squared error."
    )
    rows = []
    for domain in DOMAINS:
        squares = {k: np.mean([f[domain][k] for f in of_line], 0) for k in MODELS}
        for i, name in enumerate(task.names[task.key]):
            row = {"line": name, "domain": domain}
            row |= {model: np.sqrt(e[i]) for model, e in squares.items()}
            rows.append(row | {"bound": task.bound[domain][task.key][i]})
    table = Table(rows=rows)
    for name in (*MODELS, "bound"):
        table[name].format = ".4f"
    yield Section("CNNTranslator at lines of heavy elements", text, table)


def fold_rows(fold, task, base, alone, runs):
    """A row for giants and one for dwarfs."""
    errors, square = (averaged(runs.values(), k) for k in ("errors", "square"))
    squares = dict(zip(MODELS, (alone.square, base.square, square)))
    for domain, stars in task.stars.items():
        row = {"fold": fold, "domain": domain}
        row |= {name: np.sqrt(e[stars].mean()) for name, e in squares.items()}
        for name, start in (("gap closed", base), ("from alone", alone)):
            closed = task.closed(domain, start.errors, errors)["mean"]
            row[name] = "{:.2f} [{:.2f}, {:.2f}]".format(*closed)
        stated = np.mean([run.stated[domain] for run in runs.values()], axis=0)
        yield row | dict(zip(("in 1σ", "in 2σ", "z"), stated))


def line_rows(task, base, alone, runs):
    """Mean squared errors at the key lines, by domain and model."""
    squares = alone.errors, base.errors, averaged(runs.values(), "errors")
    return {
        domain: {k: e[task.key][:, s].mean(axis=1) for k, e in zip(MODELS, squares)}
        for domain, s in task.stars.items()
    }


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, nargs="+", default=[6000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--windows", action="store_true", help="the lines' pixels are all there is"
    )
    parser.add_argument(
        "--fold", type=int, default=0, choices=range(5), help="whose stars are the test"
    )
    parser.add_argument("--epochs", type=int, help="at most, instead of the default")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--cases", nargs="+", choices=ABLATION, help="of the ablation")
    sys.exit(main(**vars(parser.parse_args())))
