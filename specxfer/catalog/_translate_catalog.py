"""`translate_catalog`: any number of stars, in chunks, from disk to disk."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
from tqdm import tqdm

from specxfer._compositions import translator_of
from specxfer._version import __version__
from specxfer.catalog._chunk import Plan
from specxfer.catalog._errors import CatalogError
from specxfer.catalog._run_folder import RunFolder
from specxfer.catalog._sources import as_source
from specxfer.catalog._table_files import FORMATS
from specxfer.lines import each_window, window_names

__all__ = ["translate_catalog"]

CHUNK = 1024  # stars
LOOKED_AT = 4  # stars whose translations tell two runs apart


def translate_catalog(
    model,
    source,
    out,
    *,
    reader=None,
    std=True,
    support=True,
    lines=None,
    abundances=None,
    resolution=None,
    table="fits",
    compressors=None,
    chunk_rows=CHUNK,
    on_error="raise",
    n_jobs=None,
    verbose=0,
):
    """Translate any number of stars to a folder on disk, chunk by chunk.

    Memory holds a few chunks, however many stars there are. A run that was broken off,
    even by ``kill -9``, goes on where it was when called again with the same arguments,
    and ends with the same bytes as one that was not.

    Parameters
    ----------
    model : estimator
        A fitted translator, or a Pipeline, search, … around one.
    source : Spectra or iterable of paths
        Source spectra, in memory or stored, or files of one spectrum each.
    out : path-like
        The folder to make, or to go on with.
    reader : callable, optional
        With paths: makes `Spectra` of one row (alone, or first in a tuple, as
        `specxfer.io.read_apogee` returns) of a path.
    std : bool, default=True
        Whether to write the standard deviation of the flux.
    support : bool, default=True
        Whether to write how far from the training stars each star is.
    lines : Line, (lo, hi) in Å, or list of these, optional
        Windows of the target whose equivalent widths go into the table.
    abundances : AbundanceRegressor, optional
        Fitted; its abundances go into the table. Sources need the stellar parameters
        that it was fitted with in their `meta`.
    resolution : float or array-like of shape (n_stars,) or (n_stars, n_chips), optional
        Resolving power to write the spectra at, see `specxfer.translate`.
    table : {"fits", "ecsv"}, default="fits"
        Format of the table.
    compressors : zarr codec or list of these, optional
        How Zarr packs the spectra. By default not at all: translated fluxes hardly
        shrink, and packing takes longer than translating.
    chunk_rows : int, default=1024
        Stars that are translated and written at a time: a multiple of 64.
    on_error : {"raise", "skip"}, default="raise"
        What to do with a file that cannot be read: raise its error, or leave the star
        NaN and say why in the column ``problem`` of the table.
    n_jobs : int, optional
        Processes, as in joblib, also of an active ``joblib.parallel_config``: with
        ``backend="dask"`` those of a cluster that all see the folder `out`.
    verbose : int, default=0
        Above 0: shows a progress bar.

    Returns
    -------
    pathlib.Path
        The folder. ``spectra.zarr`` is a Zarr (v3) group with ``flux`` and, if asked
        for, ``std`` of shape (n_stars, n_pixels_out) in continuum units and
        ``support`` of shape (n_stars,), above 1 for stars unlike the training stars;
        its attributes are ``wave`` (Å), ``medium`` and ``specxfer``, the version.
        ``table.fits`` or ``table.ecsv`` has a row a star in the same order: ``id``;
        ``support`` and ``supported``; for each line ``ew_Ba_II_6497`` and its error
        ``e_ew_…`` (mÅ; the FITS unit is 10⁻³ Å); for each element ``ba_fe``,
        ``e_ba_fe`` (dex) and ``ba_fe_informed``; ``problem``, with the name of the
        file. It is there when all is. What is not known is NaN, and no problem is
        empty text; astropy masks both unless read with ``mask_invalid=False``. FITS
        has no unit dex: there it is the column's description.

    Raises
    ------
    CatalogError
        If `out` holds something else, a file cannot be read, or a worker died.
    ValueError
        If an argument is out of range, or the model does not predict one of `lines`.
    ImportError
        If zarr is not installed.

    Notes
    -----
    What is done stays done whatever happens: a full disk, a file that cannot be read, a
    worker that dies. Mend it, and call again. Two runs at a time on one folder are
    not guarded against.

    A run is known again by its arguments and by the translations of four stars.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, specxfer, zarr
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(1, 0.1, (40, 5)), rng.normal(1, 0.1, (40, 3))
    >>> model = PCARidge(n_components=2).fit(X, y)
    >>> new = specxfer.as_spectra(rng.normal(1, 0.1, (100, 5)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = specxfer.translate_catalog(model, new, folder + "/stars")
    ...     flux = zarr.open_group(out / "spectra.zarr", mode="r")["flux"][:]
    >>> bool((flux == model.predict(new)).all())
    True
    """
    if table not in FORMATS:
        raise ValueError(f"table is {table!r}; expected one of {sorted(FORMATS)}.")
    if chunk_rows < 64 or chunk_rows % 64:
        raise ValueError(f"chunk_rows is {chunk_rows}; expected a multiple of 64.")
    source = as_source(source, reader, on_error)
    if resolution is not None and np.ndim(resolution):
        resolution = np.asarray(resolution)
        if len(resolution) != len(source):
            raise ValueError(
                f"resolution has {len(resolution)} values and source {len(source)} "
                "stars: give one a star, or one for all."
            )
    translator, _ = translator_of(model, None, "translate_catalog", transform=False)
    plan = Plan(model, std, support, lines, abundances, resolution)
    folder = RunFolder(out, table)
    options = {
        "format": 1,
        "specxfer": __version__,
        "n_stars": len(source),
        "chunk_rows": chunk_rows,
        "std": std,
        "support": support,
        "lines": None if lines is None else window_names(each_window(lines)),
        "abundances": None if abundances is None else list(abundances.elements),
        "table": table,
        "compressors": repr(compressors),
        "on_error": on_error,
    }
    first = _looked_at(plan, source)
    flux = first["flux"]
    sizes = {"flux": flux.shape[1:], "std": flux.shape[1:], "support": ()}
    arrays = {
        name: ((len(source), *sizes[name]), values.dtype, compressors)
        for name, values in first.items()
    }
    wave = getattr(translator, "wave_out_", None)
    grid = {
        "wave": None if wave is None else wave.tolist(),
        "medium": getattr(translator, "medium_out_", None),
        "specxfer": __version__,
    }
    folder.begin(options | {"sketch": _sketch(first)}, arrays, grid)
    starts = range(0, len(source), chunk_rows)
    chunks = [slice(at, min(at + chunk_rows, len(source))) for at in starts]
    if not folder.table.exists():
        left = [rows for rows in chunks if not folder.part(rows).exists()]
        done = len(source) - sum(rows.stop - rows.start for rows in left)
        with tqdm(
            total=len(source),
            initial=done,
            desc="translating",
            unit="star",
            disable=not verbose,
        ) as progress:
            for rows in _run(plan, source, folder, left, n_jobs):
                progress.update(rows.stop - rows.start)
    folder.finish(chunks)
    return folder.folder


def _run(plan, source, folder, left, n_jobs):
    """Do the chunks that are left; yields each that is done."""
    if joblib.effective_n_jobs(n_jobs) == 1:
        yield from _run_here(plan, source, folder, left)
        return
    handle, path = tempfile.mkstemp(".tmp", "model.", folder.folder)
    with open(handle, "wb") as file:
        joblib.dump(plan, file)
    work = (
        joblib.delayed(_do)(path, folder, source[rows].sent(), rows) for rows in left
    )
    try:
        yield from joblib.Parallel(
            n_jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None
        )(work)
    except BrokenProcessPool as error:
        raise CatalogError(
            f"a worker died, perhaps for want of memory: {folder.folder} keeps what is "
            "done. Call again, with fewer n_jobs or chunk_rows in a new folder."
        ) from error
    finally:
        Path(path).unlink(missing_ok=True)


def _run_here(plan, source, folder, left):
    """In this process; a chunk is written while the next is translated."""
    with ThreadPoolExecutor(1) as writer:
        written = []
        for rows in left:
            result = plan.result(source[rows].loaded(), rows)
            if written:
                yield written.pop().result()
            written.append(writer.submit(_write, folder, result, rows))
            del result
        yield from (each.result() for each in written)


def _write(folder, result, rows):
    folder.write(result, rows)
    return rows


def _do(path, folder, block, rows):
    """A chunk, in a worker."""
    return _write(folder, _plan(path).result(block.loaded(), rows), rows)


@lru_cache(maxsize=1)
def _plan(path):
    """The model, read once by each worker."""
    return joblib.load(path)


def _looked_at(plan, source):
    """The translations of a few stars: what arrays there are, and of what model."""
    spaced = np.linspace(0, len(source) - 1, LOOKED_AT).astype(int)
    starts = range(0, len(source), 64)
    others = (np.arange(at, min(at + 64, len(source))) for at in starts)
    for rows in (np.unique(spaced), *others):
        arrays, widths = plan.arrays(source.picked(rows).loaded(), rows)
        if arrays:
            if widths is not None:
                _check_covered(plan.lines, widths[0])
            return arrays
    raise CatalogError(f"none of the {len(source)} files could be read.")


def _check_covered(lines, widths):
    """Refuse lines that no star has a width of: the model does not predict them."""
    names = window_names(each_window(lines))
    lost = [n for n, known in zip(names, np.isfinite(widths).any(axis=0)) if not known]
    if lost:
        raise ValueError(
            f"the model does not predict {lost}, or not all of their windows: leave "
            "them out of lines=, or fit a model to them."
        )


def _sketch(arrays):
    """Some values of each star."""
    rows = [values.reshape(len(values), -1) for values in arrays.values()]
    some = [values[:, :: -(-values.shape[1] // 16)].ravel() for values in rows]
    return np.concatenate(some).astype(float).tolist()
