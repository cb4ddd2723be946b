"""`PixelDrawing`: a block of stars, ready to be drawn pixel by pixel."""

from dataclasses import dataclass, replace

import numpy as np

from specxfer.covariance import LowRankCovariance
from specxfer.neural._pixel_errors import PixelErrors
from specxfer.neural._pixel_shape import PixelShape

__all__ = ["PixelDrawing"]


@dataclass
class PixelDrawing:
    """What is foretold of a block of stars.

    Parameters
    ----------
    shape : PixelShape
    flux : ndarray of shape (n, n_pixels)
        Where all errors are 0.
    errors : PixelErrors
        Of the pixels of the shape, as if they were Gaussian.
    conditions : ndarray of shape (n, n_conditions)
    wanted : ndarray of int, optional
        Pixels that spectra are drawn of; by default all.
    """

    shape: PixelShape
    flux: np.ndarray
    errors: PixelErrors
    conditions: np.ndarray
    wanted: np.ndarray | None = None

    def __getitem__(self, stars):
        return replace(
            self,
            flux=self.flux[stars],
            errors=self.errors[stars],
            conditions=self.conditions[stars],
        )

    def mean(self):
        """Mean flux of the draws, (n, n_pixels)."""
        flux = self.flux.copy()
        centre = self.shape.centre(self.conditions)
        flux[:, self.shape.pixels] += centre * self.errors.unit
        return flux

    def moments(self):
        """Mean flux of the draws, (n, n_pixels), and their covariance."""
        shape, flux = self.shape, self.mean()
        core, variance = shape.moments(self.errors, self.conditions)
        along, pixels = shape.directions, shape.pixels
        basis = np.zeros((len(along), flux.shape[1]), flux.dtype)
        basis[:, pixels] = along * shape.unit
        alone = np.zeros_like(flux)
        alone[:, pixels] = variance - (np.matmul(core, along) * along).sum(axis=1)
        alone[:, pixels] *= shape.unit**2
        core, alone = core.astype(flux.dtype), np.maximum(alone, 0)
        covariance = LowRankCovariance(core, basis, alone)
        return flux, covariance

    def coefficients(self, n_draws, rngs, n_steps, solver):
        """Draws of the errors of the shape's pixels, in units of theirs.

        Parameters
        ----------
        n_draws : int
        rngs : list of numpy.random.Generator
            One for each star.
        n_steps : int
        solver : str

        Returns
        -------
        ndarray of shape (n, n_draws, p)
        """
        size = n_draws, self.errors.n_white
        white = np.stack([rng.standard_normal(size, np.float32) for rng in rngs])
        begun = self.errors.spread(white)
        return self.shape.drawn(begun, self.conditions, n_steps, solver)

    def of_pixels(self, pixels):
        """The same of some pixels alone."""
        return replace(self, wanted=pixels)

    def spectra(self, z, rngs, change=None):
        """Draws of flux, a star at a time.

        Parameters
        ----------
        z : ndarray of shape (n, n_draws, p)
        rngs : list of numpy.random.Generator
            Of no concern: z is all there is.
        change : callable, optional
            ``change(flux, i)`` writes those of star i at another resolving power.

        Yields
        ------
        ndarray of shape (n_draws, n_pixels)
        """
        for i, drawn in enumerate(z):
            flux = np.repeat(self.flux[i : i + 1], len(drawn), axis=0)
            flux[:, self.shape.pixels] += drawn * self.errors.unit[i]
            if change is not None:
                flux = change(flux, i)
            yield flux if self.wanted is None else flux[:, self.wanted]
