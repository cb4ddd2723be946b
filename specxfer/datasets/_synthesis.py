"""From line strengths to spectra: profiles, saturation, and the spectrograph."""

import numpy as np
import scipy.fft
from scipy.sparse import coo_array, hstack
from scipy.special import dawsn

from specxfer._grids import SPEED_OF_LIGHT
from specxfer.datasets._reversing_layer import ReversingLayer
from specxfer.datasets._universe import line_list

__all__ = ["Synthesizer", "blur_of"]

STEP = 1.0  # km/s: of the grid on which lines are formed, finer than a line's width
FWHM = np.sqrt(8 * np.log(2))

#: Doppler widths (km/s) that are tabulated; others mix their neighbours.
WIDTHS = np.array([0.9, 1.2, 1.6, 2.1, 2.8, 3.7, 5.0])
#: Damping wings are tabulated at one width: far out only a b² counts.
WING_WIDTH = 1.8
FAINT = 1e-3  # optical depth below which a wing ends

#: Stars in which each line is strongest or nearly so: they say how far wings reach.
EXTREMES = {
    "teff": np.array([5777.0, 4600.0, 3900.0, 6500.0]),
    "logg": np.array([4.44, 4.65, 1.2, 4.0]),
    "fe_h": np.array([0.4, 0.4, 0.4, 0.4]),
    "vmic": np.array([1.0, 0.9, 1.7, 1.3]),
}
EXCESS = 3.0  # how much an element may exceed them

# Hydrogen: lower level (eV), wavelengths in vacuum (Å), width (Å) at which the Stark
# wing of the Sun has optical depth 1, and half-width (Å) of the core.
BALMER = (10.199, ((4862.69, 1.4), (6564.61, 1.5)), 0.4)
BRACKETT = (
    12.749,
    (
        (15264.7, 1.6),
        (15345.9, 1.7),
        (15443.1, 1.8),
        (15560.7, 1.9),
        (15704.9, 2.0),
        (15884.9, 2.2),
        (16113.7, 2.4),
        (16411.7, 2.6),
        (16811.1, 2.8),
    ),
    6.0,
)


class Synthesizer:
    """Spectra of one stretch of wavelength, as an ideal spectrograph records them.

    Lines are laid on a grid of 1 km/s as optical depth (Gaussian cores by sparse
    matrix products, damping wings by another), so that blends saturate together. The
    flux then is blurred and shifted in Fourier space, exactly, and read at the pixels.

    Parameters
    ----------
    wave : ndarray of shape (n_pixels,)
        Å in vacuum, increasing, without gaps.
    padding : float, default=150.0
        km/s of spectrum on either side, for lines and blur that reach in.
    min_blur : float, default=1.0
        The least blur (km/s) that `record` will be asked for.
    lines : LineList, optional
        By default the lines of the simulator's universe.

    Notes
    -----
    Far wings use H(a, u) ≈ exp(−u²) + a H₁(u), good to a percent for a < 0.1.

    References
    ----------
    Harris 1948, ApJ 108, 112 (expansion of the Voigt function).
    """

    def __init__(self, wave, padding=150.0, min_blur=1.0, lines=None):
        start = np.log(wave[0]) - padding / SPEED_OF_LIGHT
        span = np.log(wave[-1] / wave[0]) * SPEED_OF_LIGHT + 2 * padding
        n = scipy.fft.next_fast_len(int(np.ceil(span / STEP)) + 4, real=True)
        self.log_wave = start + np.arange(n) * (STEP / SPEED_OF_LIGHT)
        self.wave = np.exp(self.log_wave)
        if lines is None:
            lines = line_list(self.wave[0], self.wave[-1])
        self.lines = lines
        self._centres = (np.log(lines.wave) - start) * (SPEED_OF_LIGHT / STEP)
        self._cores = self._core_matrix()
        self._wings, self._winged = self._wing_matrix()
        self._hydrogen = [self._stark(*series) for series in (BALMER, BRACKETT)]
        self._pixels = self._pixel_matrix(np.log(wave))
        wavenumber = 2 * np.pi * scipy.fft.rfftfreq(n, STEP)  # per km/s
        # beyond this the blur leaves nothing
        keep = np.searchsorted(wavenumber, 6.0 / min_blur)
        self._wavenumber = wavenumber[:keep, None].astype(np.float32)

    # ------------------------------------------------------------------ tables
    def _profile_matrix(self, reach, profile):
        """Sparse (grid, lines) matrix of ``profile(velocity)`` out to `reach` km/s."""
        n, reach = len(self.wave), np.broadcast_to(reach, self._centres.shape)
        first = np.clip(np.ceil(self._centres - reach / STEP), 0, n).astype(int)
        stop = np.clip(np.floor(self._centres + reach / STEP) + 1, 0, n).astype(int)
        count = np.maximum(stop - first, 0)
        column = np.repeat(np.arange(len(count)), count)
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        row = np.repeat(first, count) + offset
        value = profile((row - self._centres[column]) * STEP).astype(np.float32)
        shape = (n, len(count))
        return coo_array((value, (row, column)), shape=shape).tocsr()

    def _core_matrix(self):
        """Gaussians of unit area per √π, lines × widths side by side."""
        return hstack(
            [
                self._profile_matrix(4 * b, lambda v, b=b: np.exp(-((v / b) ** 2)) / b)
                for b in WIDTHS
            ]
        ).tocsr()

    def _wing_matrix(self):
        """First-order damping profiles of the lines strong enough to have wings."""
        depth, doppler, damping = ReversingLayer(**EXTREMES).line_strengths(self.lines)
        wing = (EXCESS * depth * damping * doppler**2).max(axis=1) / np.sqrt(np.pi)
        reach = np.sqrt(wing / FAINT)
        winged = np.flatnonzero(reach > 2 * WIDTHS[1])
        matrix = self._profile_matrix(
            np.where(reach > 2 * WIDTHS[1], np.clip(reach, 8, 3000), 0),
            lambda v: harris(v / WING_WIDTH),
        )
        return matrix[:, winged], winged

    def _stark(self, ep, lines, core):
        """Optical depth of a series in the Sun (grid,), and its lower level."""
        depth = np.zeros(len(self.wave))
        for wave, width in lines:
            distance = np.hypot(self.wave - wave, core)
            depth += (width / distance) ** 2
        return ep, depth.astype(np.float32) if depth.max() > FAINT else None

    def _pixel_matrix(self, log_wave):
        """Cubic interpolation from the grid to the pixels."""
        position = (log_wave - self.log_wave[0]) * (SPEED_OF_LIGHT / STEP)
        left = np.floor(position).astype(int)
        x = position - left
        weights = [
            -x * (x - 1) * (x - 2) / 6,
            (x + 1) * (x - 1) * (x - 2) / 2,
            -(x + 1) * x * (x - 2) / 2,
            (x + 1) * x * (x - 1) / 6,
        ]
        n = len(log_wave)
        row = np.tile(np.arange(n), 4)
        column = np.concatenate([left + k for k in (-1, 0, 1, 2)])
        value = np.concatenate(weights).astype(np.float32)
        shape = (n, len(self.wave))
        return coo_array((value, (row, column)), shape=shape).tocsr()

    # ------------------------------------------------------------------ spectra
    def optical_depth(self, layer):
        """Optical depth of the slab on the fine grid, float32 (n_grid, n)."""
        depth, doppler, damping = (
            values.astype(np.float32) for values in layer.line_strengths(self.lines)
        )
        tau = self._cores @ spread_over_widths(depth * doppler, doppler)
        if len(self._winged):
            wing = depth * damping * (doppler / WING_WIDTH) ** 2
            tau += self._wings @ wing[self._winged]
        for ep, profile in self._hydrogen:
            # formed deep, hence at Teff
            excitation = 5039.78 * ep * (1 / layer.teff - 1 / 5777.0)
            if profile is not None:
                tau += profile[:, None] * (10 ** (-0.6 * excitation)).astype(np.float32)
        return np.maximum(tau, 0, out=tau)

    def line_depth(self, layer):
        """1 − flux on the fine grid before the spectrograph, float32 (n_grid, n)."""
        depth = self.optical_depth(layer)
        np.negative(depth, out=depth)
        np.expm1(depth, out=depth)
        x = np.linspace(0, 1, len(self.wave), dtype=np.float32)[:, None]
        blue, red = (layer.floor(w).astype(np.float32) for w in self.wave[[0, -1]])
        depth *= (blue - 1) + (red - blue) * x
        return depth

    def transform(self, layer):
        """Fourier transform of the line depth, for `record`."""
        return scipy.fft.rfft(self.line_depth(layer), axis=0)

    def record(self, transform, blur, velocity=None):
        """Flux at the pixels, blurred and shifted.

        Parameters
        ----------
        transform : complex ndarray of shape (n_frequencies, n)
        blur : ndarray of shape (n,)
            Standard deviation of all that broadens the spectrum, km/s.
        velocity : ndarray of shape (n,), optional
            Shift to the red, km/s.

        Returns
        -------
        float32 ndarray of shape (n_pixels, n)
        """
        wavenumber = self._wavenumber
        transfer = np.exp(-0.5 * (wavenumber * blur.astype(np.float32)) ** 2)
        product = transform[: len(wavenumber)] * transfer
        if velocity is not None:
            phase = wavenumber * velocity.astype(np.float32)
            product *= np.cos(phase) - 1j * np.sin(phase)
        depth = scipy.fft.irfft(product, n=len(self.wave), axis=0, overwrite_x=True)
        flux = self._pixels @ depth
        return np.subtract(1, flux, out=flux)


def harris(u):
    """H₁(u) of the Voigt function's expansion in a: 1/(√π u²) far from the centre."""
    return 2 / np.sqrt(np.pi) * (2 * u * dawsn(u) - 1)


def spread_over_widths(strength, doppler):
    """Share lines out to the two tabulated widths on either side of their own.

    Linear in b², so that both the area and the variance of a profile are right.

    Parameters
    ----------
    strength, doppler : ndarray of shape (n_lines, n)

    Returns
    -------
    ndarray of shape (n_widths * n_lines, n)
    """
    squares = (WIDTHS**2).astype(strength.dtype)
    square = np.clip(doppler**2, squares[0], squares[-1])
    out = np.empty((len(WIDTHS), *strength.shape), strength.dtype)
    for k, width in enumerate(squares):
        below, above = squares[max(k - 1, 0)], squares[min(k + 1, len(WIDTHS) - 1)]
        share = np.ones_like(square)
        if k > 0:
            np.minimum(share, (square - below) / (width - below), out=share)
        if k < len(WIDTHS) - 1:
            np.minimum(share, (above - square) / (above - width), out=share)
        np.multiply(np.maximum(share, 0), strength, out=out[k])
    return out.reshape(-1, strength.shape[1])


def blur_of(resolution, vmac):
    """Standard deviation (km/s) of the line-spread function and macroturbulence."""
    return np.hypot(SPEED_OF_LIGHT / (FWHM * resolution), vmac)
