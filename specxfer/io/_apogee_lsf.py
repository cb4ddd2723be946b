"""The resolving power of APOGEE from the line-spread function in its files."""

from math import factorial

import numpy as np
from numpy.polynomial.hermite_e import hermeval
from numpy.polynomial.polynomial import polyval
from scipy.special import erf

__all__ = ["resolving_power"]

PLAUSIBLE = (15_000.0, 30_000.0)  # no fibre of either instrument is outside
REACH, STEP = 14.0, 0.05  # pixels


def resolving_power(coefficients, pixel, log_step):
    """λ/FWHM of the line-spread function at a pixel; NaN where it is not plausible.

    The function is a Gauss-Hermite series, integrated over the pixel, on two wings;
    its parameters are polynomials in the pixel number *plus* an offset.

    Parameters
    ----------
    coefficients : ndarray of shape (26,)
        As in HDU8 of an apStar file or HDU10 of an apVisit file.
    pixel : float
        Counted from 0.
    log_step : float
        Step in ln λ from this pixel to the next.

    References
    ----------
    Nidever, D. L. et al. 2015, AJ 150, 173, section 5.2 (the function); HISTORY cards
    of the files (the order of the coefficients).
    """
    try:
        with np.errstate(all="ignore"):
            width = _fwhm(*_profile(np.asarray(coefficients, np.float64), pixel))
            power = 1 / (width * abs(log_step))
    except (ArithmeticError, LookupError, ValueError):  # not these coefficients
        return np.nan
    return power if PLAUSIBLE[0] < power < PLAUSIBLE[1] else np.nan


def _profile(coefficients, pixel):
    size, offset, order = coefficients[:3]
    order = int(order)
    at = pixel + offset

    def take(count, start):
        """`count` polynomial orders, then the polynomials, evaluated; what follows."""
        orders = coefficients[start : start + count].astype(int)
        stops = start + count + np.cumsum(orders + 1)
        values = [
            polyval(at, coefficients[stop - n - 1 : stop])
            for n, stop in zip(orders, stops, strict=True)
        ]
        return values, stops[-1]

    (sigma, *hermite), end = take(order + 1, 3)
    _, n_wings = coefficients[end : end + 2]
    (wing, wing_sigma), _ = take(int(n_wings), end + 2)
    edge = np.arange(-REACH, REACH + STEP / 2, STEP)
    u = edge / sigma
    terms = np.array([1 - wing, *hermite])
    terms /= np.sqrt(2 * np.pi * np.array([factorial(i) for i in range(order + 1)]))
    density = hermeval(u, terms) * np.exp(-(u**2) / 2) / sigma
    total = np.concatenate([[0], np.cumsum(density[1:] + density[:-1]) * STEP / 2])
    total += wing / 2 * erf(edge / wing_sigma / np.sqrt(2))
    half = size / 2
    centre = edge[(edge > edge[0] + half) & (edge < edge[-1] - half)]
    return centre, np.interp(centre + half, edge, total) - np.interp(
        centre - half, edge, total
    )


def _fwhm(x, y):
    peak = int(np.argmax(y))
    half = y[peak] / 2
    left = np.flatnonzero(y[:peak] < half)[-1]
    right = peak + np.flatnonzero(y[peak:] < half)[0]
    return np.interp(half, y[[right, right - 1]], x[[right, right - 1]]) - np.interp(
        half, y[[left, left + 1]], x[[left, left + 1]]
    )
