"""`Denoiser`: what noisy latents were, given what is known of the star."""

import math

import torch
from torch import nn
from torch.nn import functional

DEPTH = 2
LEVELS = 8  # cosines of the noise level


class Denoiser(nn.Module):
    """The mean of latents u behind ``z = u + σ ε``, for any σ, given conditions h.

    ``D(z, σ, h) = c_skip z + c_out F(c_in z, σ, h)`` with, for latents of variance
    s², ``c_skip = s² / (s² + σ²)``, ``c_out = σ s / √(s² + σ²)`` and
    ``c_in = 1 / √(s² + σ²)`` (Karras et al. 2022, table 1). F is a residual network
    whose hidden units are shifted and scaled by the star and the noise level; before
    training it is 0, and D what it should be of latents that are N(0, s²).

    Parameters
    ----------
    n_latents : int
    n_conditions : int
    width : int, default=64
        Hidden units.
    sigma_data : float, default=1.0
        s.

    References
    ----------
    Karras, T. et al. 2022, NeurIPS 35 (arXiv:2206.00364).

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import Denoiser
    >>> denoiser = Denoiser(n_latents=2, n_conditions=3)
    >>> denoiser(torch.ones(1, 2), torch.ones(1), torch.zeros(1, 3))
    tensor([[0.5000, 0.5000]], grad_fn=<AddBackward0>)
    """

    def __init__(self, n_latents, n_conditions, width=64, sigma_data=1.0):
        super().__init__()
        self.n_latents, self.sigma_data = n_latents, sigma_data
        self.star = nn.Linear(n_conditions, width)
        self.level = nn.Linear(LEVELS, width)
        self.inner = nn.Linear(n_latents, width)
        self.shift = nn.ModuleList(nn.Linear(width, width) for _ in range(DEPTH))
        self.scale = nn.ModuleList(nn.Linear(width, width) for _ in range(DEPTH))
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(DEPTH))
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in range(DEPTH))
        self.outer = nn.Linear(width, n_latents)
        for layer in (*self.scale, *self.down, self.outer):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z, sigma, conditions):
        """Denoise.

        Parameters
        ----------
        z : Tensor of shape (n, n_latents)
        sigma : Tensor of shape (n,)
        conditions : Tensor of shape (n, n_conditions)

        Returns
        -------
        Tensor of shape (n, n_latents)
        """
        s, sigma = self.sigma_data, sigma[:, None]
        total = (s**2 + sigma**2).sqrt()
        found = self.inner_network(z / total, sigma, conditions)
        return s**2 / total**2 * z + sigma * s / total * found

    def inner_network(self, x, sigma, conditions):
        """F, of latents of unit variance, shape (n, n_latents)."""
        known = self.star(conditions) + self.level(level_features(sigma))
        known = functional.silu(known)
        x = self.inner(x)
        for shift, scale, up, down in zip(self.shift, self.scale, self.up, self.down):
            hidden = up(x) * (1 + scale(known)) + shift(known)
            x = x + down(functional.silu(hidden))
        return self.outer(x)


def level_features(sigma):
    """Cosines of the logarithm of noise levels of shape (n, 1), (n, LEVELS)."""
    t = torch.arctan(sigma) * 2 / math.pi  # from 0 to 1
    order = torch.arange(LEVELS, dtype=sigma.dtype, device=sigma.device)
    return torch.cos(math.pi * order * t)
