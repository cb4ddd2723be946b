"""PCARidge against tuned scikit-learn and the bound, at the lines of heavy elements.

The protocol of `benchmarks.lte_pairs`. The peers are PCA (whitened or not) and ridge,
PLS regression, and kernel ridge: linear and RBF on the source, RBF on its scores. What
they are tuned in is chosen by five-fold cross-validation over the training stars, by
the squared error over the pixels of the eight key lines; they predict nothing else
than lines. PCARidge is as it comes, and is not tuned.

Three things are printed. At each key line and in giants and dwarfs apart: the rms
error over test stars of every model, the bound, and the part of the gap that PCARidge
closes, (error of PCA + ridge − its own) / (error of PCA + ridge − bound). Its mean over
the lines, with the interval of 1000 bootstraps of the test stars, the same stars for
both: the bar is 0.25, and an interval above zero. And the ratio of the sums over
lines, which a line without a gap cannot upset. Then whether PCARidge is worse than the
best of the peers at any line, beyond the paired 95% interval. Last the lines that are
translated to 0.01 of the continuum or better, and those whose bound is above that.

    python -m benchmarks.linear_accuracy --data DIR [--windows] [--peers FILE]
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
from astropy.table import Table
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import KFold

from benchmarks.lte_pairs import SNR_SOURCE, Pairs, short_names
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines, window_pixels

BAR, GOOD = 0.25, 0.01
N_FOLDS, N_BOOTSTRAPS = 5, 1000
MOST = 200  # principal components


def pca_ridge(whiten):
    """Predictions of PCA and ridge, by number of components and penalty."""
    penalties = np.logspace(0, 3, 7) if whiten else np.logspace(-3, 1, 9)

    def predictions(X, y, X_test):
        pca = PCA(MOST, whiten=whiten, svd_solver="randomized", random_state=0)
        scores, test = pca.fit_transform(X), pca.transform(X_test)
        return {
            (k, alpha): Ridge(alpha).fit(scores[:, :k], y).predict(test[:, :k])
            for k in (20, 30, 40, 60, 80, 120, MOST)
            for alpha in penalties
        }

    return predictions


def pls(X, y, X_test):
    """Predictions of PLS regression, by number of components: all from one fit."""
    most = 30
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = PLSRegression(most, max_iter=50, tol=1e-4).fit(X, y)
    scores = model.transform(X_test)
    spread = y.std(axis=0, ddof=1)  # it is fitted to targets of unit variance
    loadings = (model.y_loadings_ * spread[:, None]).T
    return {
        (k,): scores[:, :k] @ loadings[:k] + y.mean(axis=0)
        for k in (*range(4, 20), 22, 25, most)
    }


def kernel_ridge(kernels, y, alphas):
    """Predictions from kernels (name, between training stars, to test stars)."""
    mean = y.mean(axis=0)
    found = {}
    for name, train, test in kernels:
        for alpha in alphas:
            model = KernelRidge(alpha=alpha, kernel="precomputed").fit(train, y - mean)
            found[*name, alpha] = model.predict(test) + mean
    return found


def rbf_kernels(name, a, b, widths):
    """RBF kernels of rows, their width in units of the mean squared distance."""
    near, far = (euclidean_distances(z, a, squared=True) for z in (a, b))
    typical = near.mean()
    for width in widths:
        gamma = -width / typical
        yield (*name, width), np.exp(gamma * near), np.exp(gamma * far)


def kernel_source(X, y, X_test):
    """Kernel ridge on the source: linear and RBF."""
    mean = X.mean(axis=0)
    a, b = X - mean, X_test - mean
    scale = np.square(a).sum(axis=1).mean()
    linear = [(("linear",), a @ a.T / scale, b @ a.T / scale)]
    found = kernel_ridge(linear, y, (0.1, 0.3, 1, 3))
    rbf = rbf_kernels(("rbf",), a, b, (0.1, 0.3, 1, 3))
    return found | kernel_ridge(rbf, y, (0.03, 0.1, 0.3, 1))


def kernel_scores(X, y, X_test):
    """Kernel ridge, RBF, on scores: half whitened, or as they are."""
    pca = PCA(30, svd_solver="randomized", random_state=0)
    scores, test = pca.fit_transform(X), pca.transform(X_test)
    found = {}
    for power in (0.5, 1):
        for k in (15, 30):
            scale = np.sqrt(pca.explained_variance_[:k]) ** (power - 1)
            a, b = scores[:, :k] * scale, test[:, :k] * scale
            kernels = rbf_kernels((power, k), a, b, (0.03, 0.1, 0.3))
            found |= kernel_ridge(kernels, y, (0.01, 0.03, 0.1))
    return found


PEERS = {
    "PCA+ridge": pca_ridge(True),
    "not whitened": pca_ridge(False),
    "PLS": pls,
    "kernel": kernel_source,
    "kernel, scores": kernel_scores,
}


def tuned(model, X, y, X_test, counted):
    """Predictions of the settings that cross-validation finds best, and these."""
    total = {}
    for train, test in KFold(N_FOLDS, shuffle=True, random_state=0).split(X):
        for name, flux in model(X[train], y[train], X[test]).items():
            error = np.square(flux - y[test])[:, counted].sum()
            total[name] = total.get(name, 0) + error
    best = min(total, key=total.get)
    return model(X, y, X_test)[best], best


def peers_of(pairs, pixels, counted, path):
    """Predictions of every peer; those in the file need not be made again."""
    found = {}
    if path is not None and path.exists():
        with np.load(path) as stored:
            found = dict(stored)
    X, X_test = np.asarray(pairs.X), np.asarray(pairs.X_test)
    y = np.asarray(pairs.y)[:, pixels]
    for name in [name for name in PEERS if name not in found]:
        start = time.perf_counter()
        found[name], best = tuned(PEERS[name], X, y, X_test, counted)
        print(f"{name} {best}: {time.perf_counter() - start:.0f} s", flush=True)
        if path is not None:
            np.savez(path, **found)
    return found


def bounds(path, names, domain):
    """Bounds on the errors and their standard errors over stars; NaN without one."""
    table = Table.read(path, format="ascii.csv")
    table = table[table["quantity"] == "flux_rms"]
    table = table[table["source_snr"] == SNR_SOURCE]
    rows = {(row["name"], row["domain"]): row for row in table}
    none = {"target_resolution_unknown": np.nan, "se_unknown": np.nan}
    rows = [rows.get((name, domain), none) for name in names]
    return [np.array([row[part] for row in rows], float) for part in none]


def squared_errors(truth, flux, windows):
    """Mean squared error of each star in each window, (n_lines, n)."""
    square = np.square(flux - truth)
    return np.stack([square[:, window].mean(axis=1) for window in windows])


def report(domain, names, errors, bound, bound_error, rng):
    """Errors, gaps and verdicts of one domain, from squared errors of its stars."""
    n = next(iter(errors.values())).shape[1]
    draws = rng.integers(n, size=(N_BOOTSTRAPS, n))
    counts = np.stack([np.bincount(d, minlength=n) for d in draws], axis=1) / n
    rms = {name: np.sqrt(e.mean(axis=1)) for name, e in errors.items()}
    boot = {name: np.sqrt(e @ counts) for name, e in errors.items()}
    own, peer = rms["PCARidge"], rms["PCA+ridge"]
    boot_own, boot_peer = boot["PCARidge"], boot["PCA+ridge"]
    closed = (peer - own) / (peer - bound)
    boot_closed = (boot_peer - boot_own) / (boot_peer - bound[:, None])

    others = [name for name in errors if name != "PCARidge"]
    best = [min(others, key=lambda name, i=i: rms[name][i]) for i in range(len(names))]
    worse = np.stack([boot_own[i] - boot[best[i]][i] for i in range(len(names))])
    low, high = np.quantile(worse, [0.025, 0.975], axis=1)

    table = Table({"line": names, **rms})
    table["bound"], table["closed"] = bound, closed
    table["lo"], table["hi"] = np.quantile(boot_closed, [0.025, 0.975], axis=1)
    table["best peer"] = best
    table["worse by"] = own - [rms[b][i] for i, b in enumerate(best)]
    table["worse lo"], table["worse hi"] = low, high
    for name in table.colnames[1:]:
        if table[name].dtype.kind == "f":
            two = name in ("closed", "lo", "hi")
            table[name].format = ".2f" if two else ".5f" if "worse" in name else ".4f"
    print(f"\n{domain}s ({n} stars)")
    table.pprint(max_lines=-1, max_width=-1)

    lo, hi = np.quantile(boot_closed.mean(axis=0), [0.025, 0.975])
    reached = "reached" if closed.mean() >= BAR and lo > 0 else "MISSED"
    mean = f"{closed.mean():.2f} [{lo:.2f}, {hi:.2f}]"
    print(f"mean gap closed {mean}, bar {BAR}: {reached}")
    noise = bound_error[:, None] * rng.standard_normal((len(names), N_BOOTSTRAPS))
    gap = (boot_peer - bound[:, None] + noise).sum(axis=0)
    lo, hi = np.quantile((boot_peer - boot_own).sum(axis=0) / gap, [0.025, 0.975])
    ratio = (peer - own).sum() / (peer - bound).sum()
    print(f"ratio of sums over lines {ratio:.2f} [{lo:.2f}, {hi:.2f}]")
    lost = [name for name, limit in zip(names, low) if limit > 0]
    print(f"worse than the best peer, 95%, at: {', '.join(lost) or 'no line'}")


def to_user(domain, names, rms, bound):
    """Which lines are good to 0.01 of the continuum."""
    good = rms <= GOOD
    beyond = bound > GOOD
    between = ~good & (bound <= GOOD)
    unknown = ~good & np.isnan(bound)

    def listed(which):
        return ", ".join(
            f"{name} {r:.4f} ({b:.4f})"
            for name, r, b in zip(names[which], rms[which], bound[which])
        )

    print(f"\n{domain}s, {len(names)} lines: error (bound)")
    print(f"error at most {GOOD}, {good.sum()}: {listed(good)}")
    print(f"bound below {GOOD} but not reached, {between.sum()}: {listed(between)}")
    print(f"bound above {GOOD}, {beyond.sum()}: {listed(beyond)}")
    print(f"error above {GOOD}, bound unknown, {unknown.sum()}: {listed(unknown)}")


def main(data, n_train=6000, windows=False, peers=None):
    """Print errors, gaps closed, the worst line and the lines good to 0.01."""
    pairs = Pairs(data / "lte/pairs_dev.npz", n_train)
    lines = [line for line in load_lines("galah") if line.element != "Li"]
    grid = pairs.truth.wave, pairs.truth.medium
    window = np.stack([window_pixels(line, *grid) for line in lines])
    pixels = window.any(axis=0)
    window = window[:, pixels]
    key = np.array([line.name in KEY_LINES for line in lines])
    names = np.array([short_names(lines)[line.name] for line in lines])

    start = time.perf_counter()
    model = PCARidge().fit(pairs.X, pairs.y[:, pixels] if windows else pairs.y)
    flux = np.asarray(model.predict(pairs.X_test))
    print(f"PCARidge: {time.perf_counter() - start:.0f} s, ", end="")
    print(f"{len(model.coef_)} features", flush=True)
    predictions = {"PCARidge": flux if windows else flux[:, pixels]}
    predictions |= peers_of(pairs, pixels, window[key].any(axis=0), peers)
    truth = np.asarray(pairs.truth)[:, pixels]
    errors = {k: squared_errors(truth, p, window) for k, p in predictions.items()}

    giant = np.asarray(pairs.truth.meta["giant"], bool)
    rng = np.random.default_rng(0)
    domains = {"giant": giant, "dwarf": ~giant}
    limits = {d: bounds(data / "lte/bound.csv", names, d) for d in domains}
    for domain, stars in domains.items():
        of_key = {k: e[key][:, stars] for k, e in errors.items()}
        report(domain, names[key], of_key, *(b[key] for b in limits[domain]), rng)
    for domain, stars in domains.items():
        rms = np.sqrt(errors["PCARidge"][:, stars].mean(axis=1))
        to_user(domain, names, rms, limits[domain][0])


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=6000)
    parser.add_argument(
        "--windows", action="store_true", help="PCARidge learns the lines' pixels only"
    )
    parser.add_argument(
        "--peers", type=Path, help="keeps the peers' predictions, for the next run"
    )
    main(**vars(parser.parse_args()))
