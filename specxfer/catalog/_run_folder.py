"""The folder of a catalogue: what is done, what is left, and what it is a run of."""

import os
from pathlib import Path

import numpy as np

from specxfer._runs import begin_run, sweep, write_whole
from specxfer.catalog._errors import CatalogError
from specxfer.catalog._table_files import put_together, table_bytes

__all__ = ["RunFolder"]

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
        self.plain = {}  # arrays that are not packed, and the type of their numbers

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
        begin_run(self.folder, stamp, what="catalogue", error=CatalogError)
        self.plain = {
            name: np.dtype(dtype).newbyteorder("<")
            for name, (_, dtype, compressors) in arrays.items()
            if compressors is None
        }
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
        path = self.folder / "spectra.zarr"
        packed = result.arrays.keys() - self.plain.keys()
        if packed:
            group = import_zarr().open_group(path, mode="r+")
        for name, values in result.arrays.items():
            if name in packed:
                group[name][rows] = values
            else:
                write_plain(path / name, values, rows.start, self.plain[name])
        write_whole(self.part(rows), table_bytes(result.table, self.form))

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
        sweep(self.folder, ("*.tmp", "parts/*.tmp", "spectra.zarr/**/*.partial"))


def write_plain(folder, values, first, dtype):
    """Write rows of an array that is not packed, as zarr would: it takes longer.

    Parameters
    ----------
    folder : Path
        Of the array.
    values : ndarray
        Its rows from `first` on, a multiple of `STARS`.
    first : int
    dtype : dtype
        Of the numbers in the files.
    """
    values = np.ascontiguousarray(values, dtype)
    ends = ("0",) * (values.ndim - 1)
    for start in range(0, len(values), STARS):
        chunk = values[start : start + STARS]
        path = folder.joinpath("c", str((first + start) // STARS), *ends)
        if np.isnan(chunk[0]).all() and np.isnan(chunk).all():
            path.unlink(missing_ok=True)  # what is not there is NaN
            continue
        if len(chunk) < STARS:  # the last one: files are of whole chunks
            more = np.full((STARS - len(chunk), *chunk.shape[1:]), np.nan, dtype)
            chunk = np.concatenate([chunk, more])
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            with open(unfinished, "wb", buffering=0) as file:
                left = memoryview(chunk).cast("B")
                while left:
                    left = left[file.write(left) :]
            os.replace(unfinished, path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            if error.filename is None:  # of a write: it does not know where to
                error.filename = str(path)
            raise


def import_zarr():
    """zarr, or what to install."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError(
            "catalogues need zarr: pip install 'specxfer[catalog]'."
        ) from error
    return zarr
