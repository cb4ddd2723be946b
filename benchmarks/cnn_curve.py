"""What more stars buy: CNNTranslator beside PCARidge on the simulator.

Simulated pairs (`specxfer.datasets.make_paired_spectra`) as they come: S/N 100 in the
source and 80 in the target, resolving powers that scatter, errors of velocity and
continuum, gaps. Each model is fitted to the first stars, more each time, and predicts
stars that none has seen at the resolving power of each; errors are against the
noise-free truth, which shares those errors of the target that nothing can tell.

Printed for each number of stars: the rms flux error of both at the eight key lines and
over all pixels, giants and dwarfs, and the part of its square that networks take away,
with a 95% paired interval over stars.

    OMP_NUM_THREADS=1 python -m benchmarks.cnn_curve [--n-train 1500 6000 24000]
"""

import argparse
import time

import numpy as np

from specxfer import predict_like
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.metrics import line_table
from specxfer.neural import CNNTranslator

NAMES = "PCARidge", "CNNTranslator"


def fitted_to(n, X, y, test):
    """Predictions of both models, and seconds of their fits, from the first n stars."""
    found, seconds = {}, {}
    for name, model in zip(NAMES, (PCARidge(), CNNTranslator())):
        start = time.perf_counter()
        model.fit(X[:n], y[:n])
        seconds[name] = time.perf_counter() - start
        found[name] = predict_like(model, *test)
    return found, seconds


def main(n_train, n_test, size):
    """Print a table for each number of stars."""
    start = time.perf_counter()
    n_most = max(n_train)
    X, y, truth = make_paired_spectra(
        n_most + n_test, size=size, random_state=0, n_jobs=2, verbose=0
    )
    print(f"{len(X)} pairs in {time.perf_counter() - start:.0f} s, {y.shape[1]} pixels")
    test = X[n_most:], y[n_most:]
    truth = truth[n_most:]
    truth.meta = test[1].meta
    lines = load_lines("galah", names=KEY_LINES)
    for n in n_train:
        found, seconds = fitted_to(n, X, y, test)
        table = line_table(truth, found, lines, noise="none")
        base, networks = (np.asarray(table[name]) for name in NAMES)
        table["less"] = 1 - (networks / base) ** 2
        for end, other in (("lo", "hi"), ("hi", "lo")):
            table[f"less_{end}"] = table[f"d_{NAMES[1]}_{other}"] / -(base**2)
        took = ", ".join(f"{name} {s:.0f} s" for name, s in seconds.items())
        print(f"\n{n} stars ({took})")
        shown = ["line", "domain", *NAMES, "less", "less_lo", "less_hi"]
        for name in shown[2:]:
            table[name].format = ".4f" if name in NAMES else ".2f"
        table[shown].pprint(max_lines=-1, max_width=-1)
        for domain in np.unique(table["domain"]):
            rows = (table["domain"] == domain) & (table["line"] != "all")
            print(f"{domain}s, mean over lines: {table['less'][rows].mean():.3f} less")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-train", type=int, nargs="+", default=[1500, 6000, 24_000])
    parser.add_argument("--n-test", type=int, default=1500)
    parser.add_argument("--size", choices=("full", "small"), default="full")
    main(**vars(parser.parse_args()))
