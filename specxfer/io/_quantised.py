"""Flux and inverse variance in 16 bits a pixel, and back, at the speed of memory."""

import numpy as np

__all__ = [
    "BadCode",
    "FluxCodes",
    "IvarCodes",
    "flux_steps",
    "pack_flux",
    "pack_ivar",
    "rounding_share",
]

STEP = 2.0**-14  # continuum units: the finest step of the flux
LEVELS = 2**15  # of the flux; negative codes are NaN
COARSEST = 4 * STEP  # where the noise is unknown,
STEPS_IN_NOISE = 4  # and where it is known, a step is less than σ over this
DROPPED = 15  # lowest bits of the inverse variance as float32
TOO_LARGE = 0xFF00  # the first code of the inverse variance that is no number
PIECE = 2**16  # elements packed at a time, so that they stay in the cache


class BadCode(ValueError):
    """Codes that no spectrum has: the file they are from is damaged."""


def flux_steps(flux, ivar=None):
    """The step with which each spectrum fits into 16 bits.

    Codes 0 to 32767 stand for ``step × code − 8192 step``: −0.5 to 1.5 in steps of
    2**-14, or, where the flux goes beyond, twice or four times that, ….

    Parameters
    ----------
    flux : ndarray of float of shape (n_spectra, n_pixels)
    ivar : ndarray of shape (n_spectra, n_pixels), optional

    Returns
    -------
    ndarray of float32 of shape (n_spectra,)
        A power of two. NaN if it would have to be coarser than a quarter of the
        median noise, or, without noise, than 2**-12.
    """
    steps = np.full(len(flux), STEP, np.float32)
    for i, row in enumerate(flux):
        known = np.isfinite(row)
        if ivar is not None:
            known &= ivar[i] > 0
        low = -row.min(where=known, initial=0) / (LEVELS / 4)
        high = row.max(where=known, initial=0) / (LEVELS * 3 / 4 - 1)
        needed = max(low, high)
        if needed <= STEP:
            continue
        step = 2.0 ** np.ceil(np.log2(needed))
        coarsest = COARSEST
        if ivar is not None:
            noise = 1 / np.sqrt(np.median(ivar[i][known], overwrite_input=True))
            coarsest = noise / STEPS_IN_NOISE
        steps[i] = step if step <= coarsest else np.nan
    return steps


def rounding_share(ivar, steps):
    """The rms rounding error over the noise, of each spectrum; NaN without weight."""
    share = np.full(len(ivar), np.nan, np.float32)
    for i, row in enumerate(ivar):
        weight = row[row > 0]
        if weight.size:
            share[i] = steps[i] / np.sqrt(12) * np.sqrt(weight.mean(dtype=float))
    return share


def pack_flux(flux, steps, ivar=None):
    """Codes of the flux, int16; −1 where it is unknown or has no weight."""
    codes = np.empty(flux.shape, np.int16)
    for rows in _pieces(flux.shape):
        step = np.asarray(steps[rows], np.float32)[:, None]
        scaled = flux[rows].astype(np.float32)
        known = np.isfinite(scaled)
        if ivar is not None:
            known &= ivar[rows] > 0
        scaled += step * (LEVELS / 4)
        scaled /= step
        np.rint(scaled, out=scaled)
        scaled[~known] = -1
        codes[rows] = scaled
    return codes


def pack_ivar(ivar):
    """Codes of the inverse variance, uint16: the upper half of its float32, rounded."""
    codes = np.empty(ivar.shape, np.uint16)
    for rows in _pieces(ivar.shape):
        values = np.ascontiguousarray(ivar[rows], np.float32)
        bits = values.view(np.uint32)
        rounded = (bits + (1 << DROPPED - 1)) >> DROPPED
        np.clip(rounded, values > 0, TOO_LARGE - 1, out=codes[rows], casting="unsafe")
    return codes


def _pieces(shape):
    """Rows that fit into the cache together."""
    size = max(1, PIECE // max(1, shape[1]))
    return (slice(i, i + size) for i in range(0, shape[0], size))


class FluxCodes:
    """How flux is stored: a code times the spectrum's step, less 8192 steps.

    The code is put among the last bits of a float of which one unit is the step, so
    decoding is one subtraction, and a negative code has the bits of a NaN.

    Parameters
    ----------
    steps : ndarray of float32 of shape (n_spectra,)
        Powers of two.
    """

    stored = np.dtype("<i2")
    dtype = np.dtype("f4")
    checked = True

    def __init__(self, steps):
        steps = np.asarray(steps, np.float32)[:, None]
        if len(steps) and (steps == steps[0]).all():  # as of nearly all stores
            steps = steps[:1]
        base = steps * np.float32(2**23)
        self.bits = base.view(np.int32)
        self.offset = base + steps * np.float32(LEVELS / 4)

    def unpack(self, codes, rows, out):
        """Write the flux of the spectra of some rows to an array in C order."""
        which = slice(None) if len(self.bits) == 1 else rows
        bits = out.view(np.int32)
        bits[...] = codes
        bits |= self.bits[which]
        out -= self.offset[which]


class IvarCodes:
    """How inverse variance is stored: a float32 without its lowest 15 bits."""

    stored = np.dtype("<u2")
    dtype = np.dtype("f4")
    checked = True

    def unpack(self, codes, rows, out):
        """Write the inverse variance to an array in C order."""
        if codes.size and codes.max() >= TOO_LARGE:
            raise BadCode("an inverse variance is infinite or no number")
        bits = out.view(np.uint32)
        bits[...] = codes
        bits <<= np.uint32(DROPPED)
