"""What the target's components, looked for in the source, add to a ridge.

The protocol of `benchmarks.lte_pairs`, in the windows of the heavy elements' lines.
PCARidge regresses the target on components of the source; the other models on
`MatchedScores`, of all stars together and of giants and dwarfs apart, and on products
of those that the target listens to most. The scores are those of whole target spectra,
or with --windows of the lines' pixels alone. Printed for giants and dwarfs: the rms
error at each of the eight key lines, and the part of the gap from PCARidge to the bound
that is closed: the mean over lines and the ratio of sums over lines, with the intervals
of 1000 bootstraps of the test stars, paired. Lines where PCARidge is at the bound
already have no gap and are left out of it.

    python -m benchmarks.matched_scores --data DIR [--n-train N] [--windows]
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.linear_accuracy import bounds, squared_errors
from benchmarks.lte_pairs import Pairs, short_names
from specxfer.linear import MatchedScores, PCARidge, SpectralRidge
from specxfer.lines import KEY_LINES, load_lines, window_pixels

N_BOOTSTRAPS = 1000
LEAST_GAP = 1e-4  # of flux, that a line has to have


def with_products(scores, axes):
    """Scores, and products of combinations of them."""
    t = np.clip(scores @ axes, -4, 4)
    a, b = np.triu_indices(t.shape[1])
    return np.column_stack([scores, t[:, a] * t[:, b]])


def listened(scores, y, q):
    """The combinations of scores that the target varies with most."""
    coef = np.linalg.lstsq(scores, y - y.mean(axis=0), rcond=None)[0]
    return np.linalg.svd(coef, full_matrices=False)[0][:, :q]


def ridge(train, y, test, q):
    """Predictions of a ridge on matched scores and their products."""
    scale = train.std(axis=0)
    train, test = train / scale, test / scale
    axes = listened(train, np.asarray(y), q)
    model = SpectralRidge(n_factors=0).fit(with_products(train, axes), y)
    return model.predict(with_products(test, axes))


def resampled(n, rng):
    """Share of each of n stars in each bootstrap, (n, N_BOOTSTRAPS)."""
    draws = rng.integers(n, size=(N_BOOTSTRAPS, n))
    return np.stack([np.bincount(d, minlength=n) / n for d in draws], axis=1)


def gap_closed(base, own, bound, shares):
    """How far a model gets from another one to the bound.

    Parameters
    ----------
    base, own : ndarray of shape (n_lines, n_stars)
        Squared errors of the other model and of this one.
    bound : ndarray of shape (n_lines,)
    shares : ndarray of shape (n_stars, n_bootstraps)
        As `resampled` gives them, the same for both.

    Returns
    -------
    dict of str to (value, low, high)
        "mean" over lines and ratio of "sums" over lines, with 95% intervals. Lines
        without a gap are left out of both. In a bootstrap the gap of a line may vanish,
        and the mean of ratios with it: there the gaps of the mean are those of the
        sample, and only what is gained varies.
    """
    counted = np.sqrt(base.mean(axis=1)) - bound > LEAST_GAP
    every = np.full((base.shape[1], 1), 1 / base.shape[1])
    before, after = (
        np.sqrt(e[counted] @ np.hstack([every, shares])) for e in (base, own)
    )
    gap, gained = before - bound[counted, None], before - after
    found = {"mean": (gained / gap[:, :1]).mean(axis=0)}
    found["sums"] = gained.sum(axis=0) / gap.sum(axis=0)
    return {
        name: (float(v[0]), *np.quantile(v[1:], [0.025, 0.975]))
        for name, v in found.items()
    }


def report(domain, names, errors, bound, shares):
    """Errors and gaps of one domain, from squared errors (n_lines, n_stars)."""
    base = errors["PCARidge"]
    counted = np.sqrt(base.mean(axis=1)) - bound > LEAST_GAP
    print(f"\n{domain}s ({base.shape[1]} stars), {counted.sum()} lines with a gap")
    print(
        f"{'':24}"
        + " ".join(f"{name:>7}" for name in names)
        + "   gap closed: mean; sums"
    )
    print(f"{'bound':24}" + " ".join(f"{b:7.4f}" for b in bound))
    for model, e in errors.items():
        line = " ".join(f"{r:7.4f}" for r in np.sqrt(e.mean(axis=1)))
        closed = gap_closed(base, e, bound, shares)
        gaps = "; ".join("{:5.2f} [{:.2f}, {:.2f}]".format(*v) for v in closed.values())
        print(f"{model:24}{line}   {gaps}")


def main(data, n_train=6000, windows=False):
    """Print the errors of each model and the gap that it closes."""
    pairs = Pairs(data / "lte/pairs_dev.npz", n_train)
    lines = [line for line in load_lines("galah") if line.element != "Li"]
    window = np.stack(
        [window_pixels(line, pairs.truth.wave, pairs.truth.medium) for line in lines]
    )
    pixels = window.any(axis=0)
    key = np.array([line.name in KEY_LINES for line in lines])
    names = np.array([short_names(lines)[line.name] for line in lines])[key]
    window = window[key][:, pixels]
    y = pairs.y[:, pixels]
    giant = np.asarray(pairs.X.meta["giant"], bool)
    giant_test = np.asarray(pairs.truth.meta["giant"], bool)

    start = time.perf_counter()
    found = {"PCARidge": PCARidge().fit(pairs.X, y).predict(pairs.X_test)}
    print(f"PCARidge: {time.perf_counter() - start:.0f} s", flush=True)
    start = time.perf_counter()
    matched = MatchedScores(40)
    train = np.asarray(matched.fit_transform(pairs.X, y if windows else pairs.y))
    test = np.asarray(matched.transform(pairs.X_test))
    print(f"MatchedScores: {time.perf_counter() - start:.0f} s", flush=True)
    for q in (0, 10):
        found[f"matched, {q} products"] = ridge(train, y, test, q)
        apart = np.empty_like(found["PCARidge"])
        for some, others in ((giant, giant_test), (~giant, ~giant_test)):
            apart[others] = ridge(train[some], y[some], test[others], q)
        found[f"apart, {q} products"] = apart
    truth = np.asarray(pairs.truth)[:, pixels]
    errors = {k: squared_errors(truth, p, window) for k, p in found.items()}
    rng = np.random.default_rng(0)
    for domain, stars in (("giant", giant_test), ("dwarf", ~giant_test)):
        bound, _ = bounds(data / "lte/bound.csv", names, domain)
        of_stars = {k: e[:, stars] for k, e in errors.items()}
        report(domain, names, of_stars, bound, resampled(stars.sum(), rng))


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=6000)
    parser.add_argument(
        "--windows", action="store_true", help="scores of the lines' pixels only"
    )
    main(**vars(parser.parse_args()))
