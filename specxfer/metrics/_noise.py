"""Is the stated noise right?"""

from math import comb
from typing import NamedTuple

import numpy as np

from specxfer._stars import star_codes
from specxfer.spectra import as_spectra

__all__ = ["NoiseScale", "noise_scale"]

_TO_SIGMA = 1.4826  # median absolute deviation to standard deviation
_ORDER = 8  # of the differences
_KERNEL = [(-1) ** k * comb(_ORDER, k) for k in range(_ORDER + 1)]
_LOWERED = 2 * _ORDER / (_ORDER + 1)
_FEWEST_PIXELS = 30


class NoiseScale(NamedTuple):
    """True noise over stated noise, measured in two ways; 1 where σ is right.

    Attributes
    ----------
    pixels : float
        From pixels near one another; the median over spectra.
    repeats : float
        From repeated spectra of the same star; the median over pairs. NaN without.
    correlation : float
        Of the noise of neighbouring pixels: about 0 on the detector's own pixels,
        up to 0.6 after resampling.
    per_spectrum : ndarray of shape (n,)
        `pixels` of each spectrum, NaN for those not looked at.
    n_pairs : int
        Pairs of repeats compared.
    """

    pixels: float
    repeats: float
    correlation: float
    per_spectrum: np.ndarray
    n_pairs: int


def noise_scale(spectra, *, max_spectra=500):
    """By how much the true noise exceeds the stated σ = ivar^−½.

    Every noise-corrected error subtracts σ², and is as wrong as σ is. Two estimates
    test it, both robust against lines and outliers:

    - *repeats*: the difference of two spectra of one star over its stated σ;
    - *pixels*: the eighth difference of every other pixel, over its stated σ. It
      passes what oscillates with a period of four pixels, which is noise where lines
      are wider; and every other pixel, because resampling makes neighbours share
      noise. From direct neighbours it then comes out smaller, by an amount that
      tells their correlation.

    Parameters
    ----------
    spectra : Spectra
        With ivar; `ids` name the repeats.
    max_spectra : int, default=500
        Look at so many spectra (and pairs) at most, evenly spread over the rows.

    Returns
    -------
    NoiseScale
        Multiply σ by it (divide ivar by its square) to correct the noise.

    Raises
    ------
    ValueError
        If the noise is unknown, or no spectrum has enough pixels to tell.

    Notes
    -----
    The two fail differently. Repeats count whatever differs between exposures:
    continuum, velocity, resolution. Pixels miss noise shared over three pixels or
    more, and take crowded sharp lines for noise: trust them below a S/N of about
    100. The correlation takes pixels two apart to be independent.

    References
    ----------
    Stoehr, F. et al. 2008, ASP Conference Series 394, 505 (noise from differences of
    every other pixel).

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.metrics import noise_scale
    >>> rng = np.random.default_rng(0)
    >>> flux = 1 + 0.015 * rng.standard_normal((20, 2000))
    >>> X = Spectra(flux, np.full(flux.shape, 0.01**-2), wave=np.arange(2000) + 5000.0,
    ...             medium="air", ids=np.arange(20) // 2)
    >>> scale = noise_scale(X)
    >>> round(scale.pixels, 1), round(scale.repeats, 1)
    (1.5, 1.5)
    """
    spectra = as_spectra(spectra, name="spectra")
    if not spectra.has_noise:
        raise ValueError("spectra have no ivar: there is no stated noise to test.")
    rows = _evenly(np.arange(len(spectra)), max_spectra)
    per_spectrum, neighbours = np.full((2, len(spectra)), np.nan)
    chip = spectra.chip
    for row in rows:
        one = spectra[row].load()
        per_spectrum[row] = _from_pixels(one.flux[0], one.ivar[0], chip, lag=2)
        neighbours[row] = _from_pixels(one.flux[0], one.ivar[0], chip, lag=1)
    if not np.isfinite(per_spectrum).any():
        raise ValueError(
            f"no spectrum has {_FEWEST_PIXELS} stretches of unmasked pixels: "
            "too few to measure noise."
        )
    pairs = _evenly(_repeats(spectra), max_spectra)
    repeats = [_from_pair(spectra[pair].load()) for pair in pairs]
    repeats = [scale for scale in repeats if np.isfinite(scale)]
    # ρ between neighbours makes the variance of the difference 1 − _LOWERED ρ
    noisy = per_spectrum > 0
    lowered = 1 - (neighbours[noisy] / per_spectrum[noisy]) ** 2
    return NoiseScale(
        float(np.nanmedian(per_spectrum)),
        float(np.median(repeats)) if repeats else np.nan,
        float(np.median(lowered) / _LOWERED) if noisy.any() else np.nan,
        per_spectrum,
        len(repeats),
    )


def _from_pixels(flux, ivar, chip, lag):
    good = np.isfinite(flux) & (ivar > 0)
    variance = np.divide(1.0, ivar, where=good, out=np.zeros(len(ivar)))
    size = max(0, len(flux) - _ORDER * lag)
    whole = chip[len(chip) - size :] == chip[:size]
    rough, stated = np.zeros((2, len(whole)))
    for k, factor in enumerate(_KERNEL):
        shifted = slice(k * lag, k * lag + size)
        whole &= good[shifted]
        rough += factor * flux[shifted]
        stated += factor**2 * variance[shifted]
    if whole.sum() < _FEWEST_PIXELS:
        return np.nan
    return _scatter(rough[whole] / np.sqrt(stated[whole]))


def _from_pair(pair):
    good = pair.valid().all(axis=0)
    if good.sum() < _FEWEST_PIXELS:
        return np.nan
    first, second = pair.flux[:, good].astype(float)
    stated = (1.0 / pair.ivar[:, good].astype(float)).sum(axis=0)
    return _scatter((first - second) / np.sqrt(stated))


def _scatter(z):
    return _TO_SIGMA * np.median(np.abs(z))


def _repeats(spectra):
    """Pairs of rows of one star: its first and second spectrum, third and fourth …"""
    if spectra.ids is None:
        return np.empty((0, 2), dtype=int)
    stars = star_codes(spectra)
    order = np.argsort(stars, kind="stable")
    stars = stars[order]
    first_of_star = np.r_[0, np.flatnonzero(np.diff(stars)) + 1]
    rank = np.arange(len(stars)) - np.repeat(
        first_of_star, np.diff(np.r_[first_of_star, len(stars)])
    )
    first = np.flatnonzero((rank[:-1] % 2 == 0) & (stars[:-1] == stars[1:]))
    return np.stack([order[first], order[first + 1]], axis=1)


def _evenly(items, most):
    if len(items) <= most:
        return items
    return items[np.linspace(0, len(items) - 1, most).astype(int)]
