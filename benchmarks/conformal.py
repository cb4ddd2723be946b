"""How often intervals of ConformalTranslator hold, and how large errors are made.

The synthetic pairs of `benchmarks.linear_calibration`, S/N 50 in the target: a third of
the 6,400 stars that are not tested on calibrate, some 1,000 of each domain.

For every translator, giants and dwarfs apart:

- coverage, over the pixels in line windows, of the intervals of the *observed* flux
  (`predict_interval`). The bars: within 2 points, or two binomial standard errors of
  the stars tested, of 68.27 and 95.45. Trained and tested at S/N 100; below, trained at
  100 and tested at 30, which is not exchangeable, without a bar.
- coverage of the *noise-free* flux by the stated errors as the translator gives them
  ("raw") and as they are calibrated, which nothing guarantees.
- equivalent widths of translated spectra: rms over stars of error / stated error,
  against the truth, raw and calibrated per line; the mean over lines and the worst
  line. The bar: the calibrated mean within 10% of 1.

And of *observed* spectra, without a translator: the same ratio, from ivar for white
noise and after `ResolutionMatcher` from the covariance that it states. The bar: mean
within 10% of 1.

    OMP_NUM_THREADS=1 python -m benchmarks.conformal --data DIR
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline

from benchmarks.linear_calibration import World
from specxfer import predict_std, translate
from specxfer.baselines import NullTranslator
from specxfer.compose import ConformalTranslator
from specxfer.linear import PCARidge, SpectralPCA, SpectralRidge
from specxfer.metrics import (
    coverage,
    equivalent_width,
    interval_coverage,
)
from specxfer.model_selection import StarShuffleSplit
from specxfer.preprocessing import ResolutionMatcher

LEVELS = (0.6827, 0.9545)
SHARE = 1 / 3
LABELS = ["teff", "logg", "feh", "alpha"]
BAR_POINTS, BAR_WIDTHS = 0.02, 0.1
MATCHED = 20_000  # resolving power


def translators(n_components):
    """The translators that are judged."""
    return {
        "mean": NullTranslator("mean"),
        "labels": NullTranslator("labels", labels=LABELS, degree=3),
        "PCARidge": PCARidge(n_components),
        "PCA | Ridge": make_pipeline(
            SpectralPCA(n_components, max_iter=20, tol=1e-4), SpectralRidge()
        ),
    }


def pooled(table):
    """Coverage of all windows together, by domain and level."""
    some = table[table["line"] == "all windows"]
    return {(row["domain"], row["level"]): row["coverage"] for row in some}


def is_met(share, level, n_stars):
    """Whether a coverage is near enough to its level."""
    chance = 2 * np.sqrt(level * (1 - level) / n_stars)
    return abs(share - level) <= max(BAR_POINTS, chance)


def width_ratios(spectra, truth, lines, mask):
    """Rms over stars of error / stated error of equivalent widths, for each line."""
    measured, stated = equivalent_width(spectra, lines)
    true, _ = equivalent_width(truth, lines)
    return np.sqrt(np.mean((((measured - true) / stated)[mask]) ** 2, axis=0))


def verdict(met, has_bar=True):
    """What to print."""
    return ("met" if met else "MISSED") if has_bar else ""


def judge(name, model, by_line, world, y, X, snr):
    """Print a row for each domain; which bars are met."""
    label, has_bar = f"at {snr}", snr == 100
    lines, truth = world.lines, world.truth
    observed = {}
    for level in LEVELS:
        lo, hi = model.predict_interval(X, level, ivar=y.ivar)
        observed |= pooled(interval_coverage(y, lo, hi, lines, level=level))
    raw = predict_std(model.estimator_, X)
    calibrated = model.predict(X, return_std=True)
    free = [
        pooled(coverage(truth, *found, lines, noise="none", levels=LEVELS))
        for found in (raw, calibrated)
    ]
    spectra = translate(model.estimator_, X), by_line.translate(X)
    met = []
    for domain, mask in world.domains.items():
        n = int(mask.sum())
        shares = [observed[domain, level] for level in LEVELS]
        met += [is_met(share, level, n) for share, level in zip(shares, LEVELS)]
        within = all(met[-2:])
        ratios = [width_ratios(s, truth, lines, mask) for s in spectra]
        met.append(abs(ratios[1].mean() - 1) <= BAR_WIDTHS)
        worst = [r[np.abs(np.log(r)).argmax()] for r in ratios]
        print(
            f"{name:12} {label:10} {domain:6}",
            *(f"{100 * share:6.1f}" for share in shares),
            f" {verdict(within, has_bar):6}",
            *(f"{100 * f[domain, level]:6.1f}" for f in free for level in LEVELS),
            " ",
            *(f"{r.mean():5.2f} {w:5.2f}" for r, w in zip(ratios, worst)),
            f" {verdict(met[-1], has_bar)}",
            flush=True,
        )
    return met


def observed_widths(world, y, resolution):
    """Print the ratios of observed spectra, white and matched; whether they are met."""
    truth = world.truth
    y, truth = (s.replace(resolution=resolution) for s in (y, truth))
    matcher = ResolutionMatcher(MATCHED).fit(y)
    met = []
    for name, spectra, true in (
        ("white noise", y, truth),
        (f"matched to {MATCHED}", matcher.transform(y), matcher.transform(truth)),
    ):
        for domain, mask in world.domains.items():
            known = mask & np.isfinite(equivalent_width(spectra, world.lines)[0]).all(1)
            ratio = width_ratios(spectra, true, world.lines, known)
            met.append(abs(ratio.mean() - 1) <= BAR_WIDTHS)
            worst = ratio[np.abs(np.log(ratio)).argmax()]
            print(
                f"{name:18} {domain:6} {ratio.mean():5.2f} {worst:5.2f} ",
                verdict(met[-1]),
            )
    return met


def main(data, n_components=60, full=False):
    """Print the tables; 1 if a bar is missed."""
    world = World.lte(data, 6400, full)
    y = world._target[world._test]
    X, Y = world.train(100, 0)
    print(
        f"{'translator':12} {'tested':10} {'domain':6} {'observed':>13}  {'':6} "
        f"{'noise-free: raw':>13}, calibrated  widths: raw (worst), calibrated"
    )
    splitter = StarShuffleSplit(1, test_size=SHARE, random_state=0)
    train, held_out = next(splitter.split(X))
    met = []
    for name, translator in translators(n_components).items():
        start = time.perf_counter()
        translator.fit(X[train], Y[train])
        model = ConformalTranslator(translator, lines=world.lines)
        model.calibrate(X[held_out], Y[held_out])
        by_line = ConformalTranslator(
            translator, per="line", lines=world.lines
        ).calibrate(X[held_out], Y[held_out])
        for snr in (100, 30):
            X_test = world.test(snr, 0)
            found = judge(name, model, by_line, world, y, X_test, snr)
            met += found if snr == 100 else []
        print(f"# {time.perf_counter() - start:.0f} s", flush=True)
    print(
        "\nequivalent widths of observed spectra: error / stated, mean and worst line"
    )
    met += observed_widths(world, y, world._target.meta["R_galah"][world._test])
    print(f"\n{sum(met)} of {len(met)} bars met")
    return int(not all(met))


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-components", type=int, default=60)
    parser.add_argument("--full", action="store_true", help="all target pixels")
    sys.exit(main(**vars(parser.parse_args())))
