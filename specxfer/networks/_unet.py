"""`UNet`: what noisy residual spectra were, pixel by pixel."""

import torch
from torch import nn
from torch.nn import functional

from specxfer.networks._denoiser import LEVELS, Preconditioned

DEPTH = 3  # times that the number of positions is halved


class UNet(Preconditioned):
    """The mean of pixels v behind ``z = v + σ η``, for any σ, given conditions h.

    v and η have, as far as v is Gaussian, one and the same covariance. So of v that is
    Gaussian ``D(z, σ, h) = z / (1 + σ²)``, whatever that covariance is, which is D
    before training; preconditioned as `Denoiser` is, ``D = c_skip z + c_out F``.

    F is a U-Net: blocks of two convolutions over three neighbours, three times halving
    the number of positions and three times doubling it, each stage being added to its
    counterpart of the same length. At the coarsest, every position is told of every
    other, as lines of one element may be far apart. Pixels are not alike, so each has
    numbers of its own that are added first. Channels are shifted and scaled by star
    and noise level.

    Parameters
    ----------
    n_pixels : int
        Any number from 1.
    n_conditions : int
    width : int, default=32
        Channels; what is known of star and noise level has twice as many numbers.

    Raises
    ------
    ValueError
        If a size is not positive.

    References
    ----------
    Ronneberger, O. et al. 2015, MICCAI (arXiv:1505.04597), for the U-Net; Karras, T. et
    al. 2022, NeurIPS 35 (arXiv:2206.00364), for the preconditioning.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import UNet
    >>> denoiser = UNet(n_pixels=5, n_conditions=3)
    >>> with torch.no_grad():
    ...     denoiser.denoised(torch.ones(1, 5), torch.ones(1), torch.zeros(1, 3))
    tensor([[0.5000, 0.5000, 0.5000, 0.5000, 0.5000]])
    """

    def __init__(self, n_pixels, n_conditions, width=32):
        super().__init__()
        sizes = {"n_pixels": n_pixels, "n_conditions": n_conditions, "width": width}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} is {size}; expected 1 or more.")
        self.n_pixels = n_pixels
        coarse = -(-n_pixels // 2**DEPTH)
        length, known, blocks = coarse * 2**DEPTH, 2 * width, 2 * DEPTH + 1

        def layers(number, n_in, n_out):
            return nn.ModuleList(nn.Linear(n_in, n_out) for _ in range(number))

        self.star, self.level = nn.Linear(n_conditions, known), nn.Linear(LEVELS, known)
        self.place = nn.Parameter(torch.randn(length, width) / 4)
        self.inner = nn.Linear(3, width)
        self.first = layers(blocks, 3 * width, width)
        self.known = layers(blocks, known, 2 * width)
        self.second = layers(blocks, 3 * width, width)
        self.halved = layers(DEPTH, 2 * width, width)
        self.doubled = layers(DEPTH, width, 2 * width)
        self.across = nn.Linear(coarse, coarse)
        self.outer = nn.Linear(width, 1)
        for layer in (*self.known, self.outer):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, conditions, pixels, noise, angle):
        """F of noisy pixels, and what it should be.

        Parameters
        ----------
        conditions : Tensor of shape (n, n_conditions)
        pixels, noise : Tensor of shape (n, n_pixels)
            v and η.
        angle : Tensor of shape (n, 1)
            arctan σ.

        Returns
        -------
        dict
            "found" and "wanted", (n, n_pixels).
        """
        return self.compared(conditions, pixels, noise, angle)

    def found(self, x, angle, conditions):
        """F.

        Parameters
        ----------
        x : Tensor of shape (n, n_pixels)
            Noisy pixels over √(1 + σ²).
        angle : Tensor of shape (n, 1)
            arctan σ.
        conditions : Tensor of shape (n, n_conditions)

        Returns
        -------
        Tensor of shape (n, n_pixels)
        """
        order = torch.arange(LEVELS, dtype=angle.dtype, device=angle.device)
        level = self.level(torch.cos(2 * order * angle))
        known = functional.silu(self.star(conditions) + level)
        x = functional.pad(x, (0, len(self.place) - self.n_pixels))
        x = self.inner(with_neighbours(x[:, :, None])) + self.place
        finer = []
        for i, halved in enumerate(self.halved):
            x = self._block(i, x, known)
            finer.append(x)
            x = halved(x.reshape(len(x), x.shape[1] // 2, -1))
        x = self._block(DEPTH, x, known)
        x = x + self.across(functional.silu(x).transpose(1, 2)).transpose(1, 2)
        for i, doubled in enumerate(self.doubled, DEPTH + 1):
            x = doubled(x).reshape(len(x), 2 * x.shape[1], -1) + finer.pop()
            x = self._block(i, x, known)
        return self.outer(x)[:, : self.n_pixels, 0]

    def _block(self, i, x, known):
        """Two convolutions, (n, length, width), added to what comes in."""
        scale, shift = self.known[i](known)[:, None].chunk(2, dim=2)
        before = self.first[i](with_neighbours(x)) * (1 + scale) + shift
        return x + self.second[i](with_neighbours(functional.silu(before)))


def with_neighbours(x):
    """Each position beside the one before and the one after, (n, length, 3 c)."""
    around = functional.pad(x, (0, 0, 1, 1))
    return torch.cat([around[:, :-2], x, around[:, 2:]], dim=2)
