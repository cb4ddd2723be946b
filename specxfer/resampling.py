"""Put spectra on another wavelength grid, or at a lower resolving power.

Both operations know three things that a call of ``numpy.interp`` does not: a pixel
is an interval and not a point, survey grids have gaps, and pixels can be unknown.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.ndimage import median_filter
from scipy.sparse import csr_array

__all__ = ["broaden", "find_gaps", "pixel_edges", "pixel_steps", "resample"]

_BLOCK = 2_000_000  # float64 elements of one temporary: 16 MB
_MIN_COVERAGE = 0.5 - 1e-9  # half a pixel, less what rounding may take


def find_gaps(wave):
    """Find the places where a wavelength grid jumps.

    A step is a gap when it is more than 1.5 times the running median of the eleven
    steps around it, so that one missing pixel is already a gap and the slow growth of
    the steps on a logarithmic grid, or a change of sampling between two detectors, is
    not.

    Parameters
    ----------
    wave : array-like of shape (n_pixels,)
        Strictly increasing wavelengths.

    Returns
    -------
    ndarray of bool, shape (n_pixels - 1,)
        True at ``i`` where pixels ``i`` and ``i + 1`` do not touch.

    Examples
    --------
    >>> from specxfer.resampling import find_gaps
    >>> find_gaps([5000.0, 5000.1, 5000.2, 5100.0, 5100.1, 5100.2])
    array([False, False,  True, False, False])
    """
    return _steps(_check_wave(wave))[1]


def pixel_steps(wave):
    """Count the pixels from each pixel of a grid to the next.

    Parameters
    ----------
    wave : array-like of shape (n_pixels,)
        Strictly increasing wavelengths, at least two.

    Returns
    -------
    ndarray of int, shape (n_pixels - 1,)
        1, and at a gap as many of the pixels around it as fit between, to the nearest
        whole number.

    Examples
    --------
    >>> from specxfer.resampling import pixel_steps
    >>> pixel_steps([1.0, 2.0, 3.0, 5.0, 6.0, 7.0])
    array([1, 1, 2, 1, 1])
    """
    wave = _check_wave(wave)
    step, gap = _steps(wave)
    return np.where(gap, np.rint(np.diff(wave) / step), 1).astype(int)


def pixel_edges(wave):
    """Compute the lower and upper edge of every pixel of a wavelength grid.

    Edges lie half-way between the centres of neighbours. At a gap, and at both ends
    of the grid, a pixel is as wide on its outer side as on its inner one.

    Parameters
    ----------
    wave : array-like of shape (n_pixels,)
        Strictly increasing wavelengths, at least two.

    Returns
    -------
    lower, upper : ndarray of float64, shape (n_pixels,)
        In the unit of `wave`.

    Examples
    --------
    >>> from specxfer.resampling import pixel_edges
    >>> lower, upper = pixel_edges([1.0, 2.0, 3.0, 13.0, 14.0, 15.0])
    >>> upper
    array([ 1.5,  2.5,  3.5, 13.5, 14.5, 15.5])
    """
    wave = _check_wave(wave)
    step, gap = _steps(wave)
    lower = wave - np.concatenate([step[:1], step]) / 2
    upper = wave + np.concatenate([step, step[-1:]]) / 2
    upper[:-1][~gap] = lower[1:][~gap]  # the same number, to the last bit
    (at,) = np.nonzero(gap)
    upper[at] = wave[at] + step[np.maximum(at - 1, 0)] / 2
    lower[at + 1] = wave[at + 1] - step[np.minimum(at + 1, len(step) - 1)] / 2
    return lower, upper


def resample(flux, wave, new_wave, ivar=None):
    r"""Resample spectra onto another grid, conserving flux.

    A new pixel holds the mean flux density over the part of it that known input
    pixels cover: with :math:`a_i` the width of input pixel :math:`i` inside it,

    .. math:: f = \sum_i a_i f_i / \sum_i a_i, \qquad
              \sigma^2 = \sum_i a_i^2 \sigma_i^2 / (\sum_i a_i)^2.

    So a constant stays that constant, and the equivalent width of a line does not
    change. Pixels are intervals with edges half-way between their centres
    (:func:`pixel_edges`); the gaps of either grid are never bridged.

    Parameters
    ----------
    flux : array-like of shape (n_pixels,) or (n_spectra, n_pixels)
        NaN where unknown.
    wave : array-like of shape (n_pixels,) or (n_spectra, n_pixels)
        Centres of the input pixels, strictly increasing, in Å: one grid for all
        spectra, or one for each (such as ``wave / (1 + velocity / c)``).
    new_wave : array-like of shape (n_new,)
        Centres of the new pixels, in Å and in the same medium as `wave`.
    ivar : array-like, shape of `flux`, optional
        Inverse variance. Pixels where it is 0 or NaN carry no weight: they are
        treated as unknown.

    Returns
    -------
    flux : ndarray of shape (n_new,) or (n_spectra, n_new)
        float64 for float64 input, otherwise float32. NaN where known pixels cover
        less than half of the new pixel.
    ivar : ndarray, shape of the new flux, or None
        None if no `ivar` was given. 0 where the flux is NaN.

    Raises
    ------
    ValueError
        If a grid does not increase strictly, or a shape or an ivar is impossible.

    Notes
    -----
    The noise of new pixels that share an input pixel is correlated; the returned ivar
    is each pixel's own. A shift by half a pixel leaves half the variance in each
    pixel, and a correlation of 0.5 between neighbours.

    References
    ----------
    Carnall, A. C. 2017, arXiv:1705.05165, eqs. 3 to 6: the same sums, for spectra
    without gaps or masks.

    Examples
    --------
    >>> from specxfer.resampling import resample
    >>> flux, ivar = resample(
    ...     [1.0, 0.5, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0], [1.5, 3.5], ivar=[100.0] * 4
    ... )
    >>> flux
    array([0.75, 1.  ])
    >>> ivar
    array([200., 200.])
    """
    flux, ivar, one = _check_flux(flux, ivar)
    wave = np.asarray(wave, dtype=np.float64)
    if wave.shape not in (flux.shape, flux.shape[1:]):
        raise ValueError(
            f"wave has shape {wave.shape}, but flux has {flux.shape}: expected one "
            f"wavelength per pixel, {flux.shape[1:]}, or per spectrum and pixel."
        )
    new_edges = pixel_edges(new_wave)
    n, n_new = len(flux), len(new_edges[0])
    dtype = _float_type(flux)
    new_flux = np.empty((n, n_new), dtype)
    new_ivar = None if ivar is None else np.empty((n, n_new), dtype)

    shared = _overlap(wave, new_edges) if wave.ndim == 1 else None
    rows = max(1, _BLOCK // max(flux.shape[1], n_new)) if wave.ndim == 1 else 1
    for start in range(0, n, rows):
        block = slice(start, start + rows)
        overlap = _overlap(wave[start], new_edges) if shared is None else shared
        noise = None if ivar is None else ivar[block]
        new_flux[block], noise = _resample_block(flux[block], noise, overlap)
        if noise is not None:
            new_ivar[block] = noise
    if one:
        return new_flux[0], None if new_ivar is None else new_ivar[0]
    return new_flux, new_ivar


def broaden(flux, wave, resolution, resolution_in=np.inf):
    r"""Degrade spectra to a lower resolving power.

    Convolves with the Gaussian in :math:`\ln\lambda` that is missing between the two
    line-spread functions,

    .. math:: \sigma_{\ln\lambda}^2 = (1/R^2 - 1/R_\mathrm{in}^2) / (8 \ln 2).

    Parameters
    ----------
    flux : array-like of shape (n_pixels,) or (n_spectra, n_pixels)
        NaN where unknown.
    wave : array-like of shape (n_pixels,)
        Strictly increasing wavelengths in Å, linear, logarithmic or neither, with
        gaps or without.
    resolution, resolution_in : float or array-like
        Resolving power :math:`\lambda/\mathrm{FWHM}` wanted and present: one number,
        one per spectrum `(n_spectra,)`, or one per spectrum and pixel
        `(n_spectra, n_pixels)` (for a single spectrum, `(n_pixels,)`).

    Returns
    -------
    ndarray, shape of `flux`
        float64 for float64 input, otherwise float32. Unknown pixels are left out and
        the kernel normalised over the known ones, here as at gaps and ends; NaN where
        less than half of the kernel falls on known pixels. In arrays of resolving
        powers, what is already below the wanted one is never sharpened: NaN there.

    Raises
    ------
    ValueError
        If both resolving powers are single numbers and the wanted one is higher, or
        either is not positive.

    Notes
    -----
    The kernel is the *band-limited* Gaussian: its Fourier transform is that of the
    Gaussian up to the Nyquist frequency. From 0.8 pixels on that is the sampled
    Gaussian; below, a sampled Gaussian would hardly widen anything (at 0.3 pixels, a
    tenth of what it should), whereas this one widens a well-sampled line by exactly
    what was asked. It can have small negative lobes there.

    Noise becomes correlated between pixels, and no ivar is returned: treat the old one
    as a bound on the weight of a pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.resampling import broaden
    >>> wave = np.arange(4990.0, 5010.0, 0.05)
    >>> flux = 1 - 0.5 * np.exp(-0.5 * ((wave - 5000) / 0.06) ** 2)
    >>> broad = broaden(flux, wave, resolution=20_000)
    >>> round(float(flux.min()), 3), round(float(broad.min()), 3)
    (0.5, 0.754)
    >>> bool(np.isclose(np.sum(1 - flux), np.sum(1 - broad)))
    True
    """
    flux, _, one = _check_flux(flux, None)
    wave = _check_wave(wave)
    if wave.shape != flux.shape[1:]:
        raise ValueError(
            f"wave has {len(wave)} pixels, but flux has shape {flux.shape}."
        )
    variance = _missing_variance(
        _check_resolution(resolution, "resolution", flux.shape, one),
        _check_resolution(resolution_in, "resolution_in", flux.shape, one),
    )
    lower, upper = pixel_edges(wave)
    variance = variance / np.log(upper / lower) ** 2  # from ln λ to pixels
    out = np.empty(flux.shape, _float_type(flux))
    shared = len(variance) == 1
    jumps = pixel_steps(wave)
    plan = _plan(variance[0], jumps) if shared else None
    for row in range(len(flux)):
        row_plan = plan if shared else _plan(variance[row], jumps)
        out[row] = _broaden_one(np.asarray(flux[row], np.float64), *row_plan)
    return out[0] if one else out


# --- grids --------------------------------------------------------------------------


def _check_wave(wave):
    wave = np.asarray(wave, dtype=np.float64)
    if wave.ndim != 1 or len(wave) < 2:
        raise ValueError(
            "Expected a 1-D grid of at least two wavelengths (the width of a lone "
            f"pixel is unknown), got shape {wave.shape}."
        )
    if not np.all(np.diff(wave) > 0) or not np.isfinite(wave[[0, -1]]).all():
        raise ValueError(
            "Wavelengths must be finite and increase strictly; sort the pixels first."
        )
    return wave


def _steps(wave):
    """Steps between centres, the typical one standing in at gaps; and the gaps."""
    step = np.diff(wave)
    typical = median_filter(step, size=11, mode="nearest")
    gap = step > 1.5 * typical
    return np.where(gap, typical, step), gap


# --- input --------------------------------------------------------------------------


def _float_type(array):
    return np.float64 if array.dtype.kind == "f" and array.itemsize == 8 else np.float32


def _check_flux(flux, ivar):
    flux = np.asarray(flux)
    one = flux.ndim == 1
    if flux.ndim not in (1, 2):
        raise ValueError(f"flux must be 1-D or 2-D, got shape {flux.shape}.")
    if flux.dtype.kind not in "fiub":
        raise TypeError(f"flux must be real numbers, got dtype {flux.dtype}.")
    if ivar is not None:
        ivar = np.asarray(ivar)
        if ivar.shape != flux.shape:
            raise ValueError(f"ivar has shape {ivar.shape}, but flux {flux.shape}.")
        ivar = ivar[None] if one else ivar
    return (flux[None] if one else flux), ivar, one


# --- resample -----------------------------------------------------------------------


def _overlap(wave, new_edges):
    """Fraction of each new pixel inside each old one, sparse (n_new, n_old)."""
    lower, upper = pixel_edges(wave)
    new_lower, new_upper = new_edges
    first = np.searchsorted(upper, new_lower, side="right")
    last = np.searchsorted(lower, new_upper, side="left")
    count = np.maximum(last - first, 0)
    indptr = np.concatenate([[0], np.cumsum(count)])
    row = np.repeat(np.arange(len(count)), count)
    col = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - first, count)
    inside = np.minimum(upper[col], new_upper[row]) - np.maximum(
        lower[col], new_lower[row]
    )
    fraction = np.maximum(inside, 0) / (new_upper - new_lower)[row]
    return csr_array((fraction, col, indptr), shape=(len(count), len(lower)))


def _resample_block(flux, ivar, overlap):
    flux = flux.astype(np.float64)
    known = np.isfinite(flux)
    if ivar is not None:
        ivar = np.nan_to_num(ivar.astype(np.float64), nan=0.0, posinf=np.inf)
        if (ivar < 0).any() or np.isinf(ivar).any():
            raise ValueError(
                "ivar must be finite and not negative; use 0 for pixels without weight."
            )
        known &= ivar > 0
    flux[~known] = 0
    covered = (overlap @ known.T.astype(np.float64)).T
    with np.errstate(divide="ignore", invalid="ignore"):
        new_flux = (overlap @ flux.T).T / covered
        lost = covered < _MIN_COVERAGE
        new_flux[lost] = np.nan
        if ivar is None:
            return new_flux, None
        var = np.divide(1.0, ivar, out=np.zeros_like(ivar), where=known)
        new_ivar = covered**2 / (overlap.power(2) @ var.T).T
        new_ivar[lost] = 0
    return new_flux, new_ivar


# --- broaden ------------------------------------------------------------------------


def _check_resolution(value, name, shape, one):
    value = np.asarray(value, dtype=np.float64)
    if np.any(value <= 0):
        raise ValueError(f"{name} must be positive, got {np.nanmin(value)}.")
    if value.ndim == 0:
        return value
    if value.ndim == 1:
        value = value[None] if one and value.size == shape[1] else value[:, None]
    if value.shape not in (shape, (shape[0], 1)):
        raise ValueError(
            f"{name} has shape {value.shape}; for flux of shape {shape} it must be a "
            f"number, ({shape[0]},) or {shape}."
        )
    return value


def _missing_variance(wanted, present):
    """Variance in ln λ still to be added, (n, 1 or n_pixels); NaN: already too broad"""
    variance = (1 / wanted**2 - 1 / present**2) / (8 * np.log(2))
    if variance.ndim == 0 and not wanted <= present * (1 + 1e-6):
        raise ValueError(
            f"resolution={wanted:g} is not below resolution_in={present:g}: spectra "
            "can be broadened, never sharpened."
        )
    rounding = 1e-6 / wanted**2  # the same R, written in float32, is not below R
    variance = np.where(variance >= -rounding, np.maximum(variance, 0), np.nan)
    return np.atleast_2d(variance)


def _plan(variance, jumps):
    """Kernels, and where each applies, for one row of variances in pixels squared.

    The kernel changes slowly along a spectrum. It is computed for the least and the
    largest variance in each run of up to 256 pixels, and interpolated between them.
    """
    if not np.isfinite(variance).any():
        return [], None, 0
    widest = np.sqrt(np.nanmax(variance))
    reach = int(2 ** np.ceil(np.log2(max(8, 5.5 * widest))))
    jumps = np.minimum(jumps, 2 * reach + 1)  # farther than any kernel
    position = np.concatenate([[0], np.cumsum(jumps)]).astype(int)
    breaks = 1 + np.flatnonzero(jumps > 1)
    n_pixels = len(variance)
    edges = np.unique([*range(0, n_pixels, 256), *breaks, n_pixels])
    runs = []
    for start, stop in pairwise(edges):
        run = variance[start:stop]
        if np.isfinite(run).any():
            ends = np.array([np.nanmin(run), np.nanmax(run)])
            span = np.ptp(ends)
            share = (run - ends[0]) / span if span > 0 else run - ends[0]
            runs.append((start, stop, share, _kernel(ends, reach)))
    return runs, position, reach


def _kernel(variance, reach):
    """Band-limited Gaussians, (n, taps), for variances in pixels squared."""
    offset = np.arange(-reach, reach + 1)
    frequency = 2 * np.pi * offset / len(offset)
    response = np.exp(-0.5 * variance[:, None] * frequency**2)
    return response @ _waves(reach)


@lru_cache(maxsize=4)
def _waves(reach):
    offset = np.arange(-reach, reach + 1)
    taps = len(offset)
    return np.cos(2 * np.pi / taps * np.outer(offset, offset)) / taps


def _broaden_one(flux, runs, position, reach):
    out = np.full(len(flux), np.nan)
    if not runs:
        return out
    finite = np.isfinite(flux)
    padded = np.zeros((2, position[-1] + 1 + 2 * reach))  # flux, and where it is known
    padded[:, position + reach] = np.where(finite, flux, 0), finite
    for start, stop, share, (narrow, wide) in runs:
        near = slice(position[start], position[stop - 1] + 1 + 2 * reach)
        total, weight = (
            (1 - share) * np.correlate(values[near], narrow, "valid")
            + share * np.correlate(values[near], wide, "valid")
            for values in padded
        )
        known = weight >= _MIN_COVERAGE
        out[start:stop][known] = total[known] / weight[known]
    return out
