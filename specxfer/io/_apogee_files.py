"""Read one APOGEE file that is normalised: aspcapStar, or an npz archive of pixels."""

import os
import re

import numpy as np

from specxfer._grids import APOGEE_R
from specxfer.io._apogee_pixels import good_pixels, grid_pixels
from specxfer.io._collect import Reading
from specxfer.io._errors import ReadError
from specxfer.io._files import integer, number, text
from specxfer.io._fits import first_row, shape_of

__all__ = [
    "check_grid",
    "id_in",
    "origin",
    "read_aspcapstar",
    "read_npz",
    "star_name",
]

RELEASES = {"r3": "DR10", "r5": "DR12", "r6": "DR13", "r8": "DR14", "r12": "DR16"}

COLUMNS = (
    *("FILE", "APOGEE_ID", "SNR", "VHELIO", "VHELIO_AVG", "VHBARY", "VSCATTER"),
    *("STARFLAG", "ASPCAPFLAG", "PARAM"),
    *("TEFF", "LOGG", "M_H", "FE_H", "ALPHA_M"),
)

PARAM = {"TEFF": 0, "LOGG": 1, "M_H": 3, "ALPHA_M": 6}  # places in its column PARAM

NPZ_NAMES = {
    "flux": ("normalized_flux", "pseudo_continuum_flux", "flux"),
    "error": ("normalized_error", "error", "flux_err", "sigma"),
    "ivar": ("inverse_variance", "pseudo_continuum_ivar", "ivar"),
    "mask": ("pixel_or_mask", "pixmask", "mask"),
    "good": ("good_pixel_mask", "good"),
}


def read_aspcapstar(path, parts):
    """An aspcapStar file: its `Reading`, and (flux, error, good) of its pixels."""
    format = "aspcapStar"
    shapes = [shape_of(part) for part in parts[1:3]]
    if len(set(shapes)) != 1 or len(shapes) != 2:
        raise ReadError(path, f"flux and error have shapes {shapes}", format)
    check_grid(path, parts[1].header, format)
    flux = np.asarray(parts[1].data, np.float64)
    error = np.asarray(parts[2].data, np.float64)
    table = first_row(parts[4], COLUMNS) if len(parts) > 4 else {}
    header = parts[0].header
    star = star_name(path, text(header, "OBJ") or text(table, "APOGEE_ID"))
    meta = {
        "apogee_id": star,
        **_parameters(header, table),
        **origin(path, text(table, "FILE")),
        "row": "combined",
        "normalised_by": "survey",
    }
    reading = Reading(path, star, format, meta=meta, resolution=np.full(3, APOGEE_R))
    if len(table) == 0:
        reading.status, reading.reason = "partial", "it has no table of parameters"
    return [reading], (flux[None], error[None], np.ones((1, flux.size), bool))


def check_grid(path, header, format, keys=("CRVAL1", "CDELT1")):
    """Refuse a header whose wavelengths are not those of the common grid."""
    start, step = (number(header, key) for key in keys)
    if abs(start - 4.179) > 1e-7 or abs(step - 6e-6) > 1e-11:  # False where unknown
        raise ReadError(
            path,
            f"log10 of its wavelengths is {start} + {step} i; expected 4.179 + 6e-06 i",
            format,
        )


def _parameters(header, table):
    """What an aspcapStar says of the star; only what is calibrated."""

    param = np.ravel(table.get("PARAM", ()))  # up to DR14
    stored = {name: param[i] for name, i in PARAM.items() if i < param.size}

    def first(*names):
        parts = (header, table, stored)
        values = [number(part, name) for name in names for part in parts]
        return next((v for v in values if np.isfinite(v)), np.nan)

    return {
        "snr": first("SNR"),
        "rv_com": first("VHELIO_AVG", "VHELIO", "VHBARY"),
        "rv_scatter": first("VSCATTER"),
        "n_visits": integer(header, "NVISITS"),
        "starflag": integer(table, "STARFLAG"),
        "aspcapflag": integer(table, "ASPCAPFLAG"),
        "teff": first("TEFF"),
        "logg": first("LOGG"),
        "fe_h": first("FE_H", "M_H"),
        "alpha_fe": first("ALPHA_M"),
    }


def origin(path, file):
    """Survey and release: the latter from the name of the file that was combined."""
    found = re.search(r"-(?:(r\d+)|(dr\d+))-", f"{file} {os.path.basename(path)}")
    release = RELEASES.get(found[1]) or found[2] if found else ""
    return {"survey": "APOGEE", "release": (release or "").upper()}


def star_name(path, said):
    """What the file says of the star's name, else what its own name does."""
    return said or id_in(os.path.basename(path)) or os.path.basename(path)


def id_in(name):
    """The APOGEE id in a file name, or ""."""
    found = re.search(r"(?:2M|AP)\d{8}[+-]\d{7}", name)
    return found[0] if found else ""


def read_npz(path):
    """An npz archive of one spectrum: `Reading`, and (flux, error, good)."""
    format = "APOGEE pixels"
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            names = {
                what: next((n for n in choices if n in archive.files), None)
                for what, choices in NPZ_NAMES.items()
            }
            if names["flux"] is None or not (names["error"] or names["ivar"]):
                raise ReadError(
                    path,
                    f"an npz archive of {', '.join(archive.files[:8]) or 'nothing'}; "
                    "expected normalized_flux, and normalized_error or "
                    "inverse_variance",
                    "npz",
                )
            arrays = {k: np.squeeze(archive[n]) for k, n in names.items() if n}
            star = next(
                (str(archive[n]) for n in ("apogee_id", "id") if n in archive.files), ""
            )
    except ReadError:
        raise
    except Exception as error:  # numpy and zipfile raise a dozen kinds, MemoryError too
        raise ReadError(path, f"a damaged npz archive ({error})", "npz") from error
    pixels = _pixels_of(path, arrays, format)
    stem = os.path.splitext(os.path.basename(path))[0]
    star = star or id_in(stem) or stem
    meta = {"apogee_id": star, "survey": "APOGEE", "row": "combined"}
    meta["normalised_by"] = "survey"
    reading = Reading(path, star, format, meta=meta, resolution=np.full(3, APOGEE_R))
    return [reading], [array[None] for array in pixels]


def _pixels_of(path, arrays, format):
    """Flux, error and good pixels of the arrays of an npz archive."""
    flux = arrays["flux"]
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1 or flux.ndim != 1:
        raise ReadError(
            path,
            f"its arrays have shapes {sorted(shapes)}; expected one spectrum. Give "
            "arrays of many to apogee_from_pixels",
            format,
        )
    if any(a.dtype.kind not in "fiub" for a in arrays.values()):
        raise ReadError(path, "its arrays are no real numbers", format)
    try:
        grid_pixels(flux.size)
        # the bits are the survey's; the good pixels are somebody's reading of them
        good = good_pixels(arrays.get("mask"), (1, flux.size))[0]
    except ValueError as error:
        raise ReadError(path, str(error), format) from None
    if "mask" not in arrays and "good" in arrays:
        good = arrays["good"].astype(bool)
    if "error" in arrays:
        error = arrays["error"].astype(np.float64)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            error = 1 / np.sqrt(arrays["ivar"].astype(np.float64))
    return flux.astype(np.float64), error, good
