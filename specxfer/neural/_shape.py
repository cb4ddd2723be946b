"""`Shape`: how the latents of stars are distributed, given their source spectra."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from specxfer.neural._denoiser_arrays import DenoiserArrays
from specxfer.neural._diffusion import Diffusion, spread_called_for
from specxfer.neural._latents import Information, Latents
from specxfer.neural._posterior import given_gaussian
from specxfer.neural._samplers import log_density

__all__ = ["Shape"]

POINTS = 64  # of noise, that moments are found from, at least
STEPS = 4  # for moments
DENSITY_STEPS = 40
STARS = 64  # whose points are moved together
BLOCK = 512
FAINT = 1e-8  # variance of a latent that is known as well as can be
ENOUGH = 4000  # stars that are enough for a covariance


@dataclass
class Shape(Diffusion):
    """What a diffusion makes of latents, some of which stay Gaussian.

    Latents are ``u = turn @ w``. The leading w, those that the training targets tell
    most of, have the distribution of the denoiser; the others are N(0, 1).

    Parameters
    ----------
    latents : Latents
    turn : ndarray of shape (d_all, d_all)
    share : ndarray of shape (d_all,)
        Of the variance of each w, that a training target settles.
    n_leading : int
        How many follow the denoiser, d.
    n_conditions : int
        Features of a star that the denoiser is told, the leading ones.
    state : dict of ndarray, optional
        Weights of the denoiser.
    spread : float, default=1.0
        By what draws are taken further from their mean than the denoiser puts them.
    """

    latents: Latents
    turn: np.ndarray
    share: np.ndarray
    n_leading: int
    n_conditions: int
    state: dict | None = None
    spread: float = 1.0

    arrays = DenoiserArrays

    @classmethod
    def of(cls, latents, information, weight, n_leading, n_conditions):
        """Gaussian latents, with the covariance that they are found to have.

        Parameters
        ----------
        latents : Latents
        information : Information
            Of the training stars.
        weight : ndarray of shape (n,)
            Of the stars.
        n_leading, n_conditions : int

        Returns
        -------
        Shape

        Notes
        -----
        The likeliest covariance of latents seen through noise, by expectation and
        maximisation (Dempster et al. 1977, J. R. Stat. Soc. B 39, 1), as if d_all more
        stars had been seen whose latents are N(0, 1).
        """
        d = information.eta.shape[1]
        some = slice(None, None, -(-len(weight) // ENOUGH))
        information, weight = information[some], weight[some]
        root = covariance_root(information, weight)
        precision = root.T @ information.precision @ root
        share = np.eye(d) - np.average(
            np.linalg.inv(np.eye(d) + precision), axis=0, weights=weight
        )
        values, vectors = np.linalg.eigh(share)
        turn = root @ vectors[:, ::-1]
        return cls(latents, turn, values[::-1], min(n_leading, d), n_conditions)

    def leading(self, information):
        """What is known of the leading w, the others being N(0, 1)."""
        n, d = len(information.eta), self.n_leading
        found = Information(np.empty((n, d)), np.empty((n, d, d)))
        for start in range(0, n, BLOCK):
            rows = slice(start, start + BLOCK)
            eta = information.eta[rows] @ self.turn
            precision = self.turn.T @ information.precision[rows] @ self.turn
            mean, covariance = given_gaussian(Information(eta, precision))
            # in the directions of the posterior, whose variances are 1 at most
            values, vectors = np.linalg.eigh(covariance[:, :d, :d])
            values = np.clip(values, FAINT, 1)[:, None]
            turned = vectors.transpose(0, 2, 1) @ mean[:, :d, None]
            found.eta[rows] = (vectors / values @ turned)[:, :, 0]
            more = vectors * (1 / values - 1)
            found.precision[rows] = more @ vectors.transpose(0, 2, 1)
        return found

    @cached_property
    def _noise(self):
        """Points of N(0, 1), with exactly its mean and covariance, (m, d)."""
        half = max(POINTS // 2, 2 ** int(np.ceil(np.log2(2 * self.n_leading))))
        sobol = qmc.Sobol(self.n_leading, rng=0)
        half = ndtri(np.clip(sobol.random(half), 1e-6, 1 - 1e-6))
        points = np.concatenate([half, -half])
        root = np.linalg.cholesky(points.T @ points / len(points))
        return np.linalg.solve(root, points.T).T.astype(np.float32)

    def moments(self, conditions):
        """Mean and covariance of w, from draws that begin at fixed points.

        Parameters
        ----------
        conditions : ndarray of shape (n, n_conditions)

        Returns
        -------
        mean : ndarray of shape (n, d_all)
        covariance : ndarray of shape (n, d_all, d_all)
        """
        n, d, size = len(conditions), self.n_leading, len(self.turn)
        mean = np.zeros((n, size))
        covariance = np.broadcast_to(np.eye(size), (n, size, size)).copy()
        for start in range(0, n if self.trained else 0, STARS):
            rows = slice(start, start + STARS)
            told = conditions[rows]
            noise = np.broadcast_to(self._noise, (len(told), *self._noise.shape))
            w = self.drawn(noise, told, STEPS, "heun").astype(float)
            mean[rows, :d] = w.mean(axis=1)
            w -= mean[rows, None, :d]
            covariance[rows, :d, :d] = w.transpose(0, 2, 1) @ w / w.shape[1]
        return mean, covariance

    def widened(self, information, conditions, n_draws=128, seed=0):
        """With the spread that noisy latents of other stars call for.

        Parameters
        ----------
        information : Information
            Of the leading w, of stars that the denoiser has not seen.
        conditions : ndarray of shape (n, n_conditions)
        n_draws : int, default=128
        seed : int, default=0

        Returns
        -------
        Shape
        """
        n, d = information.eta.shape
        noise = np.linalg.inv(information.precision + FAINT * np.eye(d))
        seen = (noise @ information.eta[:, :, None])[:, :, 0]
        noise = noise[:, range(d), range(d)]
        white = np.random.default_rng(seed).standard_normal((n, n_draws, d))
        variance = self.drawn(white, conditions, STEPS, "heun").var(axis=1, dtype=float)
        square = (seen - self.centre(conditions)) ** 2
        return replace(self, spread=spread_called_for(square, noise, variance))

    def log_density(self, information, conditions):
        """Log-density of the leading w that spectra show, (n,).

        Parameters
        ----------
        information : Information
            Of the leading w.
        conditions : ndarray of shape (n, n_conditions)

        Returns
        -------
        ndarray of shape (n,)
        """
        d = self.n_leading
        noise = np.linalg.inv(information.precision + 1e-9 * np.eye(d))
        w = (noise @ information.eta[:, :, None])[:, :, 0]
        level = np.sqrt(noise[:, range(d), range(d)].mean(axis=1, keepdims=True))
        mean = self.centre(conditions)
        w, level = mean + (w - mean) / self.spread, level / self.spread
        angle = np.arctan(level)

        def with_slopes(x, angle):
            if not self.trained:
                return np.zeros_like(x), np.zeros((len(x), d, d))
            found = self.network.jacobian(x.astype(np.float32), angle, conditions)
            return tuple(a.astype(float) for a in found)

        cosine = np.cos(angle)
        found = log_density(with_slopes, cosine * w, angle, DENSITY_STEPS)
        return found + d * np.log(cosine[:, 0] / self.spread)


def covariance_root(information, weight, rounds=20):
    """Root of the covariance that latents are found to have."""
    d = information.eta.shape[1]
    covariance, total = np.eye(d), weight.sum()
    n = total**2 / np.square(weight).sum()
    for _ in range(rounds):
        mean, left = given_gaussian(information, covariance)
        square = (weight[:, None] * mean).T @ mean
        square += np.tensordot(weight, left, axes=1)
        covariance = (n * square / total + d * np.eye(d)) / (n + d)
    return np.linalg.cholesky(covariance)
