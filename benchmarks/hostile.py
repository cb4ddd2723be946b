"""Damaged files of every format: what the readers make of them.

Each file is a good one, real or written by the tests, that was then flipped, wiped,
cut or spliced. It is read and compared with the reading of the good file:

- identical: all pixels as they were (damage in padding, or in parts not read);
- labels: the same, but a label differs (a digit of a header card, say);
- fewer: some pixels are missing, all others as they were;
- remarked: read, with a reason that the good file has not ("partial");
- refused: with a reason;
- plausible: pixels differ, but only as many as the damaged bytes are of, and the
  neighbours that resampling mixes them with. Neither FITS nor HDF5 has a checksum of
  its data (npz has): where a damaged byte makes another possible number, no reader can
  know. So these are counted apart;
- wrong: more pixels differ than that, and nothing says so;
- crashed: anything raised, a warning included.

A pixel differs where its flux does by 0.001 or its ivar by 1%, or where it is known
and was not. Of a GALAH spectrum one CCD is damaged and all are read. Exits with 1 if
anything is wrong or crashed.

    python -m benchmarks.hostile --data DIR
"""

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from specxfer.io import read_apogee, read_galah

ROOT = Path(__file__).resolve().parents[1]
OUTCOMES = (
    *("identical", "labels", "fewer", "remarked", "refused", "plausible"),
    *("wrong", "crashed"),
)
BAD = ("wrong", "crashed")
SPREAD = 2  # pixels on either side that one pixel of a file is mixed into
FLUX, IVAR = 1e-3, 1e-2  # differences that count: continuum units, relative
OWN_CONTINUUM = 10  # times that: a continuum through fewer pixels is a little off
READERS = {"apogee": read_apogee, "galah": read_galah}  # of the real files


def load(path):
    """A module of the tests: they know how to write, and how to damage."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Source:
    """The files of one good spectrum, and what they read as."""

    def __init__(self, files, read):
        self.files, self.read = files, read
        self.X, self.report = read(files[0].parent)
        self.format = str(self.report["format"][0])
        self.is_read = len(self.X) > 0
        self.arrays = {p: data_arrays(p) for p in files} if self.is_read else {}

    @classmethod
    def copy(cls, files, folder, read):
        folder.mkdir(parents=True)
        return cls([Path(shutil.copy(path, folder)) for path in files], read)


def sources(data, folder):
    """Good files by format: what the tests write, and the real ones that are read."""
    tests = ROOT / "tests/io"
    writers, hostile = (
        load(tests / "conftest.py"),
        load(tests / "test_hostile_files.py"),
    )
    found = []
    for format, read in hostile.FORMATS.items():
        own = folder / "written" / format
        own.mkdir(parents=True)
        if format in ("galah_dr3", "galah_dr4"):
            files = getattr(writers, format)(own, 210115000101001)
        else:
            files = [hostile.good_file(writers, format, own)]
        found.append(Source(list(files), read))
    for files in real_spectra(data):
        for name in ("apogee", "galah"):
            own = folder / "real" / name / files[0].name
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                source = Source.copy(files, own, READERS[name])
            if source.is_read:
                found.append(source)
    by_format = {}
    for source in found:
        if source.is_read:
            by_format.setdefault(source.format, []).append(source)
    return by_format, hostile.DAMAGE


def real_spectra(data):
    """The real files, those of one GALAH spectrum together."""
    if data is None:
        return []
    groups = {}
    for path in sorted((data / "real").rglob("*")):
        if path.suffix in (".fits", ".npz") and path.is_file():
            ccd = path.parent.name.startswith("galah_dr") and len(path.stem) == 16
            groups.setdefault(path.stem[:15] if ccd else path.name, []).append(path)
    return list(groups.values())


# ------------------------------------------------------------------------ data bytes
def data_arrays(path):
    """(first byte, bytes an element, elements) of each array of numbers in a file."""
    if path.suffix == ".hdf5":
        import h5py

        with h5py.File(path) as file:
            return [
                (dataset.id.get_offset(), dataset.dtype.itemsize, dataset.size)
                for dataset in file.values()
                if dataset.id.get_offset() is not None
            ]
    if path.suffix == ".npz":
        return []  # its checksums tell
    arrays = []
    with fits.open(path, memmap=False) as hdus:
        for hdu in hdus:
            info, header = hdu.fileinfo(), hdu.header
            if isinstance(hdu, fits.BinTableHDU):
                row, n_rows = header["NAXIS1"], header["NAXIS2"]
                one_row_a_pixel = row < 100  # else a row is a spectrum, in numbers
                size = row if one_row_a_pixel else 4
                arrays.append((info["datLoc"], size, row * n_rows // size))
            elif header["NAXIS"]:
                size = abs(header["BITPIX"]) // 8
                n = np.prod([header[f"NAXIS{i + 1}"] for i in range(header["NAXIS"])])
                arrays.append((info["datLoc"], size, int(n)))
    return arrays


def reachable(arrays, before, after):
    """How many pixels the damaged bytes can change by being other numbers."""
    if len(before) != len(after):
        return 0
    different = before != after
    total = 0
    for start, size, n in arrays:
        own = different[start : start + size * n].reshape(-1, size).any(axis=1)
        if not len(own):
            continue
        around = np.convolve(own, np.ones(2 * SPREAD + 1), "same") > 0.5
        total += int(around.sum())
    return total


# ------------------------------------------------------------------------- comparison
def outcome(source, path, content, whole):
    """What became of one damaged file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            X, report = source.read(path.parent)
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"
    reasons = "; ".join(filter(None, report["reason"]))
    if not len(X):
        return "refused", reasons
    if reasons != "; ".join(filter(None, source.report["reason"])):
        return "remarked", reasons
    if X.shape != source.X.shape:
        return "wrong", f"{X.shape} instead of {source.X.shape}"
    good, was = X.valid(), source.X.valid()
    own = "normalised_by" in X.meta.colnames and "specxfer" in X.meta["normalised_by"]
    factor = OWN_CONTINUUM if own else 1
    with np.errstate(invalid="ignore"):
        differs = np.abs(X.flux - source.X.flux) > factor * FLUX
        differs |= np.abs(X.ivar - source.X.ivar) > factor * IVAR * source.X.ivar
    differs = good & (differs | ~was)
    n = int(differs.sum())
    allowed = reachable(source.arrays[path], whole, content)
    if n > allowed:
        return "wrong", f"{n} pixels differ, {allowed} could"
    if n:
        return "plausible", f"{n} pixels"
    if (was & ~good).any():
        return "fewer", f"{int((was & ~good).sum())} pixels"
    same = np.array_equal(X.ids, source.X.ids) and np.array_equal(
        X.resolution, source.X.resolution, equal_nan=True
    )
    same = same and all(
        map(_equal, X.meta.columns.values(), source.X.meta.columns.values())
    )
    return ("identical" if same else "labels"), ""


def _equal(a, b):
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def main(data, n_files=300, seed=0, verbose=False):
    """Damage files, spread over the formats, and print what became of them."""
    rng = np.random.default_rng(seed)
    counts, told = {}, []
    with tempfile.TemporaryDirectory() as folder:
        by_format, kinds = sources(data, Path(folder))
        for i in range(n_files):
            format = sorted(by_format)[i % len(by_format)]
            source = by_format[format][rng.integers(len(by_format[format]))]
            path = source.files[rng.integers(len(source.files))]
            whole = np.frombuffer(path.read_bytes(), np.uint8)
            damage = kinds[rng.integers(len(kinds))]
            content = damage(whole.copy(), rng)
            path.write_bytes(content.tobytes())
            found = outcome(source, path, content, whole)
            path.write_bytes(whole.tobytes())
            counts.setdefault(format, dict.fromkeys(OUTCOMES, 0))[found[0]] += 1
            if found[0] in BAD or verbose:
                told.append(f"{format}, {path.name}, {damage.__name__}: {found}")
    table = Table({"format": [*counts, "all"]})
    for name in OUTCOMES:
        column = [line[name] for line in counts.values()]
        table[name] = [*column, sum(column)]
    table.pprint_all()
    print(*told, sep="\n")
    bad = sum(table[name][-1] for name in BAD)
    print(f"{n_files} files, {len(by_format)} formats: {bad} wrong or crashed")
    return int(bad > 0)


if __name__ == "__main__":
    shared = os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--n-files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="tell all outcomes")
    sys.exit(main(**vars(parser.parse_args())))
