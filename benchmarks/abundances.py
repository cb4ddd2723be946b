"""[X/Fe] of heavy elements for stars of which only the source spectrum is used.

The synthetic pairs of `benchmarks.lte_pairs` (S/N 100 in the source, 50 in the target),
their training labels with errors of 0.05 to 0.1 dex and a tenth of them flagged.
Scatter (rms, dex) of the 1,600 test stars against the truth, giants and dwarfs apart:

- `AbundanceRegressor`;
- its null: the stellar parameters alone;
- read from X directly: `PCARidge` whose targets are the labels;
- measured: the same regression on the lines of the *observed* target spectra;
- the bound on abundances from the source at S/N 100.

And calibration: rms of (predicted − true) / stated, and the share within 1 and 2.

    OMP_NUM_THREADS=2 python -m benchmarks.abundances --data DIR
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from astropy.table import Table

from benchmarks.linear_calibration import World
from benchmarks.sections import Section
from specxfer import Spectra
from specxfer.abundances import AbundanceRegressor, EquivalentWidths
from specxfer.abundances._abundance_regressor import ELEMENTS, _Data
from specxfer.abundances._label_columns import abundances_of, columns_of
from specxfer.linear import PCARidge

LABELS = ("teff", "logg", "feh", "alpha")
FLAGGED = 0.1


def catalogue(meta, rng):
    """Labels as a survey would have them: with errors and flags."""
    table = meta.copy()
    for element in ELEMENTS:
        n, name = len(table), f"{element}_fe"
        error = rng.uniform(0.05, 0.1, n)
        table[name] = table[name] + error * rng.standard_normal(n)
        table[f"e_{name}"] = error
        table[f"flag_{name}"] = (rng.random(n) < FLAGGED).astype(int)
        wrong = table[f"flag_{name}"] > 0
        table[name][wrong] += rng.normal(0, 1, int(wrong.sum()))
    return table


def null_of(model, X, y, X_test, data_of):
    """Predictions of the null of each element."""
    out = np.full((len(X_test), len(ELEMENTS)), np.nan)
    test = columns_of(LABELS, X_test)
    for (element, domain), full in model.models_.items():
        data = data_of(element, domain).without_spectrum()
        null = data.fitted(0, full.terms)
        rows = np.flatnonzero(X_test.meta["giant"] == (domain == "giant"))
        none = np.zeros((len(rows), 0)), np.zeros((len(rows), 0, 0))
        out[rows, ELEMENTS.index(element)] = null.predict(test[rows], *none)[0]
    return out


def observed(model, y, y_test, X, X_test, data_of):
    """Predictions from lines measured in the observed target spectra."""
    measure = EquivalentWidths(model.lines_).fit(y_test)
    found, widths = (measure.transform(s) for s in (y_test, y))
    out = np.full((len(y_test), len(ELEMENTS)), np.nan)
    test = columns_of(LABELS, X_test)
    for element, domain in model.models_:
        data = data_of(element, domain, widths)
        rows = np.flatnonzero(X_test.meta["giant"] == (domain == "giant"))
        args = test[rows], np.asarray(found)[rows], found.covariance[rows]
        out[rows, ELEMENTS.index(element)] = data.fitted(0).predict(*args)[0]
    return out


def bounds(data):
    """Of each element and domain, at a source S/N of 100."""
    stored = Table.read(data / "lte/bound.csv", format="ascii.csv")
    stored = stored[(stored["source_snr"] == 100) & (stored["quantity"] != "flux_rms")]
    return {
        (row["name"], row["domain"]): row["target_resolution_unknown"] for row in stored
    }


def main(data, n_train=6000, n_components=60):
    """Print the table of scatter, and of calibration."""
    world = World.lte(data, n_train, full=False)
    X, y = world.train(100, 0)
    X_test = world.test(100, 0)
    y_test = world._target[world._test]
    y = y.replace(meta=catalogue(y.meta, np.random.default_rng(7)))
    X = X.replace(meta=X.meta[[*LABELS, "giant"]])
    truth = np.column_stack([X_test.meta[f"{e}_fe"] for e in ELEMENTS])
    start = time.perf_counter()
    model = AbundanceRegressor(PCARidge(n_components), ELEMENTS, labels=LABELS)
    x_fe, std = model.fit(X, y).predict(X_test, return_std=True)
    print(f"{n_train} stars: {time.perf_counter() - start:.0f} s")
    model.skill_.pprint(max_width=-1, max_lines=-1)

    def data_of(element, domain, widths=None):
        values, error = abundances_of(element, (y, X), None)
        rows = np.flatnonzero(
            (np.asarray(X.meta["giant"]) == (domain == "giant")) & np.isfinite(values)
        )
        m = 0 if widths is None else widths.shape[1]
        w = np.zeros((len(X), 0)) if widths is None else np.asarray(widths)
        spread = np.zeros((len(X), 0, 0)) if m == 0 else widths.covariance
        own = np.array([line.element == element for line in model.lines_])[: w.shape[1]]
        return _Data(columns_of(LABELS, X)[rows], w[rows], spread[rows], own,
                     values[rows], error[rows], np.arange(len(rows)))  # fmt: skip

    results = {"translated": x_fe}
    results["null"] = null_of(model, X, y, X_test, data_of)
    results["observed"] = observed(model, y, y_test, X, X_test, data_of)
    values, weights = [], []
    for element in ELEMENTS:
        value, error = abundances_of(element, (y, X), None)
        values.append(value)
        weights.append(np.where(np.isfinite(value), 1 / error**2, 0))
    labels = Spectra(np.column_stack(values) + 2, np.column_stack(weights),
                     wave=None, medium=None)  # fmt: skip
    results["from X"] = PCARidge(n_components).fit(X, labels).predict(X_test) - 2
    limit = bounds(data)
    columns = ["translated", "from X", "null", "observed"]
    print("rms scatter, dex:", *columns, "bound")
    found = []
    for i, element in enumerate(ELEMENTS):
        for domain, mask in world.domains.items():
            rms = [
                np.sqrt(np.mean((results[c][mask, i] - truth[mask, i]) ** 2))
                for c in columns
            ]
            z = (x_fe[mask, i] - truth[mask, i]) / std[mask, i]
            found.append((element, domain, *rms, limit[element, domain]))
            found[-1] += (np.sqrt(np.mean(z**2)),)
            print(
                f"{element:3} {domain:6}",
                *(f"{value:7.3f}" for value in rms),
                f"{limit[element, domain]:7.3f}   z: {np.sqrt(np.mean(z**2)):.2f}",
                *(f"{100 * np.mean(np.abs(z) < k):.1f}" for k in (1, 2)),
            )
    print("the same model on source spectra of S/N 30: rms, z, within 1 and 2")
    x_fe, std = model.predict(world.test(30, 0), return_std=True)
    for i, element in enumerate(ELEMENTS):
        for domain, mask in world.domains.items():
            error = x_fe[mask, i] - truth[mask, i]
            z = error / std[mask, i]
            print(
                f"{element:3} {domain:6} {np.sqrt(np.mean(error**2)):7.3f}",
                f"  z: {np.sqrt(np.mean(z**2)):.2f}",
                *(f"{100 * np.mean(np.abs(z) < k):.1f}" for k in (1, 2)),
            )
    names = ["element", "domain", *columns, "bound", "error over stated"]
    return Table(rows=found, names=names)


def sections(data):
    """Its section of the documentation."""
    table = main(data)
    for name in table.colnames[2:-1]:
        table[name].unit, table[name].format = "dex", ".3f"
    table["error over stated"].format = ".2f"
    text = (
        "Scatter about the truth of [X/Fe] of 1,600 synthetic test stars, rms in dex: "
        "from translated spectra (``AbundanceRegressor`` of ``PCARidge``), from the "
        "source spectrum directly (``PCARidge`` of the labels), from the stellar "
        "parameters alone (null), from the *observed* target spectra, and the bound on "
        "what the source tells. 6,000 training stars at S/N 100, whose labels have "
        "errors of 0.05 to 0.1 dex and are wrong, and flagged, in a tenth. Seeds 1, 2 "
        "and 7."
    )
    yield Section("Abundances of heavy elements", text, table)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=6000)
    parser.add_argument("--n-components", type=int, default=60)
    main(**vars(parser.parse_args()))
