"""`Drawing`: a block of stars, ready to be drawn."""

from dataclasses import dataclass, replace

import numpy as np

from specxfer._denoise import _along
from specxfer._rowwise import rowwise_matmul
from specxfer._threads import in_parallel
from specxfer.covariance import LowRankCovariance
from specxfer.neural._latents import Whitening, root_of
from specxfer.neural._shape import Shape

__all__ = ["Drawing"]

TOGETHER = 1024  # draws, of as many stars as that is, whose products are one
PANEL = 2**18  # numbers that fit into the cache


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

    def __getitem__(self, stars):
        return Drawing(
            self.shape,
            self.flux[stars],
            self.covariance[stars],
            Whitening(*(a[stars] for a in self.whitening)),
            self.conditions[stars],
        )

    def mean(self):
        """Mean flux of the draws, (n, n_pixels)."""
        return self.moments()[0]

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
        covariance, (n, n_draws, _) = self.covariance, z.shape
        diagonal = np.broadcast_to(covariance.diagonal, self.flux.shape)
        shared, line = None, None
        if covariance.line is not None and covariance.line_std.any():
            shared = covariance.amplitude * covariance.line_std
            _, line = np.unique(covariance.line, return_inverse=True)
        stars = max(1, TOGETHER // n_draws)
        for start in range(0, n, stars):
            rows = slice(start, min(start + stars, n))
            parts = self._parts(z[rows])

            def finished(i, parts=parts, start=start):
                flux = self._summed(parts, i - start, i)
                if change is not None:
                    flux = change(flux, i)
                if shared is not None:
                    add_shared(flux, line, shared[i], rngs[i])
                if diagonal[i].any():
                    add_alone(flux, np.sqrt(diagonal[i]), rngs[i])
                return flux

            yield from in_parallel(finished, range(rows.start, rows.stop))

    def _parts(self, z):
        """Sums of the directions that are alike in all stars, and of the others."""
        c, (n, n_draws, r) = self.covariance, z.shape
        z = z.reshape(-1, r).astype(c.basis.dtype)
        scaled = np.zeros(r, bool) if c.amplitude is None else c.scaled
        some = [~scaled] if c.amplitude is None else [~scaled, scaled]
        parts = (rowwise_matmul(z[:, these], c.basis[these]) for these in some)
        return [part.reshape(n, n_draws, -1) for part in parts]

    def _summed(self, parts, place, i):
        """Flux of the draws of star i, (n_draws, n_pixels), in place."""
        flux, *others = (part[place] for part in parts)
        for pixels in panels(flux):
            for strong in others:
                strong[:, pixels] *= self.covariance.amplitude[i, pixels]
                flux[:, pixels] += strong[:, pixels]
            flux[:, pixels] += self.flux[i, pixels]
        return flux

    def _along(self, z):
        """Sums of the basis, of every star."""
        c = self.covariance
        return _along(z.astype(c.basis.dtype), c.basis, c.amplitude, c.scaled)


def panels(flux):
    """Pixels of draws that fit into the cache."""
    width = max(1, PANEL // len(flux))
    return [slice(a, a + width) for a in range(0, flux.shape[1], width)]


def add_shared(flux, line, std, rng):
    """Add what the pixels of each line share, with its standard deviation."""
    own = rng.standard_normal((len(flux), line[-1] + 1), np.float32)
    for pixels in panels(flux):
        flux[:, pixels] += own[:, line[pixels]] * std[pixels]


def add_alone(flux, std, rng):
    """Add what every pixel has alone."""
    for pixels in panels(flux):
        part = flux[:, pixels]
        own = rng.standard_normal(part.shape, np.float32)
        own *= std[pixels]
        part += own
