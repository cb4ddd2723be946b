"""Speed and memory of the simulator: pairs a second, and peak beyond the result.

The bars: 300 pairs a second on two cores; 30,000 pairs need no more than 2 GB beyond
the result. The memory of one run does not depend on the number of stars (blocks of 32
are written in place), so a smaller run tells.

    python -m benchmarks.simulator --n-stars 4096
"""

import argparse
import os
import resource
import subprocess
import sys
import time

import numpy as np

from specxfer.datasets import make_paired_spectra


def nbytes(*spectra):
    """Bytes of flux and inverse variance."""
    arrays = [a for s in spectra for a in (s.flux, s.ivar) if a is not None]
    return sum(a.nbytes for a in arrays)


def pairs_per_second(n_stars, n_jobs):
    """Wall-clock rate, and rate per CPU second (which other work does not slow)."""
    wall, cpu = time.perf_counter(), time.process_time()
    make_paired_spectra(n_stars, random_state=0, n_jobs=n_jobs)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return n_stars / wall, n_stars / cpu


def peak(n_stars, n_jobs):
    """Peak resident memory of this process, and size of the result, in GB."""
    result = make_paired_spectra(n_stars, random_state=0, n_jobs=n_jobs)
    unit = 1024 if sys.platform != "darwin" else 1
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return rss / 1e9, nbytes(*result) / 1e9


def main(n_stars=2048, n_jobs=2, repeats=5):
    """Print the rates and the memory."""
    # memory first, in a process of its own whose peak nothing else has raised
    command = [sys.executable, "-m", "benchmarks.simulator", "--peak"]
    command += ["--n-stars", str(n_stars), "--n-jobs", str(n_jobs)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rss, result = map(float, out.split())
    make_paired_spectra(32, random_state=0)  # builds the line lists
    rates = np.array([pairs_per_second(n_stars, n_jobs) for _ in range(repeats)])
    wall, cpu = np.median(rates, axis=0)
    load = os.getloadavg()[0]
    print(f"{n_stars} full-size pairs, {n_jobs} threads, load {load:.1f}")
    print(f"pairs per second       {wall:6.0f}   (median of {repeats}; bar 300)")
    print(f"        slowest, fastest {rates[:, 0].min():4.0f} {rates[:, 0].max():6.0f}")
    print(f"pairs per CPU second   {cpu:6.0f}")
    print(f"result                 {result:6.2f} GB")
    print(f"peak beyond the result {rss - result:6.2f} GB (bar 2)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-stars", type=int, default=2048)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", action="store_true", help="only print the memory")
    arguments = parser.parse_args()
    if arguments.peak:
        print(*peak(arguments.n_stars, arguments.n_jobs))
    else:
        main(arguments.n_stars, arguments.n_jobs, arguments.repeats)
