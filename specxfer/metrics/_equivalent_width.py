"""Equivalent widths and their uncertainties."""

import numpy as np

from specxfer.lines import as_windows, window_names
from specxfer.spectra import as_spectra

__all__ = ["equivalent_width"]

MIN_COVERAGE = 0.8  # of a window, by width
_BLOCK_ROWS = 256


def equivalent_width(spectra, lines, *, noise_correlation=0.0, wave=None, medium=None):
    """Equivalent width of each line in each spectrum, in mÅ.

    The flux missing from a continuum of 1, integrated over the line's window:
    W = Σ (1 − f_i) Δλ_i, where Δλ_i is the part of pixel i inside the window, so
    that a window edge may cut a pixel. It does not depend on the resolution as long
    as the window holds the line.

    Parameters
    ----------
    spectra : Spectra or array of shape (n, p)
        Continuum-normalised flux.
    lines : Line, (lo, hi) in Å, or list of these
        The windows, m of them.
    noise_correlation : float, default=0
        Correlation of the noise of neighbouring pixels, as `noise_scale` finds it:
        0.5 is usual in survey spectra, which are resampled.
    wave : array-like of shape (p,), optional
        Wavelengths of a plain array, Å.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Returns
    -------
    ew : ndarray of shape (n, m)
        mÅ, positive in absorption. NaN where a star's unmasked pixels cover less
        than 80% of the window.
    ew_err : ndarray of shape (n, m)
        Standard error in mÅ, (Σ σ_i² Δλ_i²)^½, or with twice the covariances of
        neighbours. From the covariance of the flux where the spectra have one:
        predicted pixels err together along a line, and their variances alone would
        give too small an error. NaN where the noise is unknown. The error of the
        continuum is not in it.

    Raises
    ------
    ValueError
        If a line has no window or the grid does not cover it.

    Notes
    -----
    Where pixels are masked, the rest is scaled up to the whole width, as if the
    masked part were as deep as the rest on average; the error is scaled with it. A
    mask on the core of a line therefore biases its equivalent width low.

    References
    ----------
    Cayrel, G. 1988, in IAU Symposium 132, 345 (the error of an equivalent width
    from uncorrelated pixels).

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.metrics import equivalent_width
    >>> flux = np.ones((1, 5))
    >>> flux[0, 2] = 0.5
    >>> X = Spectra(flux, np.full((1, 5), 1e4), wave=np.arange(5000.0, 5005),
    ...             medium="air")
    >>> equivalent_width(X, (5001.5, 5002.5))  # one pixel of 1 Å, half absorbed
    (array([[500.]]), array([[10.]]))
    """
    spectra = as_spectra(spectra, wave, medium, name="spectra")
    widths, full = window_widths(lines, spectra)
    cols = np.flatnonzero(widths.any(axis=1))
    return measured_widths(spectra[:, cols], widths[cols], full, noise_correlation)


def measured_widths(spectra, widths, full, noise_correlation=0.0):
    """Equivalent widths and their errors, from what `window_widths` gives.

    Parameters
    ----------
    spectra : Spectra of shape (n, p)
    widths : ndarray of shape (p, m)
    full : ndarray of shape (m,)
    noise_correlation : float, default=0

    Returns
    -------
    ew, ew_err : ndarray of shape (n, m)
        mÅ.
    """
    ew, ew_err = np.empty((2, len(spectra), widths.shape[1]))
    for rows, block in spectra.iter_blocks(_BLOCK_ROWS):
        good = block.valid()
        scale = rescaling(good, widths, full)
        ew[rows] = np.where(good, 1.0 - block.flux, 0) @ widths * scale
        ew_err[rows] = (
            np.sqrt(_variance(block, good, widths, noise_correlation)) * scale
        )
    return ew, ew_err


def _variance(block, good, widths, noise_correlation):
    if block.covariance is not None:
        if good.all():
            return block.covariance.functional_variance(widths)
        return block.covariance.functional_variance(good[:, :, None] * widths)
    if not block.has_noise:
        return np.full((len(block), widths.shape[1]), np.nan)
    variance = np.divide(1.0, block.ivar, where=good, out=np.zeros(good.shape))
    return summed_variance(variance, widths, noise_correlation)


def summed_variance(variance, widths, noise_correlation=0.0):
    """Variance of sums over pixels whose direct neighbours' noise is correlated."""
    summed = variance @ widths**2
    if noise_correlation:
        sigma = np.sqrt(variance)
        neighbours = (sigma[:, :-1] * sigma[:, 1:]) @ (widths[:-1] * widths[1:])
        summed += 2 * noise_correlation * neighbours
    return summed


def rescaling(good, widths, full):
    """Full width over unmasked width; NaN where too much is masked."""
    seen = good @ widths
    enough = seen >= MIN_COVERAGE * full
    scale = np.divide(full, seen, where=enough, out=np.full(seen.shape, np.nan))
    return np.where(np.isclose(scale, 1, rtol=1e-9), 1.0, scale)


def window_widths(lines, spectra):
    """How much of each window lies in each pixel.

    Returns
    -------
    widths : ndarray of shape (n_pixels, n_windows)
        mÅ.
    full : ndarray of shape (n_windows,)
        The width of each window, mÅ.
    """
    if spectra.wave is None:
        raise ValueError(
            "equivalent widths are in mÅ and there are no wavelengths: give Spectra, "
            "or wave= and medium=."
        )
    windows = as_windows(lines, spectra.medium)
    widths = 1000 * overlap(windows, spectra.wave, spectra.chip)
    full = 1000 * (windows[:, 1] - windows[:, 0])
    missing = widths.sum(axis=0) < MIN_COVERAGE * full
    if missing.any():
        uncovered = [n for n, m in zip(window_names(lines), missing) if m]
        raise ValueError(
            f"the grid ({spectra.wave[0]:.1f} to {spectra.wave[-1]:.1f} Å, "
            f"{spectra.medium}) covers less than {MIN_COVERAGE:.0%} of {uncovered}: "
            "leave these lines out, or give windows that it covers."
        )
    return widths, full


def overlap(windows, wave, chip):
    """How much of each window, (m, 2), lies in each pixel, Å: (n_pixels, m)."""
    lo, hi = _pixel_edges(wave, chip)
    inside = np.minimum(hi[:, None], windows[:, 1]) - np.maximum(
        lo[:, None], windows[:, 0]
    )
    return np.clip(inside, 0, None)


def _pixel_edges(wave, chip):
    """Where each pixel begins and ends: half-way to its neighbour, not into gaps."""
    if len(wave) < 2:
        raise ValueError("one pixel has no width: equivalent widths need two or more.")
    step = np.diff(wave)
    around = np.r_[np.inf, step, np.inf]
    gap = (step > 1.5 * np.minimum(around[:-2], around[2:])) | (np.diff(chip) != 0)
    typical = np.median(step)
    step = np.where(gap, np.nan, step)
    before, after = np.r_[np.nan, step], np.r_[step, np.nan]
    before, after = (
        _first_known(before, after, typical) / 2,
        _first_known(after, before, typical) / 2,
    )
    return wave - before, wave + after


def _first_known(a, b, c):
    return np.where(np.isfinite(a), a, np.where(np.isfinite(b), b, c))
