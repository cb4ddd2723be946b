"""Read the fit product of GALAH DR4: one table with the spectrum of all CCDs."""

import numpy as np

from specxfer._grids import GALAH_CCDS, SPEED_OF_LIGHT, galah_chip
from specxfer.io._errors import ReadError

__all__ = ["table_of_fit"]

FEWEST_PIXELS = 16  # a CCD with less is none
UNEVEN = 0.01  # pixels by which a wavelength may be off its straight line
FASTEST_FIT = 1_000.0  # km/s; no star of the survey is as fast


def table_of_fit(path, table):
    """Wavelengths, flux, error of each CCD in the table, and chi² of the model.

    Returns
    -------
    ccds : list of (number, wave, flux, error)
        float64, in air and at rest.
    chi2 : float
        Reduced chi² of the survey's model over the pixels it was fitted to.
    """
    format = "GALAH DR4 fit"
    data = table.columns
    wave, flux, error = (_column(path, data, name) for name in ("wave", "sob", "uob"))
    if wave.size < FEWEST_PIXELS or not (np.diff(wave) > 0).all():
        raise ReadError(path, "its wavelengths do not increase: it is damaged", format)
    chip = galah_chip(wave)
    ccds = []
    for ccd in range(1, 5):
        on = slice(*np.searchsorted(chip, [ccd - 1, ccd]))
        if wave[on].size >= FEWEST_PIXELS:
            _check_even(path, wave[on], ccd)
            ccds.append((ccd, wave[on], flux[on], error[on]))
    if not ccds:
        raise ReadError(path, f"it has only {wave.size} pixels", format)
    _check_velocity(path, ccds)
    return ccds, _chi2(data, flux, error)


def _column(path, data, name):
    values = data[name]
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise ReadError(
            path,
            f"its column {name} has shape {values.shape} and type {values.dtype}; "
            "expected one number a row",
            "GALAH DR4 fit",
        )
    return values.astype(np.float64)


def _check_even(path, wave, ccd):
    """The detector's pixels are evenly spaced, so a damaged wavelength shows."""
    line = np.linspace(wave[0], wave[-1], wave.size)
    if np.abs(wave - line).max() > UNEVEN * (line[1] - line[0]):
        raise ReadError(
            path,
            f"its wavelengths on CCD {ccd} are not evenly spaced: it is damaged",
            "GALAH DR4 fit",
        )


def _check_velocity(path, ccds):
    """The file does not say what velocity was removed, but its last pixels do.

    A star at rest ends where the CCD does, to ±2 Å. One that ends 40 Å earlier was
    shifted by a velocity that no star has: the fit failed and its lines are not where
    its wavelengths say.
    """
    ends = [GALAH_CCDS[ccd - 1][1] / wave[-1] - 1 for ccd, wave, *_ in ccds]
    velocity = float(np.median(ends)) * SPEED_OF_LIGHT
    if abs(velocity) > FASTEST_FIT:
        raise ReadError(
            path,
            f"a velocity of about {velocity:.0f} km/s was removed from its wavelengths "
            f"(beyond ±{FASTEST_FIT:.0f} the survey's fit has failed): it is not at "
            "rest. Give the four CCD files of the spectrum, with a better RVCOM",
            "GALAH DR4 fit",
        )


def _chi2(data, flux, error):
    if not {"smod", "mob"} <= set(data):
        return np.nan
    used = (data["mob"] == b"T") & (error > 0)
    residual = (flux - np.asarray(data["smod"], np.float64))[used] / error[used]
    return float(np.mean(np.square(residual))) if used.any() else np.nan
