"""`Drawing`: a block of stars, ready to be drawn."""

from dataclasses import dataclass, replace

import numpy as np

from specxfer._denoise import _along
from specxfer.covariance import LowRankCovariance
from specxfer.neural._latents import Whitening, root_of
from specxfer.neural._shape import Shape

__all__ = ["Drawing"]


@dataclass
class Drawing:
    """What is foretold of a block of stars.

    Parameters
    ----------
    shape : Shape
    flux : ndarray of shape (n, n_pixels)
        Where all latents are 0.
    covariance : LowRankCovariance
        Extended by the lines that have latents, as if all were Gaussian.
    whitening : Whitening
    conditions : ndarray of shape (n, n_conditions)
    """

    shape: Shape
    flux: np.ndarray
    covariance: LowRankCovariance
    whitening: Whitening
    conditions: np.ndarray

    def moments(self):
        """Mean flux of the draws, (n, n_pixels), and their covariance."""
        turn, gain = self.shape.turn, self.whitening.gain
        mean, covariance = self.shape.moments(self.conditions)
        more = turn @ covariance @ turn.T - np.eye(len(turn))
        core = self.covariance.core + gain @ more @ gain.transpose(0, 2, 1)
        core = (core + core.transpose(0, 2, 1)) / 2
        core = core.astype(self.covariance.core.dtype)
        flux = self.flux
        if self.shape.trained:
            z = (gain @ (mean @ turn.T)[:, :, None])[:, :, 0]
            flux = flux + self._along(z)
        return flux, replace(self.covariance, core=core)

    def coefficients(self, n_draws, rngs, n_steps, solver):
        """Draws of the coefficients z of the covariance, (n, n_draws, r).

        Parameters
        ----------
        n_draws : int
        rngs : list of numpy.random.Generator
            One for each star.
        n_steps : int
        solver : str

        Returns
        -------
        ndarray
        """
        turn, core = self.shape.turn, self.covariance.core
        d_all, r = len(turn), core.shape[1]
        noise = np.stack([rng.standard_normal((n_draws, d_all + r)) for rng in rngs])
        w, white = noise[:, :, :d_all], noise[:, :, d_all:]
        d = self.shape.n_leading
        w[:, :, :d] = self.shape.drawn(w[:, :, :d], self.conditions, n_steps, solver)
        z = np.empty((len(core), n_draws, r))
        for i, (read, gain) in enumerate(zip(*self.whitening)):
            z[i] = white[i] @ root_of(core[i]).T
            z[i] += (w[i] @ turn.T - z[i] @ read.T) @ gain.T
        return z

    def of_pixels(self, pixels):
        """The same of some pixels alone."""
        return replace(
            self, flux=self.flux[:, pixels], covariance=self.covariance[:, pixels]
        )

    def spectra(self, z, rngs, change=None):
        """Draws of flux, a star at a time.

        Parameters
        ----------
        z : ndarray of shape (n, n_draws, r)
        rngs : list of numpy.random.Generator
        change : callable, optional
            ``change(flux, i)`` writes those of star i at another resolving power.

        Yields
        ------
        ndarray of shape (n_draws, n_pixels)
        """
        covariance, n_draws = self.covariance, z.shape[1]
        shares = covariance.line is not None and covariance.line_std.any()
        if shares:
            _, line = np.unique(covariance.line, return_inverse=True)
        for i, rng in enumerate(rngs):
            flux = self.flux[i] + self._along(z[i], i)
            flux = flux if change is None else change(flux, i)
            if shares:
                own = rng.standard_normal((n_draws, line.max() + 1), np.float32)
                flux += own[:, line] * (covariance.amplitude[i] * covariance.line_std)
            alone = covariance.diagonal[i if covariance.diagonal.ndim == 2 else ...]
            if alone.any():
                own = rng.standard_normal((n_draws, len(alone)), np.float32)
                own *= np.sqrt(alone)
                flux += own
            yield flux

    def _along(self, z, i=None):
        """Sums of the basis: of every star, or of draws of star i."""
        c = self.covariance
        amplitude = c.amplitude
        if amplitude is not None and i is not None:
            amplitude = amplitude[i]
        return _along(z.astype(c.basis.dtype), c.basis, amplitude, c.scaled)
