"""Memory of a CNNTranslator's fit to files: peak of RssAnon, in a process of its own.

Source and target are memory maps of 10 GB together, without noise or gaps
(`benchmarks.linear_speed`), the networks are trained for two epochs. RssAnon is the
resident memory that files are not in. The bar: 4 GB. The files lie in the folder for
temporary ones (TMPDIR) and are deleted; with too little room, ask for less: beyond some
hundred MB, memory grows as the number of stars.

    OMP_NUM_THREADS=1 python -m benchmarks.cnn_memory [--mmap-gb 1] [--no-lines]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.linear_speed import (
    GB,
    AnonymousMemory,
    mapped,
    verdict,
    write_maps,
)
from specxfer import Spectra
from specxfer.neural import CNNTranslator

BAR = 4.0  # GB


def timed(function):
    """Seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def from_a_map(folder, n, p, q, no_lines=False):
    """Fit to files; a dict of what is measured."""
    X, y = (
        Spectra(f, wave=4700 + 0.1 * np.arange(f.shape[1]), medium="air")
        for f in mapped(folder, n, p, q)
    )
    model = CNNTranslator(max_epochs=2, lines=None if no_lines else "auto")
    with AnonymousMemory() as memory:
        seconds = timed(lambda: model.fit(X, y))
    return {
        "fit": seconds,
        "epoch": float(np.median(model.history_["seconds"])),
        "before": memory.start,
        "peak": memory.peak,
        "n_out": len(model.share_),
    }


def memory_of_a_fit(gigabytes, p, q, no_lines=False):
    """Print the peak of a fit in a process of its own; whether the bar is met."""
    n = int(gigabytes * GB / (4 * (p + q)))
    with tempfile.TemporaryDirectory() as folder:
        if shutil.disk_usage(folder).free < 1.05 * gigabytes * GB:
            raise OSError(
                f"{folder} has no room for {gigabytes:g} GB: set TMPDIR to a folder "
                "that has, or ask for a smaller --mmap-gb."
            )
        write_maps(folder, n, p, q)
        command = [sys.executable, "-m", "benchmarks.cnn_memory", "--folder", folder]
        for name, value in {"n": n, "p": p, "q": q}.items():
            command += [f"--{name}", str(value)]
        command += ["--no-lines"] * no_lines
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the fit to files failed:\n{done.stderr}")
    r = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{gigabytes:g} GB memory map, {n} stars, {r['n_out']} coefficients: fit "
        f"{r['fit']:.0f} s, of which an epoch {r['epoch']:.1f} s; RssAnon before "
        f"{r['before'] / GB:.2f} GB"
    )
    return [verdict("peak RssAnon from the map [GB]", r["peak"] / GB, BAR)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mmap-gb", type=float, default=10)
    parser.add_argument("--p", type=int, default=7514, help="source pixels")
    parser.add_argument("--q", type=int, default=14_000, help="target pixels")
    parser.add_argument(
        "--no-lines", action="store_true", help="coefficients of whole spectra alone"
    )
    parser.add_argument("--n", type=int, help="stars in the files of --folder")
    parser.add_argument("--folder", help="of the memory maps: fit to them alone")
    args = parser.parse_args()
    if args.folder:
        print(
            json.dumps(from_a_map(args.folder, args.n, args.p, args.q, args.no_lines))
        )
    else:
        met = memory_of_a_fit(args.mmap_gb, args.p, args.q, args.no_lines)
        sys.exit(int(not all(met)))
