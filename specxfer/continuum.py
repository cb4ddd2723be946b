"""The continuum of spectra: a polynomial on each chip through the pixels kept."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.polynomial.legendre import legvander

from specxfer.spectra import Spectra

__all__ = ["fit_continuum"]

BLOCK_ROWS = 64
N_ITER = 10
QUANTILE = 0.9  # of each segment, where the first fit starts
REACH = 2  # pixels on either side, by whose mean a pixel is kept or not
MIN_SCATTER = 0.003  # no noise-free spectrum is clipped where a noisy one is not
FLOOR = 0.01  # how far from the continuum even the pixels kept are, continuum units
MIN_SPAN = 0.75  # of the pixels that could be kept: less would be extrapolation
MIN_CHIP = 0.5  # of the chip: less has no shape


def fit_continuum(
    flux,
    ivar=None,
    *,
    wave=None,
    chip=None,
    degree=4,
    clip=None,
    n_iter=N_ITER,
    pixels=None,
):
    r"""Pseudo-continuum of spectra, each by itself.

    On each chip a polynomial in wavelength is fitted by weighted least squares, over
    and over, to the pixels near it. It starts high, from the 0.9 quantile of short
    segments, so that a star rich in lines does not drag it down.

    Parameters
    ----------
    flux : Spectra or array-like of shape (n_spectra, n_pixels) or (n_pixels,)
        In any unit. NaN where unknown.
    ivar : array-like, shape of `flux`, optional
        Inverse variance; pixels where it is 0 or NaN do not count. `Spectra` have
        their own.
    wave : array-like of shape (n_pixels,), optional
        Strictly increasing wavelengths in Å; without them the polynomial is in pixels.
    chip : array-like of int of shape (n_pixels,), optional
        The chip of each pixel. By default a chip ends where the wavelength step is more
        than three times the usual one.
    degree : int, default=4
        Degree of the Legendre polynomial of each chip.
    clip : float or (low, high), optional
        Pixels this many robust standard deviations below or above the polynomial are
        left out; a float holds for both sides. By default (1.0, 3.0), since lines are
        below, or 3.0 with `pixels`, which have none.
    n_iter : int, default=10
        Number of fits, at most.
    pixels : array-like of bool of shape (n_pixels,), optional
        Continuum pixels: no others are used, and the fit starts from all of them.

    Returns
    -------
    ndarray, shape of `flux`
        The continuum in the unit of `flux`, float64 for float64 input, otherwise
        float32. NaN where it is unknown: beyond a chip's first and last good pixel; and
        on a whole chip if fewer than ``degree + 2`` pixels are kept, or less
        than half of the chip or three quarters of the usable range lies between them,
        or the polynomial is not positive.

    Raises
    ------
    ValueError
        If a shape, an ivar, `clip`, `degree`, `n_iter` or `pixels` is impossible.

    See Also
    --------
    specxfer.preprocessing.ContinuumNormalizer : Learns the continuum pixels from many
        spectra, and so does without most of what is said in the notes.

    Notes
    -----
    Whether a pixel is kept is decided by the mean of its neighbours, two on each side.
    If its own flux decided, as is usual, the highest noise would be kept. A pixel that
    is itself off, to either side, by more than the larger limit is left out as well.
    (`pixels` may have no neighbours; there a pixel's own flux decides, so that unequal
    limits would be biased by noise.)

    What is found is a *pseudo*-continuum: below the true one where lines leave no pixel
    free, and lower in a noisier spectrum, where shallow lines are not told from noise.
    On synthetic stars times a known curve of degree 4 (100 giants and dwarfs, default
    parameters), mean level over the true one, in percent:

    ====================  ========  =====  =====  =====  =====
    S/N per pixel         no noise   200    100     50     20
    ====================  ========  =====  =====  =====  =====
    giants, APOGEE           -0.4   -0.5   -0.7   -1.1   -1.9
    giants, GALAH CCD1       -1.6   -1.7   -1.9   -2.3   -3.4
    giants, CCD2 to 4        -0.5   -0.6   -0.8   -1.1   -1.6
    dwarfs, APOGEE           -0.4   -0.4   -0.6   -0.8   -1.2
    dwarfs, GALAH CCD1       -1.0   -1.1   -1.3   -1.7   -2.7
    dwarfs, CCD2 to 4        -0.3   -0.3   -0.4   -0.6   -0.8
    ====================  ========  =====  =====  =====  =====

    The shape beside that level is right to 0.5% rms in the giants' CCD1, 0.3% on the
    other chips, without noise; to 0.9% at S/N 20.

    A row's continuum does not depend on the rows beside it.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.continuum import fit_continuum
    >>> wave = np.arange(5000.0, 5060.0, 0.1)
    >>> lines = 0.5 * np.exp(-0.5 * ((wave % 3 - 1.5) / 0.2) ** 2)
    >>> curve = 2e-15 * (1 + 0.3 * ((wave - 5030) / 30) ** 2)
    >>> continuum = fit_continuum(curve * (1 - lines), wave=wave, degree=2)
    >>> bool(np.abs(continuum / curve - 1).max() < 1e-3)
    True
    """
    X, one = _as_spectra(flux, ivar, wave, chip)
    limits = checked_clip(clip, (1.0, 3.0) if pixels is None else (3.0, 3.0))
    allowed = _checked_pixels(pixels, X.shape[1])
    for name, value, least in (("degree", degree, 0), ("n_iter", n_iter, 1)):
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} is {value!r}; expected an int, {least} or more.")
    out = np.full(X.shape, np.nan, X.dtype)
    fits = chip_continua(X.wave, X.chip, degree, allowed, pixels is not None)
    for rows, block in X.iter_blocks(BLOCK_ROWS):
        for fit in fits:
            out[rows, fit.pixels] = fit.continuum(block, limits, n_iter)
    return out[0] if one else out


def chip_continua(wave, chip, degree, allowed, fixed):
    """A `ChipContinuum` for each chip with enough pixels that may be used."""
    return [
        ChipContinuum(part, scaled(wave, part), allowed[part], degree, fixed)
        for part in chip_pixels(chip)
        if allowed[part].sum() >= degree + 2
    ]


@dataclass(frozen=True)
class ChipContinuum:
    """One chip: its pixels, where they lie from -1 to 1, which of them may be used."""

    pixels: np.ndarray
    at: np.ndarray
    allowed: np.ndarray
    degree: int
    fixed: bool  # the pixels allowed are known to be continuum

    def continuum(self, X, clip, n_iter=N_ITER):
        """Continuum of each row of a block, (n, n_pixels); NaN where unknown."""
        X = X[:, self.pixels]
        weight = X.weights().astype(float, order="C")  # the same bits for a row alone
        first, last = _ends(self.at, weight > 0)
        weight[:, ~self.allowed] = 0
        good = weight > 0
        flux = np.where(good, X.flux, 0).astype(float, order="C")
        basis = legvander(self.at, self.degree)
        products = products_of(basis)
        coef, scale = self._start(flux, good, weight, basis, products)
        positive = scale > 0
        scale = np.where(positive, scale, 1)
        if X.has_noise:  # in units of the continuum, with a floor
            weight = weight * scale**2
            weight /= 1 + weight * FLOOR**2
        model, keep = rowwise(coef, basis.T), good
        count = _sum_nearby(good.astype(float))
        for i in range(n_iter):
            residual = (flux - model) / np.maximum(model, 0.1 * scale)
            before, keep = keep, self._kept(residual, good, keep, clip, count)
            coef = solve(np.where(keep, weight, 0), flux, basis, products)
            model = rowwise(coef, basis.T)
            if i and (keep == before).all():  # at first the fit was another
                break
        model[~(self._is_known(good, keep) & positive[:, 0])] = np.nan
        model[(self.at < first) | (self.at > last)] = np.nan
        model[(model <= 0).any(axis=1)] = np.nan
        return model

    def _start(self, flux, good, weight, basis, products):
        """The first fit, (n, degree + 1), and a typical level of each row, (n, 1)."""
        if self.fixed:
            scale = median(flux, good)
            return solve(weight, flux, basis, products), scale
        count = _sum_nearby(good.astype(float)) + good
        smooth = (_sum_nearby(flux) + flux) / np.maximum(count, 1)
        nodes = max(self.degree + 1, min(3 * (self.degree + 1), len(self.at) // 8))
        parts = np.array_split(np.arange(len(self.at)), nodes)
        level = np.hstack([_quantile(smooth[:, p], good[:, p]) for p in parts])
        count = np.stack([good[:, p].sum(axis=1) for p in parts], axis=1)
        at = legvander(np.array([self.at[p].mean() for p in parts]), self.degree)
        coef = solve(count.astype(float), level, at, products_of(at))
        return coef, median(level, count > 0)

    def _kept(self, residual, good, keep, clip, count):
        """The good pixels near the polynomial."""
        if self.fixed:
            return clipped(residual, good, clip)
        low, high = clip
        nearby = _mean_nearby(residual, good, count)
        typical = scatter(nearby, keep)
        own = np.maximum(scatter(residual, keep), typical)
        near = (nearby >= -low * typical) & (nearby <= high * typical)
        return good & near & (np.abs(residual) <= max(clip) * own)

    def _is_known(self, good, keep):
        """Rows with enough pixels kept, over enough of the chip."""
        first, last = _ends(self.at, keep)
        usable = np.subtract(*_ends(self.at, good)[::-1])
        enough = keep.sum(axis=1) >= self.degree + 2
        least = np.maximum(MIN_SPAN * usable, MIN_CHIP * (self.at[-1] - self.at[0]))
        return enough & (last - first >= least)[:, 0]


# --- what the rows of a block share ---------------------------------------------------


def chip_pixels(chip):
    """The pixels of each chip, a list of int arrays."""
    order = np.argsort(chip, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(chip[order])) + 1)


def scaled(wave, pixels):
    """Where the pixels of a chip lie, from -1 to 1: in wavelength, or by number."""
    at = pixels.astype(float) if wave is None else wave[pixels]
    return 2 * (at - at[0]) / (at[-1] - at[0]) - 1


def products_of(basis):
    """Products of the columns of a basis, (n_pixels, n_basis²), for `solve`."""
    return (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), -1)


def solve(weight, values, basis, products):
    """Coefficients of the weighted least-squares fit of each row, (n, n_basis)."""
    size = basis.shape[1]
    scale = np.maximum(weight.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    weight = weight / scale
    normal = rowwise(weight, products).reshape(-1, size, size)
    normal += 1e-12 * np.eye(size)  # rows without weight are refused later
    return np.linalg.solve(normal, rowwise(weight * values, basis)[..., None])[..., 0]


def rowwise(rows, matrix):
    """``rows @ matrix``, one row at a time: a row's bits owe nothing to its company."""
    return np.matmul(rows[:, None, :], matrix)[:, 0]


def clipped(residual, good, clip):
    """Good pixels within clip = (low, high) robust deviations of the row's median."""
    low, high = clip
    residual = residual - median(residual, good)
    sigma = scatter(residual, good)
    return good & (residual >= -low * sigma) & (residual <= high * sigma)


def scatter(residual, good):
    """Robust standard deviation about 0 of each row, (n, 1); never quite 0."""
    return np.maximum(1.4826 * median(np.abs(residual), good), MIN_SCATTER)


def median(values, good):
    """Median of the good values of each row, (n, 1); of none, anything."""
    out = np.zeros((len(values), 1))
    for row, (value, use) in enumerate(zip(values, good)):
        value = value[use]
        if len(value):
            middle = (len(value) - 1) // 2, len(value) // 2
            part = np.partition(value, middle)  # several times faster than sorting
            out[row] = (part[middle[0]] + part[middle[1]]) / 2
    return out


def checked_clip(clip, default=None):
    """The two limits (low, high), both positive."""
    limits = default if clip is None else clip
    limits = (limits, limits) if isinstance(limits, Real) else tuple(limits)
    if len(limits) != 2 or not all(isinstance(c, Real) and c > 0 for c in limits):
        raise ValueError(
            f"clip is {clip!r}; expected a positive number, or two: (low, high)."
        )
    return limits


def _sum_nearby(values):
    """Sum over the neighbours of each pixel, without its own value."""
    total = np.zeros_like(values)
    for step in range(1, REACH + 1):
        total[:, step:] += values[:, :-step]
        total[:, :-step] += values[:, step:]
    return total


def _mean_nearby(values, good, count):
    """Mean of the good neighbours of each pixel; its own value where it has none."""
    values = np.where(good, values, 0)
    mean = values.copy()
    return np.divide(_sum_nearby(values), count, out=mean, where=count > 0)


def _quantile(values, good):
    """The quantile of the good values of each row where the fit starts, (n, 1)."""
    ordered = np.sort(np.where(good, values, np.inf), axis=1)
    at = np.floor(QUANTILE * np.maximum(good.sum(axis=1, keepdims=True) - 1, 0))
    level = np.take_along_axis(ordered, at.astype(int), 1)
    return np.where(np.isfinite(level), level, 0)


def _ends(at, good):
    """Where the first and the last good pixel of each row lie, each (n, 1)."""
    first = np.where(good, at, np.inf).min(axis=1, keepdims=True)
    return first, np.where(good, at, -np.inf).max(axis=1, keepdims=True)


def _as_spectra(flux, ivar, wave, chip):
    """The spectra, and whether one came alone; air or vacuum makes no difference."""
    if isinstance(flux, Spectra):
        if any(part is not None for part in (ivar, wave, chip)):
            raise ValueError("Spectra have their own ivar, wave and chip: give none.")
        return flux, False
    one = np.ndim(flux) == 1
    flux, ivar = (
        a if a is None or not one else np.ma.atleast_2d(a) for a in (flux, ivar)
    )
    medium = None if wave is None else "vacuum"
    return Spectra(flux, ivar, wave=wave, medium=medium, chip=chip), one


def _checked_pixels(pixels, n_pixels):
    if pixels is None:
        return np.ones(n_pixels, dtype=bool)
    pixels = np.asarray(pixels)
    if pixels.dtype != bool or pixels.shape != (n_pixels,):
        raise ValueError(
            f"pixels has dtype {pixels.dtype} and shape {pixels.shape}; expected a "
            f"mask, bool of shape ({n_pixels},)."
        )
    return pixels
