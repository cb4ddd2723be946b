"""The pixels of APOGEE: which are on a chip, which are bad."""

import numpy as np

from specxfer._grids import APOGEE_PIXELS, apogee_chip, apogee_chips, apogee_wave
from specxfer.continuum import fit_continuum
from specxfer.io._collect import ABSURD, TINY, mask_pixels

__all__ = [
    "BAD_BITS",
    "SKY_BIT",
    "expand",
    "good_pixels",
    "grid_pixels",
    "measured",
    "normalise",
    "on_chips",
    "typical",
]

BAD_BITS = sum(1 << bit for bit in (*range(8), 14))  # of APOGEE_PIXMASK
SKY_BIT = 1 << 12  # SIG_SKYLINE
SHORT_FORMS = {
    sum(stop - start for start, stop in apogee_chips(release)): release
    for release in ("DR12", "DR17")
}


def grid_pixels(n_pixels, release=None):
    """Which pixels of the 8575 the columns are, and which of them are on a chip."""
    if n_pixels == APOGEE_PIXELS:
        chips = apogee_chips(release or "DR17")
        return np.arange(APOGEE_PIXELS), on_chips(chips)
    if n_pixels not in SHORT_FORMS:
        raise ValueError(
            f"{n_pixels} pixels; expected 7514 (the chips of DR13 to DR17), 7214 (DR11 "
            f"and DR12) or {APOGEE_PIXELS} (the whole grid)."
        )
    chips = apogee_chips(SHORT_FORMS[n_pixels])
    if release is not None and apogee_chips(release) != chips:
        wanted = sum(stop - start for start, stop in apogee_chips(release))
        raise ValueError(f"{n_pixels} pixels, but {release} has {wanted} on its chips.")
    return np.flatnonzero(on_chips(chips)), True


def on_chips(chips):
    """Which of the 8575 pixels are on a chip, bool."""
    on = np.zeros(APOGEE_PIXELS, bool)
    for start, stop in chips:
        on[start:stop] = True
    return on


def good_pixels(mask, shape, bad_bits=BAD_BITS):
    """Good pixels by a mask of APOGEE bits, or of bad pixels."""
    if mask is None:
        return np.ones(shape, bool)
    mask = np.atleast_2d(np.asarray(mask))
    if mask.shape != shape:
        raise ValueError(f"mask has shape {mask.shape}, flux has {shape}.")
    if mask.dtype == bool:
        return ~mask
    if mask.dtype.kind not in "iu":
        raise ValueError(f"mask has dtype {mask.dtype}; expected integers or bool.")
    return mask.astype(np.int64) & bad_bits == 0


def typical(flux, known):
    """Median size of the pixels known, of each row, (..., 1); 0 where there is none."""
    if flux.ndim == 1:
        return np.array([np.median(np.abs(flux[known])) if known.any() else 0.0])
    return np.array([typical(f, k) for f, k in zip(flux, known, strict=True)])


def measured(flux, error):
    """Pixels that hold a measurement, in any unit: no padding, nor what damage left."""
    with np.errstate(all="ignore"):
        size = np.abs(flux)
        known = np.isfinite(size) & (size > 0)
        level = typical(flux, known)
        known &= (size > TINY * level) & (size < ABSURD * level)
        return known & (error > TINY * level) & (error < ABSURD * level)


def normalise(flux, error, good):
    """Divide spectra by their pseudo-continuum, a polynomial for each chip.

    Parameters
    ----------
    flux, error : ndarray of float64 of shape (n_spectra, 8575)
        In any unit.
    good : ndarray of bool of shape (n_spectra, 8575)
        Pixels that may enter the continuum; none in a gap does.

    Returns
    -------
    flux, error : ndarray of float64
        Continuum units; NaN where the continuum is unknown.
    good : ndarray of bool
    """
    good = good & on_chips(apogee_chips()) & measured(flux, error)
    with np.errstate(all="ignore"):
        continuum = fit_continuum(
            np.where(good, flux, np.nan),
            np.where(good, 1 / np.square(error), 0),
            wave=apogee_wave(),
            chip=apogee_chip(),
        )
        continuum = np.where(continuum > 0, continuum, np.nan)
        return flux / continuum, error / continuum, good


def expand(flux, error, good, pixels, *, error_floor, max_error, max_flux):
    """One spectrum on the 8575 pixels, bad ones NaN and weightless."""
    index, on_chip = pixels
    good = good & on_chip
    error = np.where(error > TINY, error, np.nan)  # 0 is no floor's business
    flux, ivar = mask_pixels(
        flux, np.maximum(error, error_floor), good, max_error, max_flux
    )
    out = np.full((2, APOGEE_PIXELS), np.nan, np.float32)
    out[1] = 0
    out[:, index] = flux, ivar
    return out
