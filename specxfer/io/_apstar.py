"""Read one apStar file: the combined spectra of a star, and its visits."""

import re

import numpy as np

from specxfer._grids import APOGEE_CHIPS, APOGEE_R
from specxfer.io._apogee_files import check_grid, origin, star_name
from specxfer.io._apogee_lsf import resolving_power
from specxfer.io._apogee_pixels import BAD_BITS, SKY_BIT, good_pixels, measured, typical
from specxfer.io._collect import Reading
from specxfer.io._errors import ReadError
from specxfer.io._files import integer, number, text
from specxfer.io._fits import shape_of

__all__ = ["read_apstar"]

ROWS = {  # of the arrays of a star with several visits
    "combined": slice(0, 1),
    "global": slice(1, 2),
    "visits": slice(2, None),
    "all": slice(0, None),
}
BAD_ERROR = 1e9  # the survey writes 1e10
SKY_SHARE = 0.3  # of a combined pixel's weight: more from visits with a sky line is bad
LOG_STEP = 6e-6 * np.log(10)  # in ln λ, of the common grid


def read_apstar(path, parts, rows):
    """The rows of an apStar file: their `Reading`s, and (flux, error, good)."""
    format = "apStar"
    shapes = [shape_of(part) for part in parts[1:4]]
    if len(set(shapes)) != 1 or len(shapes) != 3:
        raise ReadError(path, f"flux, error and mask have shapes {shapes}", format)
    for part in parts[1:4]:
        check_grid(path, part.header, format)
    header = parts[0].header
    n_rows = shapes[0][0] if len(shapes[0]) > 1 else 1
    n_visits = integer(header, "NVISITS")
    n_visits = n_visits if n_visits > 0 else max(n_rows - 2, 1)
    # of one visit there is one row, or one and rows of zeros, by release
    if len(shapes[0]) > 2 or (n_rows != n_visits + 2 and (n_visits > 1 or n_rows > 2)):
        raise ReadError(
            path,
            f"its arrays have shape {shapes[0]}, for {n_visits} visits; expected "
            f"{n_visits + 2} rows",
            format,
        )
    wanted = ROWS[rows] if n_visits > 1 else slice(0, 1)
    if n_visits > 1:
        flux, error = (np.asarray(part.data, np.float64) for part in parts[1:3])
        good = _good_rows(flux, error, parts[3].data)[wanted]
        flux, error = flux[wanted], error[wanted]
    else:
        flux, error, mask = (np.atleast_2d(part.data)[:1] for part in parts[1:4])
        flux, error = flux.astype(np.float64), error.astype(np.float64)
        good = good_pixels(mask, flux.shape, BAD_BITS | SKY_BIT)
    good &= error < BAD_ERROR
    star = star_name(path, text(header, "OBJID"))
    shared = {
        "apogee_id": star,
        **origin(path, text(header, "SFILE1")),
        "telescope": text(header, "TELESCOP"),
        "n_visits": n_visits,
        "normalised_by": "specxfer",
    }
    resolution = _resolution(parts)
    readings = []
    for row in range(n_visits + 2)[wanted]:
        if n_visits > 1 and row > 1:
            meta = {**_visit(header, row - 1), "row": "visit"}
        else:
            meta = _combination(header, n_visits)
            meta["row"] = "global" if row == 1 else "combined"
        if n_visits == 1 and rows == "visits":
            meta["row"] = "visit"
        readings.append(
            Reading(path, star, format, meta={**shared, **meta}, resolution=resolution)
        )
    return readings, (flux, error, good)


def _good_rows(flux, error, mask):
    """Good pixels of all rows: two combinations, then the visits.

    A combination leaves out the bad pixels of each visit (its error is that of the
    other visits), so its pixel is bad where that of every visit is. The mask of its
    own row does not say this: it is the OR of the visits' in some releases, which
    holds pixels that are good, and in others the AND bit by bit, which misses pixels
    that are bad for another reason in each visit. Pixels under a sky line are not left
    out, but have less weight in some releases.
    """
    shape = mask[2:].shape
    clean = good_pixels(mask[2:], shape)
    sky = clean & ~good_pixels(mask[2:], shape, SKY_BIT)
    usable = clean & measured(flux[2:], error[2:])
    with np.errstate(all="ignore"):
        level = typical(flux[2:], usable)  # visits are combined at one level
        weight = np.where(usable, np.square(level / error[2:]), 0)
        share = (weight * sky).sum(axis=0) / weight.sum(axis=0)
    combined = clean.any(axis=0) & ~(share > SKY_SHARE)
    return np.concatenate([[combined, combined], clean & ~sky])


def _combination(header, n_visits):
    meta = {
        "snr": number(header, "SNR"),
        "rv_com": _first(header, "VHELIO", "VHBARY"),
        "rv_scatter": number(header, "VSCATTER"),
        "starflag": integer(header, "STARFLAG"),
    }
    if n_visits == 1:
        visit = _visit(header, 1)
        meta |= {k: visit[k] for k in ("visit", "mjd", "plate", "fiber")}
    return meta


def _visit(header, visit):
    """What the cards of a visit, counted from 1, say of it."""
    file = re.search(r"-(\w+)-(\d{5})-(\d+)\.fits", text(header, f"SFILE{visit}"))
    date = number(header, f"JD{visit}") - 2_400_000.5
    mjd = file[2] if file else date if np.isfinite(date) else -1
    return {
        "visit": visit,
        "mjd": int(mjd),
        "plate": file[1] if file else "",
        "fiber": integer(header, f"FIBER{visit}"),
        "snr": number(header, f"SNRVIS{visit}"),
        "rv_com": _first(header, f"VHELIO{visit}", f"VHBARY{visit}"),
        "starflag": integer(header, f"FLAG{visit}"),
    }


def _first(header, *keys):
    values = [number(header, key) for key in keys]
    return next((v for v in values if np.isfinite(v)), np.nan)


def _resolution(parts):
    """R of each chip, by the line-spread function of the star; else the nominal one."""
    power = np.full(3, np.nan)
    if len(parts) > 8 and shape_of(parts[8]) == (26,):
        coefficients = parts[8].data
        power = np.array(
            [
                resolving_power(coefficients, sum(chip) / 2, LOG_STEP)
                for chip in APOGEE_CHIPS["DR17"]
            ]
        )
    return np.where(np.isnan(power), APOGEE_R, power)
