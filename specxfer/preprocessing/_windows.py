"""From windows, in Å or in pixels, to a mask of pixels."""

import numpy as np

from specxfer.lines import window_pixels


def chosen_pixels(windows, pixels, pad, wave, medium, n_pixels):
    """Which pixels the windows and the pixel selection hold, together.

    Parameters
    ----------
    windows : Line, (lo, hi) in Å, list of these, or None
    pixels : slice, array of bool or int, or None
    pad : float
        Å by which each window grows on both sides.
    wave, medium : ndarray of shape (n_pixels,) and str, or None
    n_pixels : int

    Returns
    -------
    ndarray of bool of shape (n_pixels,)
        All True if neither windows nor pixels are given.
    """
    if windows is None and pixels is None:
        return np.ones(n_pixels, dtype=bool)
    chosen = np.zeros(n_pixels, dtype=bool)
    if windows is not None:
        chosen |= window_pixels(windows, wave, medium, pad=pad)
    if pixels is not None:
        chosen |= pixel_mask(pixels, n_pixels)
    return chosen


def pixel_mask(pixels, n_pixels):
    """The mask of a slice, a mask or pixel numbers."""
    mask = np.zeros(n_pixels, dtype=bool)
    if not isinstance(pixels, slice):
        pixels = np.asarray(pixels)
        if pixels.size and pixels.dtype.kind not in "biu":
            raise TypeError(
                f"pixels has dtype {pixels.dtype}; expected a slice, a mask, or "
                "integers. Wavelengths go into windows=."
            )
        pixels = pixels if pixels.size else pixels.astype(int)
    try:
        mask[pixels] = True
    except IndexError as error:
        raise ValueError(f"pixels do not fit {n_pixels} pixels: {error}") from None
    if not mask.any():
        raise ValueError(f"pixels={pixels!r} selects none of {n_pixels} pixels.")
    return mask
