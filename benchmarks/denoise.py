"""What a star gains that both surveys observed, on synthetic pairs.

`denoise` against the translation and the observation alone, at every heavy-element line
of the target, giants and dwarfs apart: rms error against the noise-free truth over the
test stars of `benchmarks.lte_pairs` (S/N 100 in the source, 50 in the target). The bar
is that it beats both everywhere.

    python -m benchmarks.denoise --data DIR
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.lte_pairs import Pairs
from benchmarks.sections import Section
from benchmarks.simulated_pairs import heavy_lines
from specxfer import denoise, translate
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES
from specxfer.metrics import equivalent_width, giants_and_dwarfs, line_table


def main(data, n_train=6000, n_components=60):
    """Print the errors at every line, and whether the bar is met."""
    pairs = Pairs(data / "lte/pairs_dev.npz", n_train)
    start = time.perf_counter()
    model = PCARidge(n_components).fit(pairs.X, pairs.y)
    print(f"fit: {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    alone = translate(model, pairs.X_test)
    print(f"translate: {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    both = denoise(model, pairs.X_test, pairs.y_test)
    print(f"denoise: {time.perf_counter() - start:.0f} s")
    spectra = {"denoised": both, "translated": alone, "observed": pairs.y_test}
    lines = heavy_lines(pairs.truth)
    tables = {}
    for quantity in ("flux", "ew"):
        flux = {name: s.flux for name, s in spectra.items()}
        table = line_table(pairs.truth, flux, lines, quantity=quantity, noise="none")
        print(f"\nrms error of {quantity} [{table.meta['unit']}]")
        tables[quantity] = table["line", "domain", *spectra]
        tables[quantity].pprint(max_lines=-1, max_width=-1)
        for name in ("translated", "observed"):
            better = table["denoised"] < table[name]
            sure = table[f"d_{name}_lo"] > 0
            print(
                f"better than {name} in {better.sum()} of {len(table)} rows, beyond "
                f"the paired 95% interval in {sure.sum()}"
            )
    for name in ("denoised", "translated"):
        calibration(name, spectra[name], pairs.truth, lines)
    return tables


def sections(data):
    """Its section of the documentation."""
    table = main(data)["flux"]
    text = (
        "Rms error of the flux, in units of the continuum, against the noise-free "
        "truth of 1,600 synthetic test stars: of ``denoise``, of ``PCARidge``'s "
        "translation alone, and of the observation alone. 6,000 training stars, S/N "
        "100 in the source, 50 in the target; seeds 1 and 2; eight lines and all "
        "pixels."
    )
    some = np.isin(table["line"], [*KEY_LINES, "all"])
    yield Section("Stars that both surveys observed", text, table[some])


def calibration(name, spectra, truth, lines):
    """Say how the errors compare with what they are stated to be."""
    found, error = equivalent_width(spectra, lines)
    true, _ = equivalent_width(truth, lines)
    pull = (found - true) / error
    for domain, rows in giants_and_dwarfs(truth).items():
        z = (spectra.flux[rows] - truth.flux[rows]) * np.sqrt(spectra.ivar[rows])
        inside = [np.mean(np.abs(z) < limit) for limit in (1, 1.96)]
        scatter = np.std(pull[rows], axis=0)
        print(
            f"{name}, {domain}: {inside[0]:.1%} of pixels within 1 and {inside[1]:.1%} "
            f"within 1.96 standard deviations; scatter of equivalent widths over "
            f"stated {np.median(scatter):.2f} ({scatter.min():.2f} to "
            f"{scatter.max():.2f})"
        )


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shared = os.environ.get("SPECXFER_SHARED", root.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-train", type=int, default=6000)
    parser.add_argument("--n-components", type=int, default=60)
    main(**vars(parser.parse_args()))
