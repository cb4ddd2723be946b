"""A spectrograph with all its faults, each of which can be switched off."""

from dataclasses import dataclass

import numpy as np

from specxfer._grids import SPEED_OF_LIGHT
from specxfer.datasets._synthesis import FWHM, Synthesizer, blur_of
from specxfer.wavelengths import air_to_vacuum

__all__ = ["Spectrograph"]

PADDING = 150.0  # km/s, at least


@dataclass
class Spectrograph:
    """Where a survey observes, how sharply, and how badly.

    Parameters
    ----------
    wave : ndarray of shape (n_pixels,)
        Å in `medium`, in the star's rest frame.
    medium : {"air", "vacuum"}
    chip : ndarray of int of shape (n_pixels,)
    detectors : sequence of (lo, hi), or None
        Å in `medium`, at the telescope: what falls outside is unknown. None observes
        everything.
    resolution, resolution_scatter : float
        Mean resolving power and its relative scatter from star to star.
    snr : float, (lo, hi) or None
        Signal-to-noise ratio per pixel, or the limits of a log-uniform distribution.
    rv_error : float
        Standard deviation of the velocity by which a spectrum is misplaced, km/s.
    continuum_error : float
        Standard deviation of the smooth error of the normalisation.
    bad_pixels : float
        Fraction of the pixels that are masked.
    """

    wave: np.ndarray
    medium: str
    chip: np.ndarray
    detectors: tuple | None
    resolution: float
    resolution_scatter: float
    snr: float | tuple | None
    rv_error: float
    continuum_error: float
    bad_pixels: float

    def __post_init__(self):
        vacuum = air_to_vacuum(self.wave) if self.medium == "air" else self.wave
        sharpest = self.resolution * (1 + 3 * self.resolution_scatter)
        blur = SPEED_OF_LIGHT / (FWHM * self.resolution)  # typical, km/s
        padding = max(PADDING, 8 * blur + 5 * self.rv_error)
        self._pieces = pieces(vacuum, 2 * padding)
        min_blur = SPEED_OF_LIGHT / (FWHM * sharpest)
        self._synthesizers = [
            Synthesizer(vacuum[piece], padding, min_blur) for piece in self._pieces
        ]
        self._smooth = self._continuum_basis()

    def __len__(self):
        return len(self.wave)

    def _continuum_basis(self):
        """Legendre polynomials of degree 0 to 2 on each chip, of unit rms together."""
        basis = []
        for chip in np.unique(self.chip):
            wave = np.where(self.chip == chip, self.wave, np.nan)
            lo, hi = np.nanmin(wave), np.nanmax(wave)
            x = (2 * wave - lo - hi) / max(hi - lo, 1e-9)
            rows = [np.ones_like(x), np.sqrt(3) * x, np.sqrt(5) * (1.5 * x**2 - 0.5)]
            basis += [np.nan_to_num(row) / np.sqrt(3) for row in rows]
        return np.array(basis, dtype=np.float32)

    def draw(self, rngs):
        """What differs from one spectrum to the next.

        Parameters
        ----------
        rngs : list of Generator, one a spectrum

        Returns
        -------
        dict of str to ndarray
            ``resolution``, ``rv_offset`` (km/s), ``snr``, each (n,), and
            ``continuum``, (n, 3 n_chips).
        """
        z = np.array([rng.standard_normal(2 + len(self._smooth)) for rng in rngs])
        u = np.array([rng.random() for rng in rngs])
        scatter = self.resolution_scatter * np.clip(z[:, 0], -3, 3)
        lo, hi = (np.inf, np.inf) if self.snr is None else np.resize(self.snr, 2)
        return {
            "resolution": self.resolution * (1 + scatter),
            "rv_offset": self.rv_error * z[:, 1],
            "snr": lo * (hi / lo) ** u if lo < hi else np.full(len(u), lo, dtype=float),
            "continuum": self.continuum_error * z[:, 2:],
        }

    def transform(self, layer):
        """What `expose` needs of the stars, whatever the exposure."""
        return [part.transform(layer) for part in self._synthesizers]

    def expose(self, transforms, resolution, vmac, rv_offset=None):
        """Noise-free flux, float32 (n, n_pixels)."""
        blur = blur_of(resolution, vmac)
        out = np.empty((len(blur), len(self)), dtype=np.float32)
        for piece, part, transform in zip(
            self._pieces, self._synthesizers, transforms, strict=True
        ):
            out[:, piece] = part.record(transform, blur, rv_offset).T
        return out

    def degrade(self, flux, ivar, snr, continuum, velocity, rng):
        """Add continuum errors, noise, masked pixels and gaps to one spectrum.

        Parameters
        ----------
        flux, ivar : ndarray of shape (n_pixels,)
            Changed and written in place; `ivar` is None where there is no noise.
        snr : float
        continuum : ndarray of shape (3 n_chips,)
            Of the continuum error.
        velocity : float
            Of the star, km/s: it moves the gaps between the detectors.
        rng : Generator
        """
        n = len(self)
        if self.continuum_error:
            flux *= 1 + continuum.astype(np.float32) @ self._smooth
        if ivar is not None:
            noise = rng.standard_normal(n, dtype=np.float32)
            noise *= np.float32(1 / snr)
            flux += noise
            ivar[:] = snr**2
        lost = rng.integers(n, size=rng.binomial(n, self.bad_pixels))
        flux[lost] = np.nan
        if ivar is not None:
            ivar[lost] = 0
        if self.detectors is not None:
            self._cut(flux, ivar, velocity)

    def _cut(self, flux, ivar, velocity):
        """Blank what falls between and beyond the detectors."""
        edges = np.ravel(self.detectors) / (1 + velocity / SPEED_OF_LIGHT)
        edges = [0, *np.searchsorted(self.wave, edges), len(self)]
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            flux[start:stop] = np.nan
            if ivar is not None:
                ivar[start:stop] = 0


def pieces(wave, gap):
    """Stretches of a grid between gaps wider than `gap` km/s, as slices."""
    step = np.diff(np.log(wave)) * SPEED_OF_LIGHT
    if not len(step):
        return [slice(0, 1)]
    cuts = np.flatnonzero(step > max(gap, 3 * np.median(step))) + 1
    return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, len(wave)], strict=True)]
