"""Wavelengths in air and in vacuum."""

import numpy as np

__all__ = ["air_to_vacuum", "vacuum_to_air"]

MEDIA = ("air", "vacuum")


def vacuum_to_air(wave):
    """Wavelengths in standard air of wavelengths in vacuum.

    Parameters
    ----------
    wave : array-like
        Å, in vacuum.

    Returns
    -------
    ndarray
        Å, in dry air at 15 °C, 101 325 Pa and 450 ppm CO2.

    References
    ----------
    Ciddor, P. E. 1996, Applied Optics 35, 1566, equation 1.

    Examples
    --------
    >>> float(vacuum_to_air(6564.614)).__round__(2)  # Hα
    6562.8
    """
    wave = np.asarray(wave, dtype=float)
    return wave / _refractive_index(wave)


def air_to_vacuum(wave):
    """Wavelengths in vacuum of wavelengths in standard air.

    The exact inverse of `vacuum_to_air`, by fixed-point iteration: each step is a
    thousand times closer, so four reach the rounding of a double.

    Parameters
    ----------
    wave : array-like
        Å, in air.

    Returns
    -------
    ndarray
        Å, in vacuum.

    Examples
    --------
    >>> float(air_to_vacuum(6562.797)).__round__(2)  # Hα
    6564.61
    """
    wave = np.asarray(wave, dtype=float)
    vacuum = wave
    for _ in range(4):
        vacuum = wave * _refractive_index(vacuum)
    return vacuum


def _refractive_index(wave_vacuum):
    s2 = (1e4 / wave_vacuum) ** 2  # wavenumber squared, 1/µm²
    return 1 + 0.05792105 / (238.0185 - s2) + 0.00167917 / (57.362 - s2)
