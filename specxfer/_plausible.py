"""Whether spectra given to a fit can be what they are said to be."""

import warnings
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from specxfer._rows import by_index

__all__ = ["ImplausibleWarning", "inside_a_fit", "warn_if_implausible"]

ROWS, PIXELS = 256, 1024  # that are looked at: enough for a median
FEW = 10  # spectra
CONTINUUM = 0.2, 5.0  # between which normalised flux has its median, by far
ULTRAVIOLET = 2000.0  # Å, below which there are no wavelengths in air
POSITIVE = 0.9  # share of pixels: with less, flux is a difference of spectra

_INSIDE = ContextVar("inside_a_fit", default=False)


class ImplausibleWarning(UserWarning):
    """Flux, inverse variance or wavelengths can hardly be what they should be."""


@contextmanager
def inside_a_fit():
    """Keep the fits within this one quiet: they see the same spectra, or parts."""
    token = _INSIDE.set(True)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def warn_if_implausible(X, y=None, stacklevel=4):
    """Warn, once a side, of flux that is not normalised and ivar that is none.

    Parameters
    ----------
    X, y : Spectra
        Plain arrays may hold anything, and are not judged; nor are, without y, spectra
        of very few stars, which may be poor ones.
    stacklevel : int, default=4
        The default points at who calls a ``fit`` that scikit-learn has wrapped.
    """
    if _INSIDE.get() or (y is None and len(X) < FEW):
        return
    if y is None:
        X = X[:ROWS]  # read together, and not all over a store
    for name, spectra in (("X", X), ("y", y)):
        said = _implausible(name, spectra)
        if said is not None:
            warnings.warn(said, ImplausibleWarning, stacklevel=stacklevel)


def _implausible(name, spectra):
    """What is wrong with a side, or None."""
    if spectra is None or spectra.wave is None:
        return None
    if spectra.wave[-1] < ULTRAVIOLET:
        return (
            f"the wavelengths of {name} run from {spectra.wave[0]:.6g} to "
            f"{spectra.wave[-1]:.6g} Å, in the far ultraviolet. If they are nm, µm or "
            "logarithms, give wave=wave * astropy.units.nm, or what they are, or "
            "10**wave."
        )
    flux, ivar = _some(spectra)
    if not len(flux):
        return None
    median = float(np.median(flux))
    if not CONTINUUM[0] <= median <= CONTINUUM[1]:
        if (flux > 0).mean() < POSITIVE:
            return None  # differences of spectra, whose S/N says nothing either
        return (
            f"the median flux of {name} is {median:.2g}; expected about 1, flux in "
            "units of the continuum. With the brightness of the stars in it their "
            "lines are not learnt: normalise with "
            "specxfer.preprocessing.ContinuumNormalizer first."
        )
    if ivar is None:
        return None
    snr = float(np.median(flux * np.sqrt(ivar)))
    if snr >= 1:
        return None
    return (
        f"the median signal-to-noise ratio of the pixels of {name}, flux × √ivar, is "
        f"{snr:.1g}; expected more than 1, and ivar to be the inverse variance 1/σ². "
        "Errors σ or variances σ² given as ivar look like that: give ivar=1/sigma**2, "
        "with 0 for bad pixels, or no ivar if the noise is unknown."
    )


def _some(spectra):
    """Flux, and ivar if there is one, of valid pixels of some spectra."""
    rows = np.unique(np.linspace(0, len(spectra) - 1, ROWS).astype(int))
    some = by_index(spectra)[rows].load()
    some = some[:, :: max(1, spectra.shape[1] // PIXELS)]
    valid = some.valid()
    ivar = some.ivar[valid].astype(float) if some.has_noise else None
    return some.flux[valid].astype(float), ivar
