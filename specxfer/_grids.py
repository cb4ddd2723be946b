"""The wavelength grids of APOGEE and GALAH, stated once."""

from itertools import pairwise

import numpy as np

__all__ = [
    "SPEED_OF_LIGHT",
    "apogee_chip",
    "apogee_chips",
    "apogee_wave",
    "galah_chip",
    "galah_wave",
]

SPEED_OF_LIGHT = 299_792.458  # km/s

APOGEE_PIXELS = 8575
APOGEE_CHIPS = {
    "DR12": ((322, 3242), (3648, 6048), (6412, 8306)),
    "DR17": ((246, 3274), (3585, 6080), (6344, 8335)),
}
APOGEE_RELEASES = {
    "DR11": "DR12",
    "DR12": "DR12",
    **{f"DR{number}": "DR17" for number in range(13, 18)},
}
APOGEE_R = 22_500.0  # nominal resolving power

GALAH_PIXELS = 4096  # per CCD
GALAH_CCDS = (  # first and last pixel, Å in air
    (4713.720703, 4902.093750),
    (5648.246094, 5872.389160),
    (6477.887695, 6736.586426),
    (7584.832520, 7886.318848),
)


def apogee_wave():
    """Wavelengths of combined APOGEE spectra: Å in vacuum, in the star's rest frame.

    Returns
    -------
    ndarray of shape (8575,)
        `10**(4.179 + 6e-6 i)`.

    Examples
    --------
    >>> apogee_wave()[[0, -1]].round(2)
    array([15100.8 , 16999.81])
    """
    return 10 ** (4.179 + 6e-6 * np.arange(APOGEE_PIXELS))


def apogee_chips(release="DR17"):
    """The pixels of the three APOGEE chips; everything else is a gap.

    Parameters
    ----------
    release : {"DR11", "DR12", ..., "DR17"}, default="DR17"
        The chips of DR11 and DR12 (7214 pixels) lie within those of DR13 to DR17
        (7514 pixels).

    Returns
    -------
    tuple of three (start, stop)
        Half-open pixel ranges of the grid of `apogee_wave`.

    Raises
    ------
    ValueError
        If the release is not known.

    Examples
    --------
    >>> sum(stop - start for start, stop in apogee_chips("DR14"))
    7514
    """
    try:
        return APOGEE_CHIPS[APOGEE_RELEASES[str(release).upper()]]
    except KeyError:
        raise ValueError(
            f"release is {release!r}; expected one of {', '.join(APOGEE_RELEASES)}."
        ) from None


def apogee_chip():
    """The chip of each APOGEE pixel, counted from 0; a gap is split in its middle.

    Returns
    -------
    ndarray of int of shape (8575,)
    """
    (_, a), (b, c), (d, _) = apogee_chips()
    return np.searchsorted([(a + b) // 2, (c + d) // 2], np.arange(8575), side="right")


def galah_wave(ccd=None):
    """The default GALAH grid: Å in air, in the star's rest frame.

    4096 pixels for each of the four CCDs of HERMES, linear in wavelength, at the
    dispersion of the detector (0.0460, 0.0547, 0.0632, 0.0736 Å a pixel) and over
    the range of a star at rest. A star's own pixels start up to ±2 Å elsewhere, so
    a few pixels at the ends of each CCD are unknown for most stars.

    Parameters
    ----------
    ccd : {1, 2, 3, 4}, optional
        One CCD only.

    Returns
    -------
    ndarray of shape (16384,), or (4096,) for one CCD

    Examples
    --------
    >>> galah_wave(3)[[0, -1]].round(2)
    array([6477.89, 6736.59])
    """
    if ccd is not None and ccd not in (1, 2, 3, 4):
        raise ValueError(f"ccd is {ccd!r}; HERMES has CCDs 1 to 4.")
    ranges = GALAH_CCDS if ccd is None else GALAH_CCDS[ccd - 1 : ccd]
    return np.concatenate([np.linspace(*ends, GALAH_PIXELS) for ends in ranges])


def galah_chip(wave=None):
    """The CCD of each GALAH pixel, counted from 0 (CCD1 is 0).

    Parameters
    ----------
    wave : array-like of shape (n_pixels,), optional
        Å; by default `galah_wave()`.

    Returns
    -------
    ndarray of int of shape (n_pixels,)

    Examples
    --------
    >>> galah_chip([4800, 6563, 7800])
    array([0, 2, 3])
    """
    between = [(a[1] + b[0]) / 2 for a, b in pairwise(GALAH_CCDS)]
    return np.searchsorted(between, galah_wave() if wave is None else wave)
