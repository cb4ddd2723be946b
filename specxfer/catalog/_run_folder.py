"""The folder of a catalogue: what is done, what is left, and what it is a run of."""

import json
import os
import shutil
from pathlib import Path

import numpy as np

from specxfer.catalog._errors import CatalogError
from specxfer.catalog._table_files import put_together, table_bytes

__all__ = ["RunFolder"]

CLOSE = 1e-3  # predictions of the same model on another machine differ by less
STARS = 64  # of a chunk of a Zarr array


class RunFolder:
    """The folder of a catalogue; a kill at any moment leaves whole chunks.

    A chunk is done when its part of the table is there, which is written last.

    Parameters
    ----------
    folder : path-like
    form : {"fits", "ecsv"}
        Of the table.
    """

    def __init__(self, folder, form):
        self.folder = Path(folder)
        self.form = form

    @property
    def table(self):
        """The finished table; there once the catalogue is."""
        return self.folder / f"table.{self.form}"

    def part(self, rows):
        """The part of the table that says a chunk is done."""
        return self.folder / "parts" / f"{rows.start:010d}.{self.form}"

    def begin(self, stamp, arrays, grid):
        """Make the folder, or see that it is of the same run.

        Parameters
        ----------
        stamp : dict
            What tells two runs apart.
        arrays : dict of str to (shape, dtype, compressors)
        grid : dict
            Attributes of the Zarr group.

        Raises
        ------
        CatalogError
            If it holds another run.
        """
        note = self.folder / "run.json"
        if note.exists():
            differ = _differences(json.loads(note.read_text()), stamp)
            if differ:
                raise CatalogError(
                    f"{self.folder} holds a catalogue of another run ({differ}): give "
                    "another folder, or remove this one."
                )
        elif self.folder.is_dir() and any(
            path.suffix != ".tmp" for path in self.folder.iterdir()
        ):
            raise CatalogError(
                f"{self.folder} is no catalogue and not empty: give another folder."
            )
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(note, json.dumps(stamp, indent=1).encode())
        if self.table.exists():
            return
        (self.folder / "parts").mkdir(exist_ok=True)
        self._sweep()
        self._make_arrays(arrays, grid)

    def _make_arrays(self, arrays, grid):
        zarr = import_zarr()
        path = self.folder / "spectra.zarr"
        if path.exists():
            return
        unfinished = path.with_suffix(".tmp")
        group = zarr.create_group(unfinished, attributes=grid)
        for name, (shape, dtype, compressors) in arrays.items():
            group.create_array(
                name,
                shape=shape,
                dtype=dtype,
                chunks=(STARS, *shape[1:]),
                compressors=compressors,
                fill_value=np.nan,
                dimension_names=("star", "pixel")[: len(shape)],
            )
        os.replace(unfinished, path)

    def write(self, result, rows):
        """Write a chunk: its arrays first, then the part of the table that marks it."""
        group = import_zarr().open_group(self.folder / "spectra.zarr", mode="r+")
        for name, values in result.arrays.items():
            group[name][rows] = values
        _write(self.part(rows), table_bytes(result.table, self.form))

    def finish(self, chunks):
        """Put the table together; what it was made of goes."""
        if not self.table.exists():
            put_together([self.part(rows) for rows in chunks], self.table)
        self._sweep()
        for part in (self.folder / "parts").glob("*"):
            part.unlink()
        if (self.folder / "parts").exists():
            (self.folder / "parts").rmdir()

    def _sweep(self):
        """Remove what a kill left half written."""
        for pattern in ("*.tmp", "parts/*.tmp", "spectra.zarr/**/*.partial"):
            for left in list(self.folder.glob(pattern)):
                if left.is_dir():
                    shutil.rmtree(left)
                else:
                    left.unlink(missing_ok=True)


def _write(path, data):
    """There whole, or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(unfinished, "wb") as file:
        file.write(data)
    os.replace(unfinished, path)


def _differences(then, now):
    """What differs between two runs; "" if nothing does."""
    found = []
    for name in dict.fromkeys([*then, *now]):
        a, b = then.get(name), now.get(name)
        if name == "sketch":
            same = np.shape(a) == np.shape(b) and np.allclose(
                np.array(a, float), np.array(b, float), rtol=CLOSE, equal_nan=True
            )
            if not same:
                found.append("the model or its source")
        elif a != b:
            found.append(f"{name}: {a!r} then, {b!r} now")
    return "; ".join(found)


def import_zarr():
    """zarr, or what to install."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError(
            "catalogues need zarr: pip install 'specxfer[catalog]'."
        ) from error
    return zarr
