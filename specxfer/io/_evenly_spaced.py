"""Resampling of detectors whose pixels are evenly spaced."""

import numpy as np

__all__ = ["resample_detectors"]

MIN_COVERAGE = 0.5 - 1e-9  # as in specxfer.resampling


def resample_detectors(detectors, new_edges):
    """The sums of `specxfer.resampling.resample` for one spectrum, four times as fast.

    On pixels that are evenly spaced no search finds those that a new pixel overlaps:
    their numbers follow from its edges.

    Parameters
    ----------
    detectors : list of (wave, flux, ivar)
        Each of shape (n_pixels,) and at least two pixels; evenly spaced, increasing;
        NaN flux, or ivar 0, where unknown.
    new_edges : tuple of two ndarray of shape (n_new,)
        Lower and upper edges of the new pixels: `specxfer.resampling.pixel_edges`.

    Returns
    -------
    flux, ivar : ndarray of float64 of shape (n_new,)
        NaN and 0 where known pixels cover less than half of a new pixel.
    """
    lower, upper = new_edges
    covered, total, variance = np.zeros((3, lower.size))
    for wave, flux, ivar in detectors:
        step = (wave[-1] - wave[0]) / (wave.size - 1)
        start = wave[0] - step / 2
        on = slice(
            np.searchsorted(upper, start),
            np.searchsorted(lower, start + wave.size * step),
        )
        # in pixels of the detector
        first = np.clip((lower[on] - start) / step, 0, wave.size)
        last = np.clip((upper[on] - start) / step, 0, wave.size)
        scale = step / (upper[on] - lower[on])
        known = np.isfinite(flux) & (ivar > 0)
        value = np.where(known, flux, 0).astype(np.float64)
        noise = np.divide(1.0, ivar, out=np.zeros(wave.size), where=known)
        pixel = first.astype(int)
        n_taps = int(np.max(np.ceil(last) - pixel, initial=0))
        for _ in range(n_taps):
            inside = np.minimum(last, pixel + 1) - np.maximum(first, pixel)
            inside = np.maximum(inside, 0) * scale  # 0 beyond the last pixel
            place = np.minimum(pixel, wave.size - 1)
            covered[on] += inside * known[place]
            total[on] += inside * value[place]
            variance[on] += inside * inside * noise[place]
            pixel += 1
    lost = covered < MIN_COVERAGE
    with np.errstate(divide="ignore", invalid="ignore"):
        flux = np.where(lost, np.nan, total / covered)
        ivar = np.where(lost, 0, covered**2 / variance)
    return flux, ivar
