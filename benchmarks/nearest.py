"""How fast the nearest of 900,000 embeddings are found, in units of their products.

1,000 queries, embeddings of 64 numbers, the ten nearest; random directions, which is
the worst case for no method here. Beside it the bare products in float32 of the same
matrices, in blocks, on as many threads. The library is an array, then a memory map of
a file. The bar: 0.6 of the bare products' speed. The answers are compared with a sort
of all distances in float64, for the first queries.

    python -m benchmarks.nearest
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.table import Table

from benchmarks.sections import Section
from specxfer._threads import in_parallel
from specxfer.neural._nearest import BLOCK, nearest

BAR = 0.6
CHECKED = 20


def unit(rng, n, k):
    """Random directions."""
    x = rng.standard_normal((n, k), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def best_of(function, repeats=5):
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def products(queries, library):
    """The bare products: a block of the library at a time, and nothing kept."""

    def one(rows):
        out = np.empty((len(queries[rows]), BLOCK), np.float32)
        for start in range(0, len(library) - BLOCK + 1, BLOCK):
            np.matmul(queries[rows], library[start : start + BLOCK].T, out=out)

    half = -(-len(queries) // 2)
    in_parallel(one, [slice(0, half), slice(half, None)])


def main(n_queries=1000, n_library=900_000, n_embedding=64, n_neighbors=10):
    """Print seconds and their ratio; give whether the bar is met, and a table."""
    rng = np.random.default_rng(0)
    queries = unit(rng, n_queries, n_embedding)
    library = unit(rng, n_library, n_embedding)
    exact = np.argsort(
        -(queries[:CHECKED].astype(float) @ library.T.astype(float)), axis=1
    )[:, :n_neighbors]
    found = nearest(queries, library, n_neighbors)[1][:CHECKED]
    rows = []
    print(f"as a sort of all distances: {bool((found == exact).all())}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library.npy"
        np.save(path, library)
        mapped = np.load(path, mmap_mode="r")
        bare = best_of(lambda: products(queries, library))
        whole = best_of(lambda: queries @ library.T[:, : 2**16]) * n_library / 2**16
        print(f"products {bare:.2f} s in blocks, {whole:.2f} s in large pieces")
        met = bool((found == exact).all())
        for name, given in (("array", library), ("memory map", mapped)):
            seconds = best_of(lambda given=given: nearest(queries, given, n_neighbors))
            share = min(bare, whole) / seconds
            met &= share >= BAR
            rows.append((name, bare, seconds, share))
            print(f"{name}: {seconds:.2f} s, {share:.2f} of the products' speed")
    print(f"bar {BAR}: {'reached' if met else 'MISSED'}")
    names = ["library", "products alone", "the nearest", "share of their speed"]
    return met, Table(rows=rows, names=names)


def sections(data):
    """Its section of the documentation; it takes no data."""
    table = main()[1]
    for name in table.colnames[1:]:
        table[name].format = ".2f"
    for name in table.colnames[1:3]:
        table[name].unit = "s"
    text = (
        "The ten nearest of 900,000 embeddings of 64 numbers (random directions, seed "
        "0), for 1,000 queries, beside the bare products in float32 of the same "
        "matrices. Fastest of five."
    )
    yield Section("Nearest embeddings", text, table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-queries", type=int, default=1000)
    parser.add_argument("--n-library", type=int, default=900_000)
    parser.add_argument("--n-embedding", type=int, default=64)
    parser.add_argument("--n-neighbors", type=int, default=10)
    met, _ = main(**vars(parser.parse_args()))
    sys.exit(not met)
