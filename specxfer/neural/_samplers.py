"""Samplers of a diffusion: from noise to latents, and back with their density."""

from itertools import pairwise

import numpy as np

__all__ = ["SOLVERS", "log_density", "solve"]

HALF = np.pi / 2


def angles(n_steps):
    """Noise levels arctan σ from infinity to 0, (n_steps + 1,)."""
    return np.linspace(HALF, 0, n_steps + 1)


def solve(found, x, n_steps, solver="heun"):
    """Draws, from noise.

    Parameters
    ----------
    found : callable
        ``found(x, angle)``: F of a `networks.Denoiser` at ``arctan σ``.
    x : ndarray of shape (n, d)
        N(0, 1).
    n_steps : int
    solver : {"heun", "dpm++"}, default="heun"

    Returns
    -------
    ndarray of shape (n, d)

    Notes
    -----
    With ``x = z / √(1 + σ²)`` and θ = arctan σ the probability-flow equation of Karras
    et al. 2022 (NeurIPS 35, eq. 1), ``dz/dσ = (z − D) / σ``, is ``dx/dθ = −F``: latents
    that are N(0, 1) do not move, σ may begin at infinity and end at 0, and few equal
    steps of θ do.
    """
    return SOLVERS[solver](found, x, angles(n_steps))


def heun(found, x, levels):
    """Heun's method, of second order; two evaluations a step."""
    before = found(x, levels[0])
    for here, there in pairwise(levels):
        step = np.asarray(here - there, x.dtype)
        ahead = found(x + step * before, there)
        x = x + step / 2 * (before + ahead)
        if there != levels[-1]:
            before = found(x, there)
    return x


def dpm(found, x, levels):
    """DPM-Solver++(2M), of second order; one evaluation a step.

    Lu, C. et al. 2022, arXiv:2211.01095, algorithm 2, for the variance-preserving path
    ``x = cos θ u + sin θ ε``, whose half log-SNR is ``λ = −ln tan θ``.
    """
    previous = gap = None
    for here, there in pairwise(levels):
        sine, cosine = (np.asarray(f(here), x.dtype) for f in (np.sin, np.cos))
        clean = cosine * x + sine * found(x, here)
        if there == 0:
            return clean
        ratio = np.sin(there) / np.sin(here)
        width = None
        if here < HALF:
            width = np.log(np.tan(here) / np.tan(there))
        mixed = clean
        if gap is not None and width is not None:
            share = width / (2 * gap)
            mixed = (1 + share) * clean - share * previous
        part = np.cos(there) - ratio * np.cos(here)
        x = np.asarray(ratio, x.dtype) * x + np.asarray(part, x.dtype) * mixed
        x = x.astype(sine.dtype)
        previous, gap = clean, width
    return x


def log_density(with_slopes, x, angle, n_steps):
    """Logarithm of the density of latents, by the probability flow.

    Parameters
    ----------
    with_slopes : callable
        ``with_slopes(x, angle)``: F and its derivatives, (n, d, d).
    x : ndarray of shape (n, d)
        Latents, or noisy ones over √(1 + σ²).
    angle : ndarray of shape (n, 1)
        arctan σ.
    n_steps : int

    Returns
    -------
    ndarray of shape (n,)

    Notes
    -----
    Along ``dx/dθ = −F`` the density changes by ``d ln p/dθ = tr ∂F/∂x`` (Song et al.
    2021, ICLR, eq. 39; the trace is exact), and ends as N(0, 1).
    """
    total, d = np.zeros(len(x)), x.shape[1]
    step = (angle - HALF) / n_steps
    for i in range(n_steps):
        here = angle - i * step
        before, slopes = with_slopes(x, here)
        ahead, further = with_slopes(x + step * before, here - step)
        total += step[:, 0] / 2 * np.trace(slopes + further, axis1=1, axis2=2)
        x = x + step / 2 * (before + ahead)
    return total - 0.5 * (x**2).sum(axis=1) - 0.5 * d * np.log(2 * np.pi)


SOLVERS = {"heun": heun, "dpm++": dpm}
