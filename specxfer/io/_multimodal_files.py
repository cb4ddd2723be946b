"""Read blocks of rows from one HDF5 file of the MultimodalUniverse."""

from contextlib import contextmanager

import numpy as np

from specxfer._grids import SPEED_OF_LIGHT, apogee_wave
from specxfer.io._apogee_pixels import expand, grid_pixels
from specxfer.io._collect import Reading, refused
from specxfer.io._errors import ReadError, damage_is_a_refusal
from specxfer.io._files import integer, number, text
from specxfer.io._fits import first_bytes
from specxfer.io._galah import Group, assemble
from specxfer.io._galah_files import CCD, ccd_of, snr_of

__all__ = ["FORMATS", "open_hdf5", "read_apogee_block", "read_galah_block", "table_of"]

FORMATS = {"apogee": "APOGEE HDF5", "galah": "GALAH HDF5"}
SPECTRA = {  # the datasets of a spectrum, n_rows x n_pixels
    "apogee": tuple(
        f"spectrum_{name}"
        for name in ("lambda", "pseudo_continuum_flux", "pseudo_continuum_ivar", "mask")
    ),
    "galah": ("spectrum_norm_lambda", "spectrum_norm_flux", "spectrum_norm_ivar"),
}
BANDS = "BGRI"
FEW_PIXELS = 512  # every so many pixels are enough for a velocity, or to know a grid
UNEVEN = 0.02  # pixels by which a wavelength, in single precision, may be off its line
OFF_GRID = 0.2  # the same, of APOGEE, whose exponents were in single precision
FEWEST_PIXELS = 16  # a CCD with less is none
WIDEST = 1024  # bytes of one value


def h5py():
    """The module, or what to install."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "MultimodalUniverse files are HDF5, which needs h5py: "
            "pip install 'specxfer[catalog]', or h5py."
        ) from error
    return h5py


@contextmanager
def open_hdf5(path):
    """The `h5py.File` of a path, for reading: every error is a `ReadError`."""
    module = h5py()
    start = first_bytes(path)
    if not start.startswith(b"\x89HDF\r\n\x1a\n"):
        raise ReadError(path, f"it is no HDF5 file (it begins with {start!r})")
    try:
        with damage_is_a_refusal(path), module.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, MemoryError) as error:
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise ReadError(path, f"it is damaged or truncated ({detail})") from error


def table_of(path, file, survey):
    """Names of the datasets in lower case -> themselves, and the number of rows.

    Checks that those of a spectrum are there, and that all have as many rows.
    """
    h5 = h5py()
    found = {
        n.lower(): d
        for n, d in file.items()
        if isinstance(d, h5.Dataset)
        # a damaged type can be gigabytes wide, and libhdf5 can search for texts of
        # variable length, which the builder does not write, for ever
        and d.dtype.kind in "biufS"
        and d.dtype.itemsize <= WIDEST
    }
    seen = next((s for s, names in SPECTRA.items() if names[1] in found), None)
    if seen != survey:
        what = f"spectra of {seen.upper()}" if seen else f"{', '.join([*found][:6])}"
        raise ReadError(
            path,
            f"it holds {what or 'nothing'}; expected the spectra of {survey.upper()}, "
            f"in {SPECTRA[survey][1]}",
            FORMATS.get(seen, "HDF5"),
        )
    lacks = [n for n in (*SPECTRA[survey], "object_id") if n not in found]
    if lacks:
        raise ReadError(path, f"it has no {' and no '.join(lacks)}", FORMATS[survey])
    shapes = {name: found[name].shape for name in SPECTRA[survey]}
    shape = shapes[SPECTRA[survey][1]]
    if len(set(shapes.values())) > 1 or len(shape) != 2:
        raise ReadError(
            path,
            f"its spectra have shapes {shapes}; expected the same, rows by pixels",
            FORMATS[survey],
        )
    short = [n for n, d in found.items() if d.shape[:1] != shape[:1]]
    if "object_id" in short:
        raise ReadError(
            path,
            f"{shape[0]} spectra, but object_id has shape {found['object_id'].shape}",
            FORMATS[survey],
        )
    for name in short:
        del found[name]
    return found, shape[0]


def rows_of(found, names, rows):
    """One dict a row of the columns wanted, as far as they are there."""
    names = {*names, *(n for n in found if "_ind_" in n)}
    columns = {n: found[n][rows] for n in names if n in found and found[n].ndim == 1}
    return [
        {name: values[i] for name, values in columns.items()}
        for i in range(rows.stop - rows.start)
    ]


def numbers(path, found, name, rows, every=1):
    """A dataset of the spectra as float64."""
    dataset = found[name]
    if dataset.dtype.kind not in "fiu":
        raise ReadError(
            path, f"{name} has type {dataset.dtype}; expected numbers", "HDF5"
        )
    return dataset[rows, ::every].astype(np.float64)


def error_of(ivar):
    """1σ errors, NaN where the inverse variance is none (0 and infinity are)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((ivar > 0) & np.isfinite(ivar), 1 / np.sqrt(ivar), np.nan)


# -------------------------------------------------------------------------- APOGEE
APOGEE_COLUMNS = {  # of meta: those of the files that hold it, the first first
    "snr": ("snr",),
    "rv_com": ("radial_velocity", "vhelio_avg"),
    "rv_scatter": ("vscatter",),
    "teff": ("teff",),
    "logg": ("logg",),
    "fe_h": ("fe_h", "m_h"),
    "alpha_fe": ("alpha_m",),
    "ra": ("ra",),
    "dec": ("dec",),
}
APOGEE_COUNTS = {
    "n_visits": "nvisits",
    "starflag": "starflag",
    "aspcapflag": "aspcapflag",
}


def read_apogee_block(path, found, rows, columns, use_mask, rules):
    """The `Reading`s of some rows."""
    _, flux_name, ivar_name, mask_name = SPECTRA["apogee"]
    try:
        index, on_chip = grid_pixels(found[flux_name].shape[1])
    except ValueError as error:
        raise ReadError(path, str(error), FORMATS["apogee"]) from None
    log_wave = np.log10(apogee_wave()[index][::FEW_PIXELS])
    wave = numbers(path, found, "spectrum_lambda", rows, FEW_PIXELS)
    with np.errstate(divide="ignore", invalid="ignore"):
        on_grid = (np.abs(np.log10(wave) - log_wave) < OFF_GRID * 6e-6).all(axis=1)
    flux = numbers(path, found, flux_name, rows)
    error = error_of(numbers(path, found, ivar_name, rows))
    good = np.ones(flux.shape, bool)
    if use_mask:
        good = found[mask_name][rows] == 0
    wanted = {n for names in APOGEE_COLUMNS.values() for n in names}
    wanted |= {"object_id", "telescope", *APOGEE_COUNTS.values(), *columns}
    readings = []
    for i, row in enumerate(rows_of(found, wanted, rows)):
        star = text(row, "object_id")
        if not on_grid[i]:
            reason = f"row {rows.start + i}: its wavelengths are not those of APOGEE"
            error_ = ReadError(path, reason, FORMATS["apogee"])
            readings.append(refused(error_, id=star))
            continue
        reading = Reading(path, star, FORMATS["apogee"])
        reading.flux, reading.ivar = expand(
            flux[i], error[i], good[i], (index, on_chip), **rules
        )
        if not reading.ivar.any():
            reason = f"row {rows.start + i}: it has no good pixel"
            readings.append(refused(ReadError(path, reason, FORMATS["apogee"]), star))
            continue
        reading.meta = {
            **{name: row.get(name) for name in columns},
            **{name: _first(row, of) for name, of in APOGEE_COLUMNS.items()},
            **{name: integer(row, of) for name, of in APOGEE_COUNTS.items()},
            "apogee_id": star,
            "survey": "APOGEE",
            "release": "DR17",
            "telescope": text(row, "telescope"),
            "normalised_by": "survey",
        }
        readings.append(reading)
    return readings


def _first(row, names):
    values = [number(row, name) for name in names]
    return next((v for v in values if np.isfinite(v)), np.nan)


# --------------------------------------------------------------------------- GALAH
GALAH_NUMBERS = {  # of meta: of the files
    "rv_error": "e_rv",
    "teff": "teff",
    "logg": "logg",
    "fe_h": "fe_h",
    "alpha_fe": "alpha_fe",
    "vbroad": "vbroad",
    "ra": "ra",
    "dec": "dec",
}
GALAH_SNR = tuple(f"snr_c{ccd}_iraf" for ccd in (1, 2, 3, 4))


def read_galah_block(path, found, rows, columns, pixels_off, edges, rules):
    """The `Reading`s of some rows."""
    own, flux, ivar = (numbers(path, found, n, rows) for n in SPECTRA["galah"])
    error = error_of(ivar)
    velocity = np.full(len(own), np.nan)
    if "spectrum_lambda" in found:
        observed = numbers(path, found, "spectrum_lambda", rows, FEW_PIXELS)
        velocity = _velocity(observed, own[:, ::FEW_PIXELS])
    wanted = {*GALAH_NUMBERS.values(), *GALAH_SNR, "flag_sp", "object_id", *columns}
    readings = []
    for i, row in enumerate(rows_of(found, wanted, rows)):
        star = _sobject_id(row)
        try:
            ccds = {}
            for ccd in _ccds(path, row, own[i], flux[i], error[i], pixels_off):
                ccd.velocity = velocity[i]
                ccd.labels = {"translated": 0}
                ccds[ccd.number] = ccd
            reading = assemble(Group(star, [(path, None)]), ccds, edges, rules)
        except ReadError as failure:
            reason = f"row {rows.start + i}: {failure.reason}"
            readings.append(refused(ReadError(path, reason, FORMATS["galah"]), id=star))
            continue
        reading.meta |= {name: row.get(name) for name in columns}
        reading.meta |= {n: number(row, of) for n, of in GALAH_NUMBERS.items()}
        reading.meta |= {"release": "DR3", "flag_sp": integer(row, "flag_sp")}
        snr = [number(row, name) for name in GALAH_SNR]
        if np.isfinite(snr).any():
            reading.meta |= {"snr_ccd": snr, "snr": float(np.nanmedian(snr))}
        readings.append(reading)
    return readings


def _sobject_id(row):
    value = row["object_id"]
    if np.asarray(value).dtype.kind in "iu":
        return str(int(np.ravel(value)[0]))
    return text(row, "object_id")


def _velocity(observed, rest):
    """What was removed (km/s), for each row, by the two wavelengths of a pixel."""
    both = (observed > 0) & (rest > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(both, observed / rest - 1, np.nan) * SPEED_OF_LIGHT
    out = np.full(len(shift), np.nan)
    known = both.any(axis=1)
    out[known] = np.nanmedian(shift[known], axis=1)
    return out


def _ccds(path, row, wave, flux, error, pixels_off):
    """The CCDs of one row, from the first to the last pixel that it names for each."""
    ccds = []
    for band in BANDS:
        first = integer(row, f"spectrum_{band}_ind_start".lower())
        last = integer(row, f"spectrum_{band}_ind_end".lower())
        if first < 0 or last - first + 1 < FEWEST_PIXELS:
            continue
        on = slice(first, last + 1)  # the builder's end is a pixel of the CCD
        if last >= wave.size or not (wave[on] > 0).all():
            raise ReadError(
                path,
                f"pixels {first} to {last} of its band {band} are not all there",
            )
        own = _straight(path, wave[on], band, pixels_off)
        good = np.isfinite(error[on])
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.abs(error[on] / flux[on])
        ccds.append(
            CCD(
                number=ccd_of(path, own, FORMATS["galah"]),
                format=FORMATS["galah"],
                wave=own,
                flux=flux[on],
                error=error[on],
                good=good,
                velocity=np.nan,
                observed=False,
                resolution=np.nan,
                boxiness=np.nan,
                snr=snr_of(relative, np.isfinite(relative)),
                labels={},
            )
        )
    return ccds


def _straight(path, wave, band, pixels_off):
    """The wavelengths that were meant: a straight line, `pixels_off` pixels bluer.

    They were linear, and then rounded to single precision (0.01 km/s or so).
    """
    pixel = np.arange(wave.size)
    step, start = np.polyfit(pixel - pixel.mean(), wave, 1)
    line = start + step * (pixel - pixel.mean())
    if not step > 0 or np.abs(wave - line).max() > UNEVEN * step:
        raise ReadError(
            path, f"the wavelengths of its band {band} are not evenly spaced"
        )
    return line - pixels_off * step
