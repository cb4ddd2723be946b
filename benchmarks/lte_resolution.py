"""What knowing the target's resolving power is worth, on the synthetic pairs.

The protocol of `benchmarks.lte_pairs`. Two bounds come with the pairs: the smallest
error of any method that does not know the resolving power of each target spectrum, and
of any that does. The gap between them is what knowing it can win. Here is how much of
it PCARidge wins by using it: (its error without − its error with) / gap, for giants and
dwarfs, at each line and over all pixels. Errors are rms over test stars; the
interval is of 1000 bootstraps of the test stars, the same for both models, with the
standard error of the bounds. The bar: half of the gap at Ba II 6497 and over all pixels
in giants. The peer has the resolving power in the way at hand: as one more
feature of scikit-learn's ridge, alone and times the first ten scores. The last two
columns are errors at R = 20,000, a smoother spectrum: of the model without, broadened
from its typical resolving power, and of one that was trained on matched targets.

    python -m benchmarks.lte_resolution --data DIR
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from astropy.table import Table
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from benchmarks.lte_pairs import SNR_SOURCE, Pairs, short_names
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines, window_pixels
from specxfer.preprocessing import ResolutionMatcher
from specxfer.resampling import broaden

BAR = 0.5
MATCHED = 20_000


def squared_errors(truth, prediction, lines):
    """Mean squared error of each star, (n_lines + 1, n); over all pixels last."""
    square = np.square(prediction - truth.flux)
    pixels = [window_pixels(line, truth.wave, truth.medium) for line in lines]
    known = np.isfinite(square)
    pixels.append(known[known.any(axis=1)].all(axis=0))  # matching loses ends of CCDs
    return np.stack([square[:, these].mean(axis=1) for these in pixels])


def peer(X, y, power, X_test, power_test):
    """scikit-learn's PCA and ridge, with the resolving power as features."""
    pca = PCA(60, whiten=True, random_state=0).fit(X)

    def features(X, power):
        scores = pca.transform(X)
        scaled = ((power - power.mean()) / 1500).astype("f4")[:, None]
        return np.column_stack([scores, scaled, scaled * scores[:, :10]])

    return Ridge(10).fit(features(X, power), y).predict(features(X_test, power_test))


def bounds(path, names, domain):
    """Bounds without and with the resolving power known, and the gap's error."""
    table = Table.read(path, format="ascii.csv")
    table = table[table["quantity"] == "flux_rms"]
    table = table[table["source_snr"] == SNR_SOURCE]
    rows = {(row["name"], row["domain"]): row for row in table}
    rows = [rows[name, domain] for name in names]
    parts = ("target_resolution_unknown", "target_resolution_known")
    unknown, known = (np.array([r[p] for r in rows], float) for p in parts)
    error = [np.hypot(r["se_unknown"], r["se_known"]) for r in rows]
    return unknown, known, np.array(error)


def main(data, n_train=6000):
    """Print errors, bounds and the part of the gap that is closed."""
    pairs = Pairs(data / "lte/pairs_dev.npz", n_train)
    lines = load_lines("galah", names=KEY_LINES)
    names = [short_names(lines)[line.name] for line in lines] + ["all"]
    power, power_test = (
        np.asarray(s.meta["R_galah"], float) for s in (pairs.y, pairs.truth)
    )
    known = pairs.y.replace(resolution=power)
    truth = pairs.truth.replace(resolution=power_test)
    predictions = {}
    start = time.perf_counter()
    model = PCARidge(60).fit(pairs.X, pairs.y)
    predictions["without"] = model.predict(pairs.X_test)
    print(f"PCARidge without it: {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    model = PCARidge(60).fit(pairs.X, known)
    predictions["with"] = model.predict(pairs.X_test, resolution=power_test)
    print(f"PCARidge with it: {time.perf_counter() - start:.0f} s")
    arrays = np.asarray(pairs.X), np.asarray(pairs.y), power
    predictions["sklearn"] = peer(*arrays, np.asarray(pairs.X_test), power_test)
    errors = {k: squared_errors(truth, p, lines) for k, p in predictions.items()}

    matcher = ResolutionMatcher(MATCHED)
    matched, matched_truth = (matcher.fit_transform(s) for s in (known, truth))
    model = PCARidge(60).fit(pairs.X, matched.replace(resolution=None))
    typical = np.mean(power**-2.0) ** -0.5
    wave = truth.wave
    at_matched = {
        "without": broaden(predictions["without"], wave, MATCHED, typical),
        "matched": model.predict(pairs.X_test),
    }
    at_matched = {
        k: squared_errors(matched_truth, p, lines) for k, p in at_matched.items()
    }
    kept = matched_truth.valid().any(axis=1)
    print(f"{(~kept).sum()} test stars are below R = {MATCHED}: not matched")
    rng = np.random.default_rng(0)
    giant = np.asarray(pairs.truth.meta["giant"], bool)
    for domain, stars in (("giant", giant), ("dwarf", ~giant)):
        unknown, known_bound, gap_error = bounds(data / "lte/bound.csv", names, domain)
        draws = rng.integers(stars.sum(), size=(1000, stars.sum()))
        rms = {k: np.sqrt(e[:, stars].mean(axis=1)) for k, e in errors.items()}
        boot = {
            k: np.sqrt(e[:, stars][:, draws].mean(axis=2)) for k, e in errors.items()
        }
        gap = unknown - known_bound
        noisy_gap = gap[:, None] + gap_error[:, None] * rng.standard_normal(1000)
        low, high = np.quantile(
            (boot["without"] - boot["with"]) / noisy_gap, [0.025, 0.975], axis=1
        )
        table = Table({"line": names})
        for name, value in rms.items():
            table[name] = value
        table["bound without"], table["bound with"] = unknown, known_bound
        for name in ("with", "sklearn"):
            table[f"closed, {name}"] = (rms["without"] - rms[name]) / gap
        table["lo"], table["hi"] = low, high
        for name, square in at_matched.items():
            at = np.sqrt(square[:, stars & kept].mean(axis=1))
            table[f"{name}, R {MATCHED}"] = at
        for name in table.colnames[1:]:
            table[name].format = (
                ".2f" if name in ("lo", "hi") or "closed" in name else ".4f"
            )
        print(f"\n{domain}s ({stars.sum()} stars)")
        table.pprint(max_lines=-1, max_width=-1)
        if domain == "giant":
            for name in ("Ba6497", "all"):
                i = names.index(name)
                closed = table["closed, with"][i]
                verdict = "reached" if closed >= BAR else "MISSED"
                print(f"{name}: {closed:.2f} of the gap, bar {BAR}: {verdict}")


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=6000)
    main(**vars(parser.parse_args()))
