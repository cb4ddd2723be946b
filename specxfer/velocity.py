"""Radial velocities: removing one from spectra, and measuring what is left."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.interpolate import CubicSpline, make_interp_spline

from specxfer._checks import check_same_grid
from specxfer._grids import SPEED_OF_LIGHT
from specxfer.continuum import chip_pixels, scaled
from specxfer.spectra import Spectra, as_plain, as_spectra

__all__ = ["Velocities", "measure_velocity", "remove_velocity"]

ORDER = 5  # of the splines: a cubic is wrong by 5 times as much
TAPS = 8  # pixels on either side that count in the noise of an interpolated one
STEP = 1.0  # pixels, between the velocities tried
CONVERGED = 1e-5  # pixels
N_STEPS = 200
STILL = 1e-9  # continuum units: a template that varies less has no lines


class Velocities(NamedTuple):
    """What `measure_velocity` returns; each of shape (n_spectra,)."""

    velocity: np.ndarray
    error: np.ndarray
    significance: np.ndarray


def remove_velocity(X, velocity, *, wave=None, medium=None):
    r"""Shift spectra to rest, on the grid they have.

    A line observed at :math:`\lambda_0 (1 + v/c)` moves to :math:`\lambda_0`: a
    positive velocity, of a star that recedes, shifts to the blue.

    Parameters
    ----------
    X : Spectra or array-like of shape (n_spectra, n_pixels)
    velocity : float or array-like of shape (n_spectra,)
        km/s. NaN: unknown, and so is the shifted spectrum.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of a plain array; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Returns
    -------
    Spectra or ndarray of shape (n_spectra, n_pixels)
        `Spectra` if X is, otherwise an array; in memory. NaN, with ivar 0, where the
        flux would come from beyond a chip or from a masked pixel. Rows with velocity 0
        stay as they are, to the last bit.

    Raises
    ------
    ValueError
        If there are no wavelengths and a velocity is not 0, or the velocities have
        another shape or are beyond the speed of light.

    See Also
    --------
    specxfer.resampling.resample : Conserves flux, at the price of resolution; for
        grids with other pixels.

    Notes
    -----
    The flux is interpolated by a spline of degree 5 through the good pixels of each
    chip, which keeps the resolution: for a half-deep line with a full width at half
    maximum of 3.2 pixels, as in APOGEE, the error of a shift by 0.37 pixels is 3e-4 in
    flux, and 3e-5 for 4.2 pixels, as in GALAH. (By a cubic spline it is 2e-3 and 4e-4;
    by flux-conserving resampling, which broadens lines, 0.03 and 0.02.) It is larger,
    up to 0.01, in the few pixels where the end of a chip cuts a line. A masked pixel is
    bridged by a cubic spline; the one or two new pixels between it and its neighbours
    are masked.

    The ivar is that of the interpolated flux: a shift by half a pixel leaves 84% of the
    variance. Noise is then correlated by 0.18 between neighbours and −0.13 between
    pixels two apart; the ivar is each pixel's own.

    Velocities are removed as :math:`\lambda/(1 + v/c)`, as by the readers, without the
    relativistic :math:`\sqrt{(1+v/c)/(1-v/c)}`, which differs by
    :math:`v^2/2c` (0.15 km/s at 300 km/s). In air, the change of the refractive index
    along the shift is neglected (5 m/s at 300 km/s).

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.velocity import remove_velocity
    >>> wave = np.arange(5000.0, 5010.0, 0.05)
    >>> line = 1 - 0.5 * np.exp(-0.5 * ((wave - 5005.5) / 0.1) ** 2)
    >>> X = Spectra(line[None], wave=wave, medium="air")
    >>> rest = remove_velocity(X, 29.95)  # half an Å
    >>> float(rest.wave[np.nanargmin(rest.flux[0])].round(2))
    5005.0
    """
    spectra = as_spectra(as_plain(X), wave, medium)
    shift = _checked_shift(velocity, spectra)
    flux = np.empty(spectra.shape, spectra.dtype)
    ivar = np.empty_like(flux) if spectra.has_noise else None
    chips = chip_pixels(spectra.chip)
    for rows, block in spectra.iter_blocks():
        flux[rows] = block.flux
        if ivar is not None:
            ivar[rows] = np.where(block.valid(), block.ivar, 0)
        for i in np.flatnonzero(shift[rows] != 0):
            known = None if ivar is None else block.ivar[i]
            row = rows.start + i
            flux[row], weight = _shifted(
                block.flux[i], known, spectra.wave, chips, shift[row]
            )
            if ivar is not None:
                ivar[row] = weight
    if not isinstance(X, Spectra):
        return flux
    return spectra.replace(flux=flux, ivar=ivar, covariance=None)


def measure_velocity(
    X, template, *, degree=2, max_velocity=50.0, wave=None, medium=None
):
    r"""Shift of each spectrum against a template, by maximum likelihood.

    The model of a chip is a continuum polynomial plus the lines of the template, of
    free strength, at the velocity that all chips share. Continuum and strengths are
    marginalised. It starts at the peak of the cross-correlation, and Gauss-Newton steps
    lead to the maximum.

    Parameters
    ----------
    X : Spectra or array-like of shape (n_spectra, n_pixels)
        Continuum-normalised. Masked pixels do not count.
    template : array-like of shape (n_pixels,) or (1, n_pixels), or Spectra
        At rest, on the grid of X; NaN where unknown.
    degree : int, default=2
        Degree of the continuum polynomial of each chip.
    max_velocity : float, default=50.0
        Largest shift looked for, in km/s, and the margin that the ends of the chips and
        the gaps of the template lose.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of a plain array; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Returns
    -------
    velocity : ndarray of shape (n_spectra,)
        km/s, positive where the lines are to the red of the template's. NaN where no
        shift within `max_velocity` fits best.
    error : ndarray of shape (n_spectra,)
        Standard deviation of the velocity, in km/s. NaN where the velocity is.
    significance : ndarray of shape (n_spectra,)
        Square root of what the lines of the template, at the velocity tried that suits
        best, take off :math:`\chi^2`, over what is left per degree of freedom. Noise
        alone reaches about 4; from 7 on the peak can be believed.

    Raises
    ------
    ValueError
        If there are no wavelengths, if the template has another grid, or if it has no
        known pixels or no lines within them.

    Notes
    -----
    The error is the limit that photons (or what else makes the ivar) set: the inverse
    square root of the Fisher information :math:`\sum (\partial f/\partial v)^2
    /\sigma^2`, less what continuum and strength take. Where the residuals are larger
    than the ivar says, as where the template misfits, or where no ivar is known, they
    set the noise instead. The wavelength scale's error is not in it. Neighbouring
    pixels are taken to be independent.

    A template of another star biases the velocity, since blends are stronger on one
    side of a line. Of synthetic giants, a template hotter by 500 K is off by -0.10 km/s
    in APOGEE and -0.07 in GALAH, a cooler one by +0.09 (half of that at 250 K); in
    dwarfs by up to 0.03. Against the mean of all giants, 95% of them are within 0.11
    km/s, and of dwarfs against that of dwarfs within 0.06.

    References
    ----------
    Bouchy, Pepe & Queloz 2001, A&A 374, 733, eqs. 10 to 12: the information on the
    velocity in a spectrum.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.velocity import measure_velocity
    >>> wave = np.arange(5000.0, 5040.0, 0.05)
    >>> def star(velocity):
    ...     rest = wave / (1 + velocity / 299_792.458)
    ...     return 1 - 0.5 * np.exp(-0.5 * ((rest % 4 - 2) / 0.1) ** 2)
    >>> noise = 0.01 * np.random.default_rng(0).standard_normal((1, 800))
    >>> measured = measure_velocity(star(3.0) + noise, star(0), wave=wave, medium="air")
    >>> measured.velocity.round(1), measured.error.round(2)
    (array([3.]), array([0.03]))
    """
    X = as_spectra(as_plain(X), wave, medium)
    X._require_wave("measure_velocity")
    template = _checked_template(template, X)
    chips = _templates(template, X, degree, max_velocity)
    result = np.full((3, len(X)), np.nan)
    for rows, block in X.iter_blocks():
        weights = block.weights().astype(float)
        flux = np.where(weights > 0, block.flux, 0).astype(float)
        for i, row in enumerate(range(rows.start, rows.stop)):
            parts = [
                _Part(chip, flux[i, chip.pixels], weights[i, chip.pixels])
                for chip in chips
            ]
            result[:, row] = _measure(
                [p for p in parts if p.informed], X.has_noise, max_velocity
            )
    return Velocities(*result)


# --- removing -------------------------------------------------------------------------


def _checked_shift(velocity, X):
    shift = np.asarray(velocity, dtype=float) / SPEED_OF_LIGHT
    if shift.shape not in ((), (len(X),)):
        raise ValueError(
            f"velocity has shape {shift.shape}; expected a number, or one per "
            f"spectrum, ({len(X)},)."
        )
    if (np.abs(shift) >= 1).any():
        raise ValueError("a velocity is beyond the speed of light: expected km/s.")
    if (shift != 0).any():
        X._require_wave("shifting")
    return np.broadcast_to(shift, len(X))


def _shifted(flux, ivar, wave, chips, shift):
    """One row without its velocity, and its ivar (None where it is not known)."""
    new = np.full(len(flux), np.nan)
    weight = None if ivar is None else np.zeros(len(flux))
    valid = np.isfinite(flux) if ivar is None else np.isfinite(flux) & (ivar > 0)
    if np.isnan(shift):
        return new, weight
    for pixels in chips:
        good = valid[pixels]
        if good.sum() < 2:
            continue
        at = wave[pixels]
        origin = at * (1 + shift)
        lower = np.clip(np.searchsorted(at, origin, side="right") - 1, 0, len(at) - 2)
        share = (origin - at[lower]) / (at[lower + 1] - at[lower])
        inside = (share >= 0) & (share <= 1) & good[lower] & good[lower + 1]
        part = pixels[inside]
        new[part] = _spline(at, flux[pixels], good)(origin[inside])
        if ivar is not None:
            number = np.arange(len(at))
            variance = np.interp(
                number, number[good], 1 / ivar[pixels][good].astype(float)
            )
            weight[part] = 1 / _variance(variance, lower[inside], share[inside])
    return new, weight


def _spline(wave, flux, good):
    """Spline through the good pixels of a chip, which bridges the others."""
    flux = flux.astype(float)
    if not good.all():
        known = np.flatnonzero(good)
        flux = np.where(good, flux, 0)
        if len(known) > 3:
            inner = slice(known[0], known[-1] + 1)
            bridge = CubicSpline(wave[good], flux[good])(wave[inner])
            flux[inner] = np.where(good[inner], flux[inner], bridge)
            wave, flux = wave[inner], flux[inner]
        else:
            wave, flux = wave[good], flux[good]
    order = min(ORDER, len(wave) - 1)
    return make_interp_spline(wave, flux, k=order if order % 2 else order - 1)


def _variance(variance, lower, share):
    """Variance of flux interpolated between pixels `lower` and the next."""
    padded = np.pad(variance, TAPS, mode="edge")
    shares, squared = _squared_weights()
    total = np.zeros(len(lower))
    for tap, weights in zip(range(1 - TAPS, TAPS + 1), squared):
        total += np.interp(share, shares, weights) * padded[lower + tap + TAPS]
    return total


@lru_cache(maxsize=1)
def _squared_weights():
    """Squared weights of the pixels around an interpolated one, by where it lies."""
    number = np.arange(-2 * TAPS, 2 * TAPS + 1)
    cardinal = make_interp_spline(number, (number == 0).astype(float), k=ORDER)
    shares = np.linspace(0, 1, 257)
    return shares, [cardinal(shares - tap) ** 2 for tap in range(1 - TAPS, TAPS + 1)]


# --- measuring ------------------------------------------------------------------------


def _checked_template(template, X):
    if not isinstance(template, Spectra):
        template = np.atleast_2d(np.asarray(as_plain(template), dtype=float))
    if template.shape != (1, X.shape[1]):
        raise ValueError(
            f"template has shape {template.shape}; expected one spectrum on the grid "
            f"of X, ({X.shape[1]},)."
        )
    template = as_spectra(template, X.wave, X.medium, "template")
    check_same_grid(template, X, "template", "X")
    return np.where(template.valid(), template.flux, np.nan)[0].astype(float)


@dataclass(frozen=True)
class _Template:
    """The template on one chip, where it is known whatever the shift.

    `tried` (n_pixels, n_tried) holds its lines, flux − 1, at the velocities tried;
    `basis` (n_pixels, degree + 1) is that of the continuum.
    """

    pixels: np.ndarray
    wave: np.ndarray
    flux: object
    slope: object
    basis: np.ndarray
    velocities: np.ndarray
    tried: np.ndarray
    step: float

    def lines(self, velocity):
        """Depth of the lines at a velocity, negative, and its derivative by it."""
        factor = 1 / (1 + velocity / SPEED_OF_LIGHT)
        at = self.wave * factor
        return self.flux(at) - 1, -self.slope(at) * at * factor / SPEED_OF_LIGHT


def _templates(template, X, degree, max_velocity):
    known = np.isfinite(template)
    if not known.any():
        raise ValueError("the template has no known pixels.")
    margin = 1 + max_velocity / SPEED_OF_LIGHT
    steps = np.median(np.diff(np.log(X.wave))) * SPEED_OF_LIGHT * STEP
    count = int(np.ceil(max_velocity / steps))
    velocities = np.linspace(-max_velocity, max_velocity, 2 * count + 1)
    chips = []
    for pixels in chip_pixels(X.chip):
        wave, good = X.wave[pixels], known[pixels]
        # unknown pixels at or before each; those between the ends of the search
        unknown = np.r_[0, np.cumsum(~good)]
        first = np.searchsorted(wave, wave / margin, side="right") - 1
        last = np.searchsorted(wave, wave * margin, side="left")
        usable = (first >= 0) & (last < len(wave))
        usable[usable] = unknown[last[usable] + 1] == unknown[first[usable]]
        if usable.sum() < degree + 3:
            continue
        flux = _spline(wave, np.where(good, template[pixels], 0), good)
        chip = _Template(
            pixels[usable],
            wave[usable],
            flux,
            flux.derivative(),
            legvander(scaled(X.wave, pixels), degree)[usable],
            velocities,
            np.empty((usable.sum(), len(velocities))),
            steps,
        )
        for i, velocity in enumerate(velocities):
            chip.tried[:, i] = chip.lines(velocity)[0]
        if np.ptp(chip.lines(0.0)[0]) > STILL:
            chips.append(chip)
    if not chips:
        raise ValueError(
            f"the template has no lines further than max_velocity={max_velocity:g} "
            "km/s from gaps and the ends of chips: give a smaller max_velocity, or "
            "another template."
        )
    return chips


class _Part:
    """One row on one chip: its flux less the continuum that fits it best."""

    def __init__(self, chip, flux, weight):
        self.chip, self.weight = chip, weight
        basis = chip.basis
        self.weighted = weight[:, None] * basis
        normal = basis.T @ self.weighted
        self.informed = np.count_nonzero(weight) > 2 + basis.shape[1]
        self.inverse = np.linalg.pinv(normal, hermitian=True) if self.informed else None
        if self.informed:
            self.flux = flux - basis @ (self.inverse @ (self.weighted.T @ flux))

    def without_continuum(self, lines):
        """`lines`, (n_pixels,) or (n_pixels, n), less the continuum fitted to them."""
        return lines - self.chip.basis @ (self.inverse @ (self.weighted.T @ lines))

    def gains(self):
        """What the lines take off χ² at each velocity tried."""
        lines = self.chip.tried
        across = self.weighted.T @ lines
        power = self.weight @ lines**2 - np.sum(
            across * (self.inverse @ across), axis=0
        )
        match = (self.weight * self.flux) @ lines
        gain = np.maximum(match, 0) ** 2 / np.where(power > 0, power, 1)
        return np.where(power > 0, gain, 0)

    def step(self, velocity):
        """Slope and curvature of log-likelihood, residual χ², degrees of freedom."""
        lines, slope = self.chip.lines(velocity)
        lines, slope = self.without_continuum(lines), self.without_continuum(slope)
        weighted = self.weight * lines
        power = weighted @ lines
        if not power > 0:
            return np.array([0, 0, self.weight @ self.flux**2, self.degrees()])
        strength = max(weighted @ self.flux / power, 0)
        slope = strength * (slope - lines * (weighted @ slope / power))
        left = self.flux - strength * lines
        return np.array(
            [
                (self.weight * slope) @ left,
                (self.weight * slope) @ slope,
                self.weight @ left**2,
                self.degrees(),
            ]
        )

    def degrees(self):
        """Degrees of freedom."""
        return np.count_nonzero(self.weight) - self.chip.basis.shape[1] - 1


def _measure(parts, has_noise, max_velocity):
    """Velocity, its error, and the significance of the peak, of one row."""
    if not parts:
        return np.nan, np.nan, np.nan
    gains = sum(part.gains() for part in parts)
    best = int(np.argmax(gains))
    if not gains[best] > 0:
        return np.nan, np.nan, 0.0
    velocity = parts[0].chip.velocities[best]
    limit = parts[0].chip.step
    slope, curvature, chi2, degrees = _sums(parts, velocity)
    for _ in range(N_STEPS):
        if not curvature > 0:
            return np.nan, np.nan, np.nan
        move = np.clip(slope / curvature, -limit, limit)
        there = _sums(parts, velocity + move)
        while there[2] > chi2 and abs(move) > CONVERGED * limit:
            move /= 2  # a template that fits badly: the step was too long
            there = _sums(parts, velocity + move)
        velocity += move
        slope, curvature, chi2, degrees = there
        if abs(move) <= CONVERGED * limit:
            break
    else:
        velocity = np.nan
    noise = max(chi2 / degrees, 1.0 if has_noise else np.finfo(float).tiny)
    significance = np.sqrt(gains[best] / noise)
    if not (abs(velocity) <= max_velocity and curvature > 0):
        return np.nan, np.nan, significance
    return velocity, np.sqrt(noise / curvature), significance


def _sums(parts, velocity):
    return sum(part.step(velocity) for part in parts)
