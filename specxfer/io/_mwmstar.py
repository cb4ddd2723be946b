"""Read one mwmStar file of SDSS-V: the combined spectra of a star, by telescope."""

import numpy as np

from specxfer._grids import APOGEE_PIXELS, APOGEE_R, apogee_wave
from specxfer.io._apogee_files import check_grid, id_in
from specxfer.io._apogee_pixels import BAD_BITS, SKY_BIT, good_pixels
from specxfer.io._apstar import BAD_ERROR
from specxfer.io._collect import Reading
from specxfer.io._errors import ReadError
from specxfer.io._files import identifier, integer, number, text

__all__ = ["read_mwmstar"]

PIXELS = ("flux", "ivar", "pixel_flags")
COLUMNS = (
    *(*PIXELS, "wavelength", "obj", "sdss_id", "telescope", "release"),
    *("min_mjd", "max_mjd", "n_visits", "n_good_visits", "mean_fiber"),
    *("snr", "spectrum_flags", "v_rad", "std_v_rad"),
)


def read_mwmstar(path, parts):
    """The APOGEE rows of a mwmStar file: `Reading`s, and (flux, error, good)."""
    format = "mwmStar"
    found = []
    for part in parts[3:5]:  # Apache Point, Las Campanas; those before are of BOSS
        for row in part.rows(COLUMNS) if part.is_table else ():
            found.append((row, _pixels(path, part, row, format)))
    if not found:
        raise ReadError(
            path, "it has no APOGEE spectrum, only optical ones of BOSS", format
        )
    names = _names(path, parts[0].header, [row for row, _ in found])
    readings = [
        Reading(
            path,
            names["apogee_id"],
            format,
            meta={**names, **_meta(row)},
            resolution=np.full(3, APOGEE_R),
        )
        for row, _ in found
    ]
    flux, error, good = zip(*(pixels for _, pixels in found), strict=True)
    return readings, (np.array(flux), np.array(error), np.array(good))


def _pixels(path, part, row, format):
    shapes = [np.shape(row.get(name, ())) for name in PIXELS]
    if set(shapes) != {(APOGEE_PIXELS,)}:
        raise ReadError(
            path,
            f"{', '.join(PIXELS)} have shapes {shapes}; expected {APOGEE_PIXELS} each",
            format,
        )
    if "wavelength" in row:
        wave = np.asarray(row["wavelength"], np.float64)
        if not (np.abs(wave - apogee_wave()) < 0.01).all():  # float32 rounds to 0.001
            raise ReadError(
                path, f"its wavelengths start with {wave[:3]} Å: another grid", format
            )
    if "CRVAL" in part.header or "wavelength" not in row:
        check_grid(path, part.header, format, keys=("CRVAL", "CDELT"))
    flux, ivar, flags = (np.asarray(row[name], np.float64) for name in PIXELS)
    with np.errstate(all="ignore"):
        error = 1 / np.sqrt(ivar)
        known = (flags >= 0) & (flags < 2**53)  # bits are stored as real numbers
        bits = np.where(known, flags, 0).astype(np.int64)
        good = known & (bits == flags) & (ivar > 0) & (error < BAD_ERROR)
        good &= good_pixels(bits, (1, bits.size), BAD_BITS | SKY_BIT)[0]
    return flux, error, good


def _names(path, header, rows):
    """The 2MASS designation where the file has it, else the SDSS-V number; and more."""
    names = [text(row, "obj") for row in rows] + [text(header, "APOGEEID")]
    sdss_id = identifier(header, "SDSS_ID") or identifier(rows[0], "sdss_id")
    star = next(filter(None, map(id_in, names)), "")
    if not star and not sdss_id:
        raise ReadError(path, "it names no star (obj, APOGEEID, SDSS_ID)", "mwmStar")
    return {
        "apogee_id": star or sdss_id,
        "sdss_id": int(sdss_id or -1),
        "gaia_id": identifier(header, "GAIA3_ID"),
    }


def _meta(row):
    first, last = integer(row, "min_mjd"), integer(row, "max_mjd")
    fiber = number(row, "mean_fiber")
    n_visits = integer(row, "n_good_visits")
    n_visits = n_visits if n_visits > 0 else integer(row, "n_visits")
    return {
        "survey": "APOGEE",
        "release": text(row, "release").upper(),
        "telescope": text(row, "telescope"),
        "row": "combined",
        "mjd": first if first == last else -1,
        "n_visits": n_visits,
        "fiber": int(fiber) if n_visits == 1 and np.isfinite(fiber) else -1,
        "snr": number(row, "snr"),
        "rv_com": number(row, "v_rad"),
        "rv_scatter": number(row, "std_v_rad"),
        "starflag": integer(row, "spectrum_flags"),
        "normalised_by": "specxfer",
    }
