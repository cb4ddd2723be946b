"""A fit to files on disk holds blocks of them, never the whole."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

N, P, Q = 48_000, 400, 800

FIT = f"""
import sys, threading, time
from pathlib import Path
import numpy as np
from specxfer import Spectra
from specxfer.linear import PCARidge

def anonymous():
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024

folder = Path(sys.argv[1])
sides = []
for name, m in (("X", {P}), ("y", {Q})):
    flux, ivar = (
        np.memmap(folder / f"{{name}}_{{part}}", "f4", "r", shape=({N}, m))
        for part in ("flux", "ivar")
    )
    wave = 5000 + np.arange(float(m))
    sides.append(Spectra(flux, ivar, wave=wave, medium="air"))
few = [s[:400] for s in sides]
PCARidge(8, n_products=2).fit(*few)  # what is imported and cached
before, peak, done = anonymous(), [0], threading.Event()

def watch():
    while not done.wait(0.002):
        peak[0] = max(peak[0], anonymous())

thread = threading.Thread(target=watch)
thread.start()
model = PCARidge(8, n_products=2).fit(*sides)
done.set()
thread.join()
error = np.sqrt(np.mean((model.predict(sides[0][:500]) - sides[1][:500].flux) ** 2))
print(peak[0] - before, float(error))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_fit_to_memory_maps_holds_a_fraction_of_them(tmp_path):
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((N, 4), "f4")
    for name, m in (("X", P), ("y", Q)):
        shape = (N, m)
        flux = np.memmap(tmp_path / f"{name}_flux", "f4", "w+", shape=shape)
        ivar = np.memmap(tmp_path / f"{name}_ivar", "f4", "w+", shape=shape)
        flux[:] = 1 + scores @ (0.02 * rng.standard_normal((4, m), "f4"))
        flux[:] += 0.01 * rng.standard_normal(shape, "f4")
        ivar[:] = 1e4
        ivar[rng.random(shape, "f4") < 0.05] = 0
    inputs = 8 * N * (P + Q) / 2**20  # MiB
    command = [sys.executable, "-c", FIT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, error = map(float, done.stdout.split())
    assert peak < 0.75 * inputs
    assert error < 1.2 * 0.01
