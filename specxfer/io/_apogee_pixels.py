"""The pixels of APOGEE: which are on a chip, which are bad."""

import numpy as np

from specxfer._grids import APOGEE_PIXELS, apogee_chips
from specxfer.io._collect import mask_pixels

__all__ = ["expand", "good_pixels", "grid_pixels"]

BAD_BITS = sum(1 << bit for bit in (*range(8), 14))  # of APOGEE_PIXMASK
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


def good_pixels(mask, shape):
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
    return mask.astype(np.int64) & BAD_BITS == 0


def expand(flux, error, good, pixels, *, error_floor, max_error, max_flux):
    """One spectrum on the 8575 pixels, bad ones NaN and weightless."""
    index, on_chip = pixels
    good = good & (flux != 0) & (error > 0) & on_chip
    flux, ivar = mask_pixels(
        flux, np.maximum(error, error_floor), good, max_error, max_flux
    )
    out = np.full((2, APOGEE_PIXELS), np.nan, np.float32)
    out[1] = 0
    out[:, index] = flux, ivar
    return out
