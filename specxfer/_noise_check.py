"""Noise that cannot be true, said once for a fit and all the fits within it."""

import warnings
from contextvars import ContextVar
from functools import wraps

import numpy as np

from specxfer._rows import by_index

__all__ = ["outermost_fit", "warn_of_noise"]

ROWS = 64  # that are looked at: enough for a median, and quick from disk
LEAST = 1  # S/N, below which nobody would have published the spectra
AS_ERRORS = 5  # S/N that they have if ivar is taken as an error, at least

_depth = ContextVar("depth of fits", default=0)


def outermost_fit(fit):
    """Make a ``fit`` known to the fits that it calls, which need not warn again.

    Parameters
    ----------
    fit : callable

    Returns
    -------
    callable
    """

    @wraps(fit)
    def within(*args, **kwargs):
        before = _depth.set(_depth.get() + 1)
        try:
            return fit(*args, **kwargs)
        finally:
            _depth.reset(before)

    return within


def warn_of_noise(X, y):
    """Warn of what looks like an error that was given as ivar.

    Called by what is an `outermost_fit`; within another it says nothing.

    Parameters
    ----------
    X, y : Spectra of shape (n, n_pixels)
        Of stars that have both.
    """
    if _depth.get() > 1:
        return
    for spectra, name in ((X, "X"), (y, "y")):
        if spectra.has_noise:
            some = by_index(spectra)[:: max(1, len(spectra) // ROWS)]
            _warn_of_one(some.load(), name)


def _warn_of_one(some, name):
    good = some.valid()
    flux, ivar = some.flux[good].astype(float), some.ivar[good].astype(float)
    if not flux.size:
        return
    snr = float(np.median(flux * np.sqrt(ivar)))
    as_errors = float(np.median(flux / ivar))
    if snr >= LEAST or as_errors <= AS_ERRORS:
        return
    warnings.warn(
        f"the median S/N of the pixels of {name}, flux * sqrt(ivar), is {snr:.2g}; if "
        f"its ivar were errors (sigma) it would be {as_errors:.3g}, which is more "
        f"likely. If so, give ivar = 1 / sigma**2. With a wrong ivar pixels and stars "
        "are weighed wrongly, and predicted errors are wrong.",
        UserWarning,
        stacklevel=6,  # past this module and the wrappers of the fit
    )
