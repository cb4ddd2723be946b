"""Line-spread functions, and the kernels that turn one into another."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import gamma

__all__ = ["BOXINESS", "Match", "lsf_transform", "match"]

BOXINESS = (1.5, 10.0)  # exponents for which the quadrature below holds
GAUSSIAN = 8 * np.log(2)  # FWHM² / σ²
_FLOOR = 0.01  # where the input line-spread function's transform is too small to trust
_EXTENT = 4.5  # FWHM to which a profile is integrated: 2e-6 of it for exponent 1.5
_HIGHEST = 60.0  # rad per FWHM; beyond, any transform is below 2e-4


@dataclass(frozen=True)
class Match:
    """Kernels from one line-spread function to another, for some pixel scales.

    Parameters
    ----------
    kernels : ndarray of shape (n_scales, 2 * reach + 1)
        Taps, which add up to 1.
    error : float
        Largest error of a matched line, in units of its depth: the integral of
        \\|wanted - had\\| over that of \\|wanted\\|, in Fourier space.
    gain : float
        Largest factor by which the amplitude of any frequency grows.
    """

    kernels: np.ndarray
    error: float
    gain: float


def lsf_transform(frequency, boxiness):
    """Fourier transform of ``exp(-ln 2 |2 x|**boxiness)``, normalised to 1 at 0.

    Parameters
    ----------
    frequency : ndarray
        Radians per FWHM.
    boxiness : float
        2 is a Gaussian.

    Returns
    -------
    ndarray, shape of `frequency`
    """
    frequency = np.abs(frequency)
    if boxiness == 2:
        return np.exp(-0.5 * frequency**2 / GAUSSIAN)
    transform = _transform(float(boxiness))(np.minimum(frequency, _HIGHEST))
    return np.where(frequency < _HIGHEST, transform, 0.0)


@lru_cache(maxsize=8)
def _transform(boxiness):
    x, weight, at, cosines = _quadrature()
    profile = weight * np.exp(-np.log(2) * (2 * x) ** boxiness)
    return CubicSpline(at, profile @ cosines / profile.sum())


@lru_cache(maxsize=1)
def _quadrature():
    x, weight = np.polynomial.legendre.leggauss(256)
    x = (x + 1) / 2 * _EXTENT
    at = np.linspace(0, _HIGHEST, 601)
    return x, weight, at, np.cos(np.outer(x, at))


def lsf_variance(boxiness):
    """Second moment of ``exp(-ln 2 |2 x|**boxiness)``, in FWHM squared."""
    b = boxiness
    return gamma(3 / b) / gamma(1 / b) / 4 / np.log(2) ** (2 / b)


def match(fwhm_in, fwhm_out, boxiness, reach):
    r"""Kernels that turn a line-spread function into a Gaussian.

    With :math:`L` the transform of the input profile and :math:`G` that of the
    Gaussian wanted, the kernel :math:`K` makes

    .. math:: \int |G - K L|^2 + \epsilon^2 |K - H|^2 \, d\omega

    smallest among kernels of so many taps, where :math:`H` is the Gaussian with the
    variance that is missing and :math:`\epsilon` = 0.01. Where :math:`L` is larger
    than that, :math:`K = G / L`; around its zeros, where a spectrum holds nothing to
    be matched, :math:`K = H`, which never amplifies. For a Gaussian profile
    :math:`K = H` everywhere.

    Parameters
    ----------
    fwhm_in, fwhm_out : ndarray of shape (n_scales,)
        FWHM of either profile in pixels; 0 for a profile far narrower than a pixel.
    boxiness : float
        Exponent of the input profile.
    reach : int
        Pixels to which a kernel extends on either side.

    Returns
    -------
    Match
    """
    boxiness = 2.0 if fwhm_in[0] == 0 else boxiness
    missing = fwhm_out**2 / GAUSSIAN - fwhm_in**2 * lsf_variance(boxiness)
    taps = _gaussians(np.maximum(missing, 0), reach)
    if boxiness == 2:
        enough = (missing >= -1e-6 * fwhm_out**2).all()  # R rounded to float32
        return Match(_two_sided(taps), 0.0 if enough else np.inf, 1.0)
    omega, cosines = _cosines(reach)
    step = np.ones(len(omega))
    step[[0, -1]] = 0.5
    cosines_step = cosines * step[:, None]
    prior = _FLOOR**2 * cosines.T @ cosines_step
    error, gain = 0.0, 0.0
    for scale, (had, wanted) in enumerate(zip(fwhm_in, fwhm_out)):
        lsf = lsf_transform(omega * had, boxiness)
        target = lsf_transform(omega * wanted, 2)
        left = target - lsf * (cosines @ taps[scale])
        normal = cosines.T @ (cosines_step * (lsf**2)[:, None]) + prior
        taps[scale] += np.linalg.solve(normal, cosines_step.T @ (lsf * left))
        response = cosines @ taps[scale]
        taps[scale] /= response[0]
        response /= response[0]
        lost = np.abs(target - response * lsf) @ step / (target @ step)
        error, gain = max(error, lost), max(gain, np.abs(response).max())
    return Match(_two_sided(taps), error, gain)


def _gaussians(variance, reach):
    """Band-limited Gaussians of some variances, the taps from 0 on."""
    offset = np.arange(reach + 1)
    frequency = 2 * np.pi * offset / (2 * reach + 1)
    response = np.exp(-0.5 * variance[:, None] * frequency**2)
    response[:, 1:] *= 2
    return response @ np.cos(np.outer(frequency, offset)) / (2 * reach + 1)


@lru_cache(maxsize=4)
def _cosines(reach):
    """Frequencies, and the response of each tap from 0 on, twice for those after."""
    omega = np.linspace(0, np.pi, 4 * reach + 1)
    cosines = np.cos(np.outer(omega, np.arange(reach + 1)))
    cosines[:, 1:] *= 2
    return omega, cosines


def _two_sided(taps):
    return np.concatenate([taps[:, :0:-1], taps], axis=1)
