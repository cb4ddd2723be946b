"""augment: spectra with the differences that there are between surveys."""

from dataclasses import dataclass
from functools import partial
from numbers import Real

import numpy as np
from scipy.ndimage import convolve1d, map_coordinates
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from specxfer._grids import SPEED_OF_LIGHT
from specxfer.base import _seed
from specxfer.preprocessing._transformer import as_plain
from specxfer.spectra import Spectra, as_spectra

FWHM = np.sqrt(8 * np.log(2))  # of a Gaussian, in standard deviations

SIZES = {
    "velocity": [Interval(Real, 0, None, closed="left"), None],
    "resolution": [Interval(Real, 0, None, closed="left"), None],
    "line_strength": [Interval(Real, 0, None, closed="left"), None],
    "missing_lines": [Interval(Real, 0, None, closed="left"), None],
    "continuum": [Interval(Real, 0, None, closed="left"), None],
    "continuum_length": [Interval(Real, 0, None, closed="neither")],
    "snr": [Interval(Real, 0, None, closed="neither"), None],
    "bad_pixels": [Interval(Real, 0, 1, closed="left"), None],
    "resolving_power": [Interval(Real, 0, None, closed="neither"), None],
    "wave": ["array-like", None],
    "medium": [StrOptions({"air", "vacuum"}), None],
    "random_state": ["random_state"],
}


@validate_params({"X": "no_validation", **SIZES}, prefer_skip_nested_validation=True)
def augment(
    X,
    *,
    velocity=0.5,
    resolution=0.05,
    line_strength=0.1,
    missing_lines=0.01,
    continuum=0.01,
    continuum_length=0.07,
    snr=None,
    bad_pixels=0.0,
    resolving_power=None,
    wave=None,
    medium=None,
    random_state=0,
):
    r"""One perturbed copy of spectra, with the differences there are between surveys.

    Synthetic spectra, and those of another survey or pipeline, differ from the ones
    to be translated in ways that have nothing to do with the star. A translator
    trained on exact spectra uses features that such differences swamp; one that has
    seen random realisations of them learns to do without (see
    `specxfer.compose.Augmented`). Each difference is drawn anew for each spectrum,
    and 0 or None switches it off.

    Parameters
    ----------
    X : Spectra or array-like of shape (n_spectra, n_pixels)
        NaN or ivar 0: masked, and stays so.
    velocity : float, default=0.5
        Standard deviation in km/s of the error of the radial velocity, by which the
        whole spectrum is shifted.
    resolution : float, default=0.05
        Relative standard deviation of the error of the resolving power, by which all
        lines are broader or sharper than stated.
    line_strength : float, default=0.1
        Relative standard deviation of line depths (wrong oscillator strengths,
        departures from local thermodynamic equilibrium): ``1 - flux`` is multiplied by
        1 + ε, where ε varies along the spectrum over one line-spread function.
    missing_lines : float, default=0.01
        Standard deviation, in continuum units, of what is added to the flux in
        features as wide as the line-spread function: lines that the line list lacks,
        remains of telluric and sky lines.
    continuum : float, default=0.01
        Relative standard deviation of the continuum, a smooth curve on each chip by
        which the flux is multiplied.
    continuum_length : float, default=0.07
        Length over which that curve varies, as a fraction of the chip, since pipelines
        fit the continuum chip by chip: it is white noise smoothed by a Gaussian with
        this standard deviation.
    snr : float, optional
        Signal-to-noise ratio, per pixel, of white noise that is added with a standard
        deviation of ``1 / snr`` continuum units.
    bad_pixels : float, default=0.0
        Fraction of pixels to mask, each by itself.
    resolving_power : float, optional
        :math:`R = \lambda/\mathrm{FWHM}` of spectra, or chips of theirs, whose
        `resolution` is not known.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of a plain array; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.
    random_state : int, RandomState instance or None, default=0
        With an int the draws of a row depend on its number alone: not on the other
        rows, nor on which of the differences are switched on. None: fresh entropy.

    Returns
    -------
    Spectra or ndarray of shape (n_spectra, n_pixels)
        `Spectra` if X is, otherwise an array; in memory. The ivar follows the
        continuum and the noise added; where X has none, X is taken to be free of
        noise. It does not contain the other differences, which are no noise: they vary
        together in neighbouring pixels. The stated `resolution` stays.

    Raises
    ------
    ValueError
        If there are no wavelengths, or no resolving power, and a difference needs
        them: `velocity` the former, `resolution`, `line_strength` and `missing_lines`
        both.

    See Also
    --------
    specxfer.compose.Augmented : Trains a translator on perturbed copies.

    Notes
    -----
    Shifts are by cubic splines, within each chip and across masked pixels. A pixel
    whose flux would come from more than a pixel beyond the chip is masked. The change
    of resolution is the first term of a Taylor series,
    :math:`f + \tfrac12 \Delta\sigma^2 f''`, good to changes of R of some 20%.
    Since noise must not blow up when lines are sharpened, the second derivative is a
    difference over one :math:`\sigma` of the line-spread function, scaled such that
    the depth of an unresolved line changes in proportion to R.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.preprocessing import augment
    >>> wave = np.arange(5000.0, 5040.0, 0.05)
    >>> line = 1 - 0.5 * np.exp(-0.5 * ((wave - 5020) / 0.1) ** 2)
    >>> X = Spectra(line[None], wave=wave, medium="air", resolution=[22_000.0])
    >>> copy = augment(X, snr=100, random_state=1)
    >>> copy.shape, float(copy.ivar[0, 0])
    ((1, 800), 10000.0)
    >>> round(float((copy.flux - X.flux).std()), 3)
    0.016
    """
    spectra = as_spectra(as_plain(X), wave, medium)
    chips = _chips(spectra, continuum_length)
    differences = _Differences(
        velocity=velocity or 0,
        resolution=resolution or 0,
        line_strength=line_strength or 0,
        missing_lines=missing_lines or 0,
        continuum=continuum or 0,
        noise=1 / snr if snr else 0,
        bad_pixels=bad_pixels or 0,
        chips=chips,
    )
    power = _resolving_power(spectra, resolving_power, len(chips))
    differences.check_known(spectra, power)
    seed = _seed(random_state)
    flux = np.empty(spectra.shape, spectra.dtype)
    ivar = np.empty_like(flux) if spectra.has_noise or snr else None
    for rows, block in spectra.iter_blocks(256):
        for i, row in enumerate(range(rows.start, rows.stop)):
            known = block.ivar[i] if block.has_noise else None
            flux[row], weight = differences.draw(
                block.flux[i], known, power[row], partial(_generator, seed, row)
            )
            if ivar is not None:
                ivar[row] = weight
    if not isinstance(X, Spectra):
        return flux
    return spectra.replace(flux=flux, ivar=ivar, covariance=None)


def sharpened(X, change, resolving_power=None):
    """Spectra whose resolving power is higher by a relative change, to first order.

    Parameters
    ----------
    X : Spectra of shape (n, n_pixels)
    change : float
        Relative; negative makes them blunter.
    resolving_power : float, optional
        λ/FWHM of spectra that do not carry their own.

    Returns
    -------
    Spectra
        With the ivar and the stated `resolution` of X: the difference is an error.
    """
    chips = _chips(X, 1.0)
    differences = _Differences(0, change, 0, 0, 0, 0, 0, chips)
    power = _resolving_power(X, resolving_power, len(chips))
    differences.check_known(X, power)
    flux = np.array(X.flux)
    for i, valid in enumerate(X.valid()):
        whole = flux[i].astype(float)
        for chip in chips:
            whole[chip.pixels] = _bridged(whole[chip.pixels], valid[chip.pixels])
        flux[i] += differences._widening(whole, power[i], change)
    return X.replace(flux=flux, covariance=None)


def _generator(seed, row, name):
    """One generator for each row and difference: none disturbs another."""
    return np.random.default_rng([seed, row, list(SIZES).index(name)])


@dataclass(frozen=True)
class _Chip:
    """The pixels of a chip, its wavelengths, and the shape of its continuum errors.

    `step` is the pixel in ln λ; `smoothing`, of shape (n_nodes, n_pixels), makes a
    smooth curve of variance 1 from white noise.
    """

    pixels: np.ndarray
    wave: np.ndarray | None
    step: float
    smoothing: np.ndarray


def _chips(X, length):
    chips = []
    for number in np.unique(X.chip):
        pixels = np.flatnonzero(X.chip == number)
        wave = None if X.wave is None else X.wave[pixels]
        at = (pixels if wave is None else wave).astype(float)
        at = (at - at[0]) / max(at[-1] - at[0], np.finfo(float).tiny)
        node = np.arange(-4 * length, 1 + 4.5 * length, length / 2)
        smoothing = np.exp(-0.5 * ((at - node[:, None]) / length) ** 2)
        smoothing /= np.sqrt((smoothing**2).sum(axis=0))
        lone = wave is None or len(wave) < 2
        step = np.nan if lone else np.median(np.diff(np.log(wave)))
        chips.append(_Chip(pixels, wave, step, smoothing))
    return chips


def _resolving_power(X, default, n_chips):
    """Resolving power of each row and chip; NaN where it is not known."""
    power = np.full((len(X), n_chips), np.nan)
    if X.resolution is not None:
        power[:] = X.resolution if X.resolution.ndim == 2 else X.resolution[:, None]
    if default is not None:
        power[np.isnan(power)] = default
    return power


@dataclass(frozen=True)
class _Differences:
    """What `augment` does to a spectrum; see there."""

    velocity: float
    resolution: float
    line_strength: float
    missing_lines: float
    continuum: float
    noise: float
    bad_pixels: float
    chips: list

    def check_known(self, X, power):
        """Refuse to leave out silently what cannot be done."""
        on = [n for n in ("velocity", *self._of_lines()) if getattr(self, n)]
        if on and X.wave is None:
            raise ValueError(
                f"{' and '.join(on)} need wavelengths and these spectra came as a "
                "plain array. Give Spectra, or wave= and medium=, or switch them off "
                f"({', '.join(f'{name}=0' for name in on)})."
            )
        on = [n for n in self._of_lines() if getattr(self, n)]
        if on and np.isnan(power).any():
            raise ValueError(
                f"{' and '.join(on)} need the resolving power, and "
                f"{int(np.isnan(power).any(axis=1).sum())} of {len(X)} spectra do not "
                "carry theirs. Give Spectra(..., resolution=R), or resolving_power=R, "
                f"or switch them off ({', '.join(f'{name}=0' for name in on)})."
            )

    @staticmethod
    def _of_lines():
        return "resolution", "line_strength", "missing_lines"

    def draw(self, flux, ivar, power, generator):
        """One perturbed spectrum and its ivar (None where it stays unknown)."""
        unknown = np.isnan(flux)
        valid = ~unknown if ivar is None else ~unknown & (ivar > 0)
        flux = flux.astype(float)
        if self.velocity or self.resolution:
            for chip in self.chips:
                flux[chip.pixels] = _bridged(flux[chip.pixels], valid[chip.pixels])
        if self.velocity:
            shift = generator("velocity").normal(0, self.velocity) / SPEED_OF_LIGHT
            flux, ivar, unknown = self._shifted(flux, ivar, unknown, shift)
        if self.resolution:
            error = generator("resolution").normal(0, self.resolution)
            flux = flux + self._widening(flux, power, error)
        if self.line_strength:
            field = self._line_field(generator("line_strength"), power)
            flux = 1 - (1 - flux) * (1 + self.line_strength * field)
        if self.missing_lines:
            field = self._line_field(generator("missing_lines"), power)
            flux = flux + self.missing_lines * field
        if self.continuum:
            level = 1 + self.continuum * self._smooth_field(generator("continuum"))
            flux = flux * level
            ivar = None if ivar is None else ivar / level**2
        if self.noise:
            flux = flux + self.noise * generator("snr").standard_normal(len(flux))
            ivar = (
                1 / self.noise**2 if ivar is None else ivar / (1 + ivar * self.noise**2)
            )
        if self.bad_pixels:
            unknown = unknown | (
                generator("bad_pixels").random(len(flux)) < self.bad_pixels
            )
        flux = np.where(unknown, np.nan, flux)
        return flux, None if ivar is None else np.where(unknown, 0, ivar)

    def _shifted(self, flux, ivar, unknown, shift):
        """A redshift by `shift` = v / c; beyond the ends of a chip all is unknown."""
        flux, unknown = flux.copy(), unknown.copy()
        ivar = None if ivar is None else ivar.copy()
        for chip in self.chips:
            if len(chip.pixels) < 2 or np.isnan(flux[chip.pixels]).any():
                continue
            origin = chip.wave / (1 + shift)
            at = np.interp(origin, chip.wave, np.arange(len(origin)))
            nearest = chip.pixels[np.rint(at).astype(int)]
            off = np.maximum(chip.wave[0] / origin, origin / chip.wave[-1])
            unknown[chip.pixels] = unknown[nearest] | (np.log(off) > chip.step)
            flux[chip.pixels] = map_coordinates(
                flux[chip.pixels], [at], order=3, mode="nearest"
            )
            if ivar is not None:
                ivar[chip.pixels] = ivar[nearest]
        return flux, ivar, unknown

    def _widening(self, flux, power, error):
        """What a relative `error` of the resolving power adds to the flux."""
        change = np.zeros_like(flux)
        for chip, sigma in zip(self.chips, self._sigmas(power)):
            part = flux[chip.pixels]
            reach = max(1, round(sigma))
            padded = np.pad(part, reach, mode="edge")
            second = padded[2 * reach :] - 2 * part + padded[: -2 * reach]
            # a line as wide as the LSF gets deeper in its core by the error, as it must
            factor = 0.5 / -np.expm1(-0.5 * (reach / sigma) ** 2)
            change[chip.pixels] = -error * factor * second
        return change

    def _line_field(self, generator, power):
        """White noise seen through the line-spread function, with variance 1."""
        field = generator.standard_normal(sum(len(c.pixels) for c in self.chips))
        for chip, sigma in zip(self.chips, self._sigmas(power)):
            reach = int(np.ceil(4 * sigma))
            kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
            kernel /= np.sqrt((kernel**2).sum())
            field[chip.pixels] = convolve1d(field[chip.pixels], kernel, mode="wrap")
        return field

    def _smooth_field(self, generator):
        """A smooth curve on each chip, with variance 1."""
        field = np.empty(sum(len(c.pixels) for c in self.chips))
        for chip in self.chips:
            nodes = generator.standard_normal(len(chip.smoothing))
            field[chip.pixels] = nodes @ chip.smoothing
        return field

    def _sigmas(self, power):
        """Standard deviation of the line-spread function of each chip, in pixels."""
        for chip, R in zip(self.chips, power):
            yield 1 / (FWHM * R * chip.step) if chip.step > 0 else 1.0


def _bridged(flux, valid):
    """Straight lines across what is masked: junk must not leak out of it."""
    if valid.all() or not valid.any():
        return flux
    at = np.arange(len(flux))
    return np.where(valid, flux, np.interp(at, at[valid], flux[valid]))
