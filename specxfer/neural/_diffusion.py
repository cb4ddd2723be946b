"""`Diffusion`: draws by a denoiser, whatever it is that they are of."""

from functools import cached_property

import numpy as np

from specxfer.neural._samplers import HALF, solve

__all__ = ["Diffusion", "spread_called_for"]

STARS = 64  # whose points are moved together
PRIOR = 500
WIDENED = 0.5, 2.0  # square of the spread, at least and at most


class Diffusion:
    """Base of what draws by a denoiser.

    A subclass has the `state` of the network and makes its `arrays`; `n_conditions`,
    the number of features of a star that the denoiser is told; `n_leading`, the numbers
    that follow it; and `spread`, by what draws are taken further from their mean.
    """

    def conditions(self, features):
        """What the denoiser is told of stars, (n, n_conditions)."""
        return np.ascontiguousarray(features[:, : self.n_conditions], np.float32)

    @cached_property
    def network(self):
        """The denoiser, to compute with."""
        return self.arrays.of(self.state)

    @property
    def trained(self):
        """Whether the denoiser makes anything but Gaussian draws."""
        return self.state is not None and self.network.trained

    def __getstate__(self):
        cached = "network", "_noise"
        return {k: v for k, v in self.__dict__.items() if k not in cached}

    def drawn(self, noise, conditions, n_steps, solver):
        """What follows the denoiser, from noise.

        Parameters
        ----------
        noise : ndarray of shape (n, n_draws, d)
            As what is drawn would be if it were Gaussian.
        conditions : ndarray of shape (n, n_conditions)
        n_steps : int
        solver : str

        Returns
        -------
        ndarray of shape (n, n_draws, d)
        """
        if not self.trained:
            return noise
        n, n_draws, d = noise.shape
        out = np.empty(noise.shape, np.float32)
        stars = max(1, 4 * STARS * STARS // n_draws)
        for start in range(0, n, stars):
            rows = slice(start, start + stars)
            told = conditions[rows]

            def found(x, angle, told=told):
                return self.network(x, angle, told, n_draws)

            x = noise[rows].reshape(-1, d).astype(np.float32)
            out[rows] = solve(found, x, n_steps, solver).reshape(-1, n_draws, d)
        if self.spread != 1:
            mean = self.centre(conditions)[:, None]
            out = mean + np.float32(self.spread) * (out - mean)
        return out

    def centre(self, conditions):
        """What the denoiser makes of infinite noise: about the mean, (n, d)."""
        x = np.zeros((len(conditions), self.n_leading), np.float32)
        if not self.trained:
            return x
        return self.network(x, HALF, conditions)


def spread_called_for(square, noise, variance):
    """By what draws are to be taken further from their mean.

    Parameters
    ----------
    square : ndarray of shape (n, d)
        Of what noisy observations of n stars miss of the mean.
    noise : ndarray of shape (n, d) or float
        Variance of their noise.
    variance : ndarray of shape (n, d)
        Of the draws.

    Returns
    -------
    float

    Notes
    -----
    ``spread² = Σ g (r² − n) / Σ g v`` over stars and d, with what is left r of the
    mean, its noise n, the variance v of the draws and ``g = (v + n)⁻²``; as if `PRIOR`
    more stars had been seen for which it is 1.
    """
    n, weight = len(square), 1 / (variance + noise) ** 2
    found = (weight * (square - noise)).sum() / (weight * variance).sum()
    found = (n * found + PRIOR) / (n + PRIOR)
    return float(np.sqrt(np.clip(found, *WIDENED)))
