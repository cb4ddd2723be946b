"""Reading rate of each format, beside bare astropy and beside specutils.

Every real file is copied until there are some hundreds of its format. Then, in turn and
several times over, they are read

- by our reader, on one core, with everything it does: masks, shift, grid, labels;
- by astropy alone: open the file and take the arrays that the spectrum is made of;
- by specutils (aspcapStar only, where it is installed), in a loop over
  ``Spectrum.read(path)``, which finds out the format, and with the format named (which
  has no bar: it takes neither labels nor masks).

Printed are the medians, and the median and range of the ratios of neighbouring rounds.
The bars: at least 0.7 of the rate of astropy, and 5 times that of specutils.

    python -m benchmarks.reading --data DIR
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from benchmarks.sections import Section
from specxfer.io import read_apogee, read_galah

ROOT = Path(__file__).resolve().parents[1]
BARS = {"astropy": 0.7, "specutils": 5.0}
DR4 = (0, 1, 2, 4, 7)  # HDU0 has the header; flux, error, telluric, resolution
HDUS = {  # format: the HDUs whose data a spectrum is made of
    "aspcapStar": (1, 2, 4),
    "apStar": (1, 2, 3, 8, 9),
    "apVisit": (1, 2, 3, 4, 10),
    "GALAH DR3": (0, 1, 4),
    "GALAH DR4": DR4[1:],
    "GALAH DR4 fit": (1,),
}


def by_format(data):
    """The real files that are read, by format and spectrum, and their reader."""
    found = {}
    for read in (read_apogee, read_galah):
        _, report = read(data / "real")
        for row in report[report["status"] != "refused"]:
            if row["format"] in HDUS:
                files = ccd_files(row["file"])
                found.setdefault(row["format"], (read, {}))[1][files] = None
    return {format: (read, list(files)) for format, (read, files) in found.items()}


def ccd_files(name):
    """`…[1234].fits` as four files."""
    if "[" not in name:
        return (Path(name),)
    head, rest = name.split("[")
    ccds, tail = rest.split("]")
    return tuple(Path(f"{head}{ccd}{tail}") for ccd in ccds)


def copies(spectra, folder, n_spectra):
    """Copy real spectra in turn until there are so many, each to its own folder."""
    paths = []
    for i in range(n_spectra):
        own = folder / f"{i:04d}"
        own.mkdir(parents=True)
        paths += [Path(shutil.copy(p, own)) for p in spectra[i % len(spectra)]]
    return paths


def bare(paths, hdus):
    """What anyone must do at least."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            with fits.open(path, memmap=False) as file:
                for i in hdus:
                    if i < len(file) and file[i].data is not None:
                        np.asarray(file[i].data)


def by_specutils():
    """Functions that read aspcapStar files with specutils, by name; none without it."""
    try:
        import specutils
    except ImportError:
        return {}
    name = "Spectrum" if hasattr(specutils, "Spectrum") else "Spectrum1D"
    load = getattr(specutils, name).read

    def read(paths, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for path in paths:
                load(path, **options)

    named = partial(read, format="APOGEE aspcapStar")
    return {"specutils": read, "named": named}


def seconds(function, *arguments):
    """How long one call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main(data, n_spectra=200, n_rounds=5):
    """Print rates and ratios for each format; whether bars are met, and a table."""
    missed, found = 0, []
    line = "{:14} {:>9} {:>11.0f} {:>6} {:>9} {:>8} {:>16}  {}"
    print(
        f"{'format':14} {'spectra':>9} {'ours [1/s]':>11}  {'than':>5} "
        f"{'[1/s]':>9} {'ratio':>8} {'from to':>16}  bar"
    )
    peer = by_specutils()
    for format, (read, spectra) in by_format(data).items():
        with tempfile.TemporaryDirectory() as folder:
            paths = copies(spectra, Path(folder), n_spectra)
            others = {"astropy": lambda paths, f=format: bare(paths, HDUS[f])}
            if format == "aspcapStar":
                others |= peer
            for function in (read, *others.values()):
                function(paths[:8])  # imports, caches of the disk
            times = {name: [] for name in ("ours", *others)}
            for _ in range(n_rounds):
                times["ours"].append(seconds(read, paths))
                for name, function in others.items():
                    times[name].append(seconds(function, paths))
        ours = np.array(times.pop("ours"))
        for name, theirs in times.items():
            ratio = np.array(theirs) / ours
            bar = BARS.get(name, 0)
            good = np.median(ratio) >= bar
            missed += not good
            verdict = f"≥ {bar:g} {'met' if good else 'MISSED'}" if bar else "none"
            row = (format, n_spectra / np.median(ours), name)
            found.append((*row, n_spectra / np.median(theirs), np.median(ratio)))
            spread = f"{ratio.min():.2f} to {ratio.max():.2f}"
            print(
                line.format(
                    format,
                    n_spectra,
                    n_spectra / np.median(ours),
                    name[:9],
                    f"{n_spectra / np.median(theirs):.0f}",
                    f"{np.median(ratio):.2f}",
                    spread,
                    verdict,
                )
            )
    if not peer:
        print("specutils is not installed: no comparison with it")
    names = ["format", "ours", "peer", "its rate", "ratio"]
    return not missed, Table(rows=found, names=names)


def sections(data):
    """Its section of the documentation."""
    table = main(data)[1]
    for name in ("ours", "its rate"):
        table[name].unit, table[name].format = "1 / s", ".0f"
    table["ratio"].format = ".2f"
    text = (
        "Spectra per second by ``read_apogee`` and ``read_galah`` on one core, with "
        "all they do (masks, shift, grid, labels), beside opening the file and taking "
        "its arrays by astropy, and beside specutils where it is installed. 200 "
        "copies of real files, median of five rounds in turn; the ratio is of "
        "neighbouring rounds."
    )
    yield Section("Reading files", text, table)


if __name__ == "__main__":
    shared = os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-spectra", type=int, default=200)
    parser.add_argument("--n-rounds", type=int, default=5)
    met, _ = main(**vars(parser.parse_args()))
    sys.exit(not met)
