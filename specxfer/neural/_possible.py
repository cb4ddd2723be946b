"""`Possible`: which fluxes a spectrum can have, and draws that keep to them."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Possible"]

HIGHEST = 1.3  # continuum units; where stars surpass it, times the highest of them
ROUNDS = 10  # of drawing again; a star that needs more is none of the model's


@dataclass(frozen=True)
class Possible:
    """Draws again what leaves the range of fluxes that spectra can have.

    A Gaussian knows no bounds, and of a line that varies by an order of magnitude, as
    that of lithium, it leaves some draws below zero. What remains if these are drawn
    again is the distribution given that flux is possible.

    Parameters
    ----------
    low, high : float
        Beyond which flux is impossible by more than the noise of the training spectra.
    """

    low: float = -np.inf
    high: float = np.inf

    @classmethod
    def of(cls, flux, ivar):
        """From some training stars.

        Parameters
        ----------
        flux : ndarray of shape (n, n_pixels)
            Foretold, continuum units.
        ivar : ndarray of shape (n, n_pixels)
            Of the target spectra; 0 where masked.

        Returns
        -------
        Possible
            From 0 or the lowest flux, to 1.3, or 1.3 times the highest flux if that is
            beyond, and a typical standard deviation of the noise more.
        """
        seen = ivar > 0
        if not seen.any():
            return cls()
        noise = float(np.median(ivar[seen])) ** -0.5
        flux = flux[seen]
        low, top = min(0.0, float(flux.min())), float(flux.max())
        high = HIGHEST * (top if top > HIGHEST else 1)
        return cls(low - noise, high + noise)

    def drawn(self, drawing, n_draws, rngs, how, change=None):
        """Draws of flux, a star at a time.

        Parameters
        ----------
        drawing : Drawing or PixelDrawing
            Of n stars.
        n_draws : int
        rngs : list of numpy.random.Generator
            One for each star.
        how : tuple of (int, str)
            Steps and solver.
        change : callable, optional
            ``change(flux, i)`` writes those of star i at another resolving power.

        Yields
        ------
        ndarray of shape (n_draws, n_pixels)
        """
        z = drawing.coefficients(n_draws, rngs, *how)
        for i, flux in enumerate(drawing.spectra(z, rngs, change)):
            for _ in range(ROUNDS):
                again = np.flatnonzero(self._leaves(flux))
                if not len(again):
                    break
                one, rng = drawing[i : i + 1], rngs[i : i + 1]
                z = one.coefficients(len(again), rng, *how)
                at = None if change is None else lambda f, _, i=i: change(f, i)
                flux[again] = next(iter(one.spectra(z, rng, at)))
            yield flux

    def _leaves(self, flux):
        """Which draws leave the range somewhere."""
        return (flux.min(axis=1) < self.low) | (flux.max(axis=1) > self.high)
