"""What observed spectra leave open of latents whose prior is a diffusion's."""

from itertools import pairwise

import numpy as np
import torch

__all__ = ["given_gaussian", "posterior_draws"]

HIGHEST = 1.5  # arctan σ from which draws start
LOWEST = 0.01
SMALL = 1e-4  # least variance relative to that of a Gaussian prior


def given_gaussian(information, prior=None):
    """Posterior mean and covariance of latents that are N(0, S).

    Parameters
    ----------
    information : Information
    prior : ndarray of shape (d, d), optional
        S; by default 1.

    Returns
    -------
    mean : ndarray of shape (n, d)
    covariance : ndarray of shape (n, d, d)
    """
    d = information.eta.shape[1]
    root = np.eye(d) if prior is None else np.linalg.cholesky(prior)
    inner = root.T @ information.precision @ root + np.eye(d)
    covariance = root @ np.linalg.inv(inner) @ root.T
    mean = (covariance @ information.eta[:, :, None])[:, :, 0]
    return mean, covariance


def posterior_draws(with_slopes, information, n_draws, n_steps, rng):
    """Draws of the latents behind observed spectra.

    Parameters
    ----------
    with_slopes : callable or None
        ``with_slopes(x, angle)`` for x of shape (n * n_draws, d): F of a
        `networks.Denoiser` and its derivatives. None: the prior is N(0, 1).
    information : Information
        What is observed of each star.
    n_draws, n_steps : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (n, n_draws, d)

    Notes
    -----
    At noise level σ the latents have, under the diffusion, the mean D and the
    covariance ``V = σ² ∂D/∂z``; given ``exp(ηᵀu − uᵀΛu / 2)`` as well, and as if they
    were Gaussian, the mean ``D + V (1 + ΛV)⁻¹ (η − ΛD)`` (moment matching: Rozet et al.
    2024, NeurIPS 37). For Gaussian latents that is exact.
    """
    n, d = information.eta.shape
    if with_slopes is None:
        mean, covariance = given_gaussian(information)
        root = np.linalg.cholesky(covariance)
        noise = rng.standard_normal((n, n_draws, d))
        return mean[:, None] + noise @ root.transpose(0, 2, 1)
    eta = np.repeat(information.eta, n_draws, axis=0)
    precision = np.repeat(information.precision, n_draws, axis=0)

    def posterior(x, angle):
        value, slopes = with_slopes(x.astype("f4"), angle)
        value = value.astype(float)
        sine, cosine = np.sin(angle), np.cos(angle)
        clean = cosine * x + sine * value
        variance = sine**2 * np.eye(d) + sine**3 / cosine * slopes.astype(float)
        variance = (variance + variance.transpose(0, 2, 1)) / 2
        variance = positive(variance, SMALL * sine**2)
        left = eta - np.einsum("nij,nj->ni", precision, clean)
        inner = np.eye(d) + precision @ variance
        more = variance @ np.linalg.solve(inner, left[:, :, None])
        return clean + more[:, :, 0]

    x = rng.standard_normal((n * n_draws, d))
    levels = np.arctan(np.geomspace(np.tan(HIGHEST), np.tan(LOWEST), n_steps + 1))

    def found(x, angle):
        return (posterior(x, angle) - np.cos(angle) * x) / np.sin(angle)

    before = found(x, levels[0])
    for here, there in pairwise(levels):
        step = here - there
        ahead = found(x + step * before, there)
        x = x + step / 2 * (before + ahead)
        before = found(x, there)
    return posterior(x, levels[-1]).reshape(n, n_draws, d)


def positive(variance, least):
    """Covariances with no eigenvalue below the least, whatever networks say."""
    d = variance.shape[1]
    # far cheaper than eigenvalues, which few are in need of
    failed = torch.linalg.cholesky_ex(torch.from_numpy(variance - least * np.eye(d)))[1]
    rows = np.flatnonzero(failed.numpy())
    values, vectors = np.linalg.eigh(variance[rows])
    values = np.maximum(values, least)
    variance[rows] = (vectors * values[:, None]) @ vectors.transpose(0, 2, 1)
    return variance
