"""`PixelShape`: how the errors of pixels are distributed, given the source spectra."""

from dataclasses import dataclass, replace

import numpy as np

from specxfer.neural._diffusion import Diffusion, spread_called_for
from specxfer.neural._unet_arrays import UNetArrays

__all__ = ["PixelShape"]

POINTS = 64  # of noise, that moments are found from
STEPS = 4  # for moments
STARS = 64  # whose points are moved together
DIRECTIONS = 32  # that the covariance of draws is written in


@dataclass
class PixelShape(Diffusion):
    """What a diffusion makes of the errors of pixels.

    Parameters
    ----------
    pixels : ndarray of int of shape (p,)
        The target pixels.
    n_conditions : int
        Features of a star that the denoiser is told, the leading ones.
    unit : ndarray of shape (p,), optional
        Standard deviation of the errors in a typical star, continuum units.
    directions : ndarray of shape (k, p), optional
        Of unit length and at right angles; draws, in these units, vary along them most.
    state : dict of ndarray, optional
        Weights of the denoiser.
    spread : float, default=1.0
        By what draws are taken further from their mean than the denoiser puts them.
    """

    pixels: np.ndarray
    n_conditions: int
    unit: np.ndarray | None = None
    directions: np.ndarray | None = None
    state: dict | None = None
    spread: float = 1.0

    arrays = UNetArrays

    @property
    def n_leading(self):
        """Numbers that follow the denoiser."""
        return len(self.pixels)

    def moments(self, errors, conditions):
        """Covariance of the draws, from some that begin at fixed points.

        Parameters
        ----------
        errors : PixelErrors of n stars
        conditions : ndarray of shape (n, n_conditions)

        Returns
        -------
        core : ndarray of shape (n, k, k)
            Along the directions.
        variance : ndarray of shape (n, p)
            Of each pixel, in units of a typical star's.
        """
        white = np.random.default_rng(0).standard_normal((POINTS // 2, errors.n_white))
        white = np.concatenate([white, -white])
        k = len(self.directions)
        core, variance = np.empty((len(errors), k, k)), np.empty(errors.unit.shape)
        for start in range(0, len(errors), STARS):
            rows = slice(start, start + STARS)
            some = errors[rows]
            begun = some.spread(np.broadcast_to(white, (len(some), *white.shape)))
            drawn = self.drawn(begun, conditions[rows], STEPS, "heun")
            drawn -= drawn.mean(axis=1, keepdims=True)
            # the points vary a little more or less than they should, and so do draws
            usual = np.sqrt(np.square(begun).mean(axis=1, keepdims=True))
            drawn *= (some.unit / self.unit)[:, None] / np.maximum(usual, 0.5)
            variance[rows] = np.square(drawn).mean(axis=1)
            along = np.matmul(drawn, self.directions.T)
            core[rows] = along.transpose(0, 2, 1) @ along / POINTS
        return core, variance

    def widened(self, told, conditions, n_draws, seed):
        """With the spread that noisy targets of other stars call for, and directions.

        Parameters
        ----------
        told : Told
            Of stars that the denoiser has not seen.
        conditions : ndarray of shape (n, n_conditions)
        n_draws : int
        seed : int

        Returns
        -------
        PixelShape
        """
        white = np.random.default_rng(seed).standard_normal
        mean = told.heard(self.centre(conditions)[:, None])[:, 0]
        unit = np.sqrt(np.square(told.errors.unit, dtype=float).mean(axis=0))
        variance, square = np.empty(told.seen.shape), 0.0
        for start in range(0, len(told), STARS):
            rows = slice(start, start + STARS)
            some = told[rows]
            noise = white((len(some), n_draws, some.errors.n_white), np.float32)
            noise = some.errors.spread(noise)
            drawn = self.drawn(noise, conditions[rows], STEPS, "heun")
            variance[rows] = some.heard(drawn).var(axis=1)
            apart = drawn - drawn.mean(axis=1, keepdims=True)
            apart *= (some.errors.unit / unit)[:, None]
            square = square + np.tensordot(apart, apart, axes=((0, 1), (0, 1)))
        directions = np.linalg.eigh(square)[1].T[::-1][:DIRECTIONS]
        missed = np.square(told.seen - mean, dtype=float)
        heard = told.strength > 0
        missed[~heard], variance[~heard] = 1, 0  # of these nothing follows
        return replace(
            self,
            spread=spread_called_for(missed, 1.0, variance),
            unit=unit.astype(np.float32),
            directions=directions.astype(np.float32),
        )
