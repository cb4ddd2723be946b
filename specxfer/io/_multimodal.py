"""Read the HDF5 files of the MultimodalUniverse: APOGEE DR17 and GALAH DR3."""

from functools import partial

import numpy as np

from specxfer._grids import APOGEE_PIXELS, APOGEE_R, apogee_chip, apogee_wave
from specxfer.io import _apogee, _galah
from specxfer.io._collect import collect, meta_table, refused
from specxfer.io._errors import ReadError
from specxfer.io._files import find_files
from specxfer.io._multimodal_files import (
    FORMATS,
    h5py,
    open_hdf5,
    read_apogee_block,
    read_galah_block,
    table_of,
)
from specxfer.resampling import pixel_edges
from specxfer.spectra import Spectra

__all__ = ["read_multimodal"]

SUFFIXES = (".hdf5", ".h5")
BLOCK = 128  # rows read at a time: 50 MB
PLACE = {"ra": (float, "deg"), "dec": (float, "deg")}
APOGEE_META = {**_apogee.META, **PLACE}
GALAH_META = {**_galah.META, **PLACE, "flag_sp": (int, None)}


def read_multimodal(
    paths,
    survey,
    *,
    wave=None,
    columns=(),
    use_mask=False,
    pixels_off=2,
    n_jobs=None,
    verbose=0,
    on_error="skip",
    error_floor=0.005,
    max_error=1.0,
    max_flux=2.0,
):
    """Read spectra of APOGEE or GALAH from the MultimodalUniverse's HDF5 files.

    The same spectra, on the same grids, as `read_apogee` and `read_galah` give for the
    survey's own files: what the MultimodalUniverse's builder did to them is undone.

    Parameters
    ----------
    paths : path or list of paths
        Files, folders (searched to any depth for ``*.hdf5`` and ``*.h5``) or patterns
        like ``"apogee/healpix=*/*.hdf5"``.
    survey : {"apogee", "galah"}
        Whose spectra. Files of the other survey are refused.
    wave : array-like of shape (n_pixels,), optional
        GALAH: the grid to put spectra on, as in `read_galah`.
    columns : sequence of str, optional
        Further columns of the files to put in `meta`, one value a spectrum each, under
        their names in lower case.
    use_mask : bool, default=False
        APOGEE: leave out pixels that the file masks. It masks a pixel where any bit of
        the survey's mask is set in any visit, warnings included, and does not say
        which: a quarter of a good spectrum. Without it the rules are those for
        aspcapStar files, where bad pixels have a large error.
    pixels_off : float, default=2
        GALAH: pixels by which the file's wavelengths are too red. 2 for all versions of
        the builder up to August 2025. 0 for files in which this was put right: a file
        does not say which it is.
    n_jobs : int, optional
        Blocks of spectra read at the same time, as in joblib.
    verbose : int, default=0
        Above 0, show a progress bar.
    on_error : {"skip", "raise"}, default="skip"
        What to do with a file or a spectrum that cannot be read: report it and go on,
        or raise the `ReadError`.
    error_floor : float, default=0.005
        APOGEE: errors are at least this, in continuum units.
    max_error : float, default=1.0
        Pixels with a larger error (continuum units) are bad.
    max_flux : float or None, default=2.0
        Pixels more than 5σ above it, and their neighbours, are bad, as are those
        more than 5σ below 0.

    Returns
    -------
    spectra : Spectra of shape (n_read, n_pixels)
        As of `read_apogee` (8575 pixels, vacuum, nominal `resolution`) or `read_galah`
        (air, `resolution` unknown: NaN), at rest. `ids` are the APOGEE ids, or
        sobject_ids: these files do not say which 2MASS or Gaia star a GALAH spectrum is
        of. `meta` has the columns of those functions as far as the files have them
        (labels are the survey's catalogue's), ra, dec, `flag_sp` of GALAH, and
        `columns`.
    report : astropy.table.Table
        One row a spectrum, or a file that cannot be read: status ("read", "partial" or
        "refused"), reason, id, file, format, n_good (pixels). Rows that are not
        refused are the rows of `spectra`, in order.

    Raises
    ------
    FileNotFoundError
        If a path that is no pattern does not exist, whatever `on_error`.
    ReadError
        With ``on_error="raise"``, for the first file or spectrum that cannot be read.
    ImportError
        If h5py is not installed.
    ValueError
        If `survey` is another, or no file has one of `columns`.

    Notes
    -----
    The builder counts wavelengths as CRVAL1 + (i + 1 + CRPIX1) CDELT1, with a plus
    where a minus belongs (and CRPIX1 = 1 in the files of DR3), for both wavelengths of
    GALAH, those at rest and those observed: two pixels, 5.6 to 5.9 km/s, too red. It
    then rounds them to single precision; here the straight line is fitted again. The
    last pixel it names for a CCD belongs to the CCD, wavelengths of −1 are padding, and
    the inverse variance is infinite where the flux is 0: such pixels are bad.
    APOGEE's wavelengths, from exponents in single precision, are off by up to 0.04
    pixels (0.16 km/s); here they are those of the survey's own grid.

    References
    ----------
    The Multimodal Universe Collaboration 2024, arXiv:2412.02527.

    Examples
    --------
    >>> from specxfer.io import read_multimodal
    >>> spectra, report = read_multimodal("no_such_*.hdf5", "galah")
    >>> len(spectra), report["status"][0]
    (0, np.str_('refused'))
    """
    if survey not in FORMATS:
        raise ValueError(f"survey is {survey!r}; expected 'apogee' or 'galah'.")
    if survey == "apogee" and wave is not None:
        raise ValueError(
            "wave is for GALAH: spectra of APOGEE share one grid. See "
            "specxfer.resampling.resample."
        )
    h5py()
    columns = tuple(dict.fromkeys(name.lower() for name in columns))
    rules = {"max_error": max_error, "max_flux": max_flux}
    options = {"use_mask": use_mask, "rules": {**rules, "error_floor": error_floor}}
    n_pixels = APOGEE_PIXELS
    if survey == "galah":
        wave = _galah.checked_wave(wave)
        options = {"pixels_off": pixels_off, "edges": pixel_edges(wave), "rules": rules}
        n_pixels = wave.size
    flux, ivar, readings, report = collect(
        partial(_read_block, survey=survey, columns=columns, options=options),
        _blocks(find_files(paths, SUFFIXES), survey, columns),
        n_pixels,
        n_jobs=n_jobs,
        verbose=verbose,
        on_error=on_error,
    )
    if survey == "galah":
        spectra = _galah.as_spectra(flux, ivar, readings, wave, GALAH_META)
    else:
        spectra = Spectra(
            flux,
            ivar,
            wave=apogee_wave(),
            medium="vacuum",
            ids=np.array([r.id for r in readings], "U"),
            meta=meta_table(readings, APOGEE_META),
            resolution=np.full((len(flux), 3), APOGEE_R),
            chip=apogee_chip(),
        )
    for name in columns:
        spectra.meta[name] = _column(name, [r.meta[name] for r in readings])
    return spectra, report


def _blocks(paths, survey, columns):
    """(path, first row, last row) of what is to be read; of a bad file no rows."""
    blocks, found = [], set()
    for path in paths:
        try:
            with open_hdf5(path) as file:
                datasets, n_rows = table_of(path, file, survey)
                found |= {n for n, d in datasets.items() if d.ndim == 1}
                starts = range(0, n_rows, BLOCK)
                blocks += [(path, i, min(i + BLOCK, n_rows)) for i in starts]
                if not n_rows:
                    raise ReadError(path, "it has no rows")
        except ReadError:
            blocks.append((path, 0, 0))
    missing = [name for name in columns if name not in found]
    if missing and found:
        raise ValueError(
            f"no file has a column {missing[0]!r} of one value a spectrum; they have "
            f"{', '.join(sorted(found))}."
        )
    return blocks


def _read_block(block, survey, columns, options):
    path, start, stop = block
    try:
        with open_hdf5(path) as file:
            found, _ = table_of(path, file, survey)
            if stop == start:
                raise ReadError(path, "it has no rows", FORMATS[survey])
            read = read_apogee_block if survey == "apogee" else read_galah_block
            return read(path, found, slice(start, stop), columns, **options)
    except ReadError as error:
        return [refused(error)]


def _column(name, values):
    """A column of `meta`: NaN, or an empty text, where a file does not have it."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, (bytes, str)) for value in known):
        values = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v
                  for v in values]  # fmt: skip
        return np.array([v or "" for v in values], "U")
    if len(known) < len(values):
        return np.array([np.nan if v is None else v for v in values], float)
    return np.array(values) if values else np.array([], float)
