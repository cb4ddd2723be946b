"""Read one apVisit file: a visit in the observed frame, on its own pixels."""

import numpy as np

from specxfer._grids import APOGEE_R, SPEED_OF_LIGHT, apogee_wave
from specxfer.io._apogee_files import origin, star_name
from specxfer.io._apogee_lsf import resolving_power
from specxfer.io._apogee_pixels import BAD_BITS, SKY_BIT, good_pixels, measured
from specxfer.io._collect import Reading
from specxfer.io._errors import ReadError
from specxfer.io._files import integer, number, text
from specxfer.io._fits import first_row, shape_of
from specxfer.resampling import resample

__all__ = ["read_apvisit"]

FASTEST = 2_000.0  # km/s; no star is
LOWEST_PEAK = 0.2  # of the cross-correlation: below, the velocity may be any number
RANGE = (15_000.0, 17_100.0)  # Å
CARDS = ("VRAD", "BC", "VHELIO")  # velocity against the spectrograph, the Earth's,
COLUMNS = ("VREL", "BC", "VHELIO")  # and against the Sun; in the table of some releases


def read_apvisit(path, parts):
    """An apVisit file: its `Reading`, and (flux, error, good) on the common grid."""
    format = "apVisit"
    shapes = [shape_of(part) for part in parts[1:5]]
    if len(set(shapes)) != 1 or len(shapes) != 4:
        raise ReadError(
            path, f"flux, error, mask, wavelength have shapes {shapes}", format
        )
    header = parts[0].header
    table = {}
    if len(parts) > 11 and np.isnan([number(header, card) for card in CARDS]).any():
        table = first_row(parts[11], COLUMNS)  # else the header says all
    velocity, heliocentric = _velocities(path, header, table, format)
    # red to blue, each descending: turned round, all of it ascends
    wave, flux, error = (
        np.asarray(parts[i].data, np.float64)[::-1, ::-1].ravel() for i in (4, 1, 2)
    )
    mask = np.ascontiguousarray(parts[3].data[::-1, ::-1]).ravel()
    _check_wave(path, wave.reshape(3, -1), format)
    good = good_pixels(mask, (1, mask.size), BAD_BITS | SKY_BIT)[0]
    good &= measured(flux, error)
    with np.errstate(all="ignore"):
        ivar = np.where(good, 1 / np.square(error), 0)
    rest = wave / (1 + velocity / SPEED_OF_LIGHT)
    flux, ivar = resample(np.where(good, flux, np.nan), rest, apogee_wave(), ivar)
    good = ivar > 0
    with np.errstate(divide="ignore"):
        error = np.where(good, 1 / np.sqrt(ivar), 0)
    star = star_name(path, text(header, "OBJID"))
    meta = {
        "apogee_id": star,
        **origin(path, ""),
        "telescope": text(header, "TELESCOP"),
        "row": "visit",
        "n_visits": 1,
        "mjd": integer(header, "MJD5"),
        "plate": text(header, "PLATE"),
        "fiber": integer(header, "FIBERID"),
        "snr": number(header, "SNR"),
        "rv_com": heliocentric,
        "starflag": integer(header, "STARFLAG"),
        "normalised_by": "specxfer",
    }
    resolution = _resolution(parts, wave.reshape(3, -1))
    reading = Reading(path, star, format, meta=meta, resolution=resolution)
    return [reading], (flux[None], error[None], good[None])


def _velocities(path, header, table, format):
    """Velocity of the star against the spectrograph, and against the Sun, in km/s.

    One wrong digit would shift every line; cards and table say it more than once, and
    must agree. A visit's own velocity, the survey's first guess, can be wrong by
    hundreds of km/s where hardly any line was recognised.
    """
    peak = number(header, "CCPEAK")
    if peak < LOWEST_PEAK:
        raise ReadError(
            path,
            f"its velocity is no more than a guess (the peak of the cross-correlation, "
            f"CCPEAK, is {peak:.2g}; expected {LOWEST_PEAK} at least), so that it "
            'cannot be put at rest: read the visits in the apStar file (rows="visits")',
            format,
        )
    said, sun = {}, np.nan
    for part, keys in ((header, CARDS), (table, COLUMNS)):
        relative, barycentric, heliocentric = (number(part, key) for key in keys)
        where = "header" if part is header else "table"
        said[f"{keys[0]} of its {where}"] = relative
        said[f"VHELIO - BC of its {where}"] = heliocentric - barycentric
        sun = sun if np.isfinite(sun) else heliocentric
    known = {k: v for k, v in said.items() if np.isfinite(v)}
    if not known:
        raise ReadError(
            path,
            "no velocity of the star (VRAD, VREL, or VHELIO and BC) in it, so that it "
            "cannot be put at rest: give the apStar file of the star",
            format,
        )
    velocity = next(iter(known.values()))
    if max(known.values()) - min(known.values()) > 0.1 or abs(velocity) > FASTEST:
        listed = ", ".join(f"{k} {v:.6g}" for k, v in known.items())
        raise ReadError(path, f"its velocities make no sense: {listed} km/s", format)
    return velocity, sun


def _check_wave(path, wave, format):
    steps = np.diff(wave, axis=1)
    usual = np.median(steps, axis=1, keepdims=True)
    smooth = np.abs(steps - usual) < 0.5 * usual  # False where unknown
    inside = (wave > RANGE[0]) & (wave < RANGE[1])
    if not smooth.all() or not inside.all() or not (wave[1:, 0] > wave[:-1, -1]).all():
        raise ReadError(
            path,
            f"its wavelengths (HDU4, {np.nanmin(wave):.6g} to {np.nanmax(wave):.6g} "
            "Å) are not those of three chips from red to blue",
            format,
        )


def _resolution(parts, wave):
    """R of each chip, blue first, in its middle, by the file's line-spread function."""
    if len(parts) < 11 or shape_of(parts[10]) != (3, 26):
        return np.full(3, APOGEE_R)
    pixel = wave.shape[1] / 2
    middle = wave.shape[1] // 2
    steps = np.log(wave[:, middle + 1] / wave[:, middle - 1]) / 2
    power = np.array(
        [
            resolving_power(coefficients, pixel, step)
            for coefficients, step in zip(parts[10].data[::-1], steps, strict=True)
        ]
    )
    return np.where(np.isnan(power), APOGEE_R, power)
