"""`SpectrumEncoder`: from pixels to a few numbers by strided convolutions."""

import torch
import torch.nn.functional as F
from torch import nn

from specxfer.networks._attention_pooling import AttentionPooling
from specxfer.networks._convolutions import (
    ResidualBlock,
    check_convolutions,
    convolution,
)
from specxfer.networks._pixels import (
    check_pixels,
    known_flux,
    noise_level,
    per_pixel,
    with_features,
)

POOLINGS = ("attention", "flatten")


class SpectrumEncoder(nn.Module):
    """Encode a spectrum by residual convolutions with strided downsampling.

    Three channels go in: the deviation of the flux from the mean spectrum, whether it
    is known, and the logarithm of its inverse variance. Every stage takes one position
    in `stride` and adds residual blocks; then learned queries pool the positions, or
    all are kept. Channels are normalised position by position, so no star depends on
    the others of its batch.

    Parameters
    ----------
    n_pixels : int
        Pixels of a spectrum, any number from 1.
    widths : sequence of int, default=(16, 32, 64)
        Channels of each stage.
    kernel_size : int, default=7
        Pixels of a kernel, odd.
    stride : int, default=4
        Step of each stage, at most ``kernel_size // 2 + 1``.
    blocks : int, default=1
        Residual blocks of each stage.
    pooling : {"attention", "flatten"}, default="attention"
        Learned weighted means over the positions, or all positions side by side.
    n_queries : int, default=8
        Weighted means that attention takes.
    n_out : int, default=64
        Numbers that come out.
    n_features : int, default=0
        Further numbers per star that go in, before the last layer.
    dropout : float, default=0.0
        Share of activations dropped in training.
    flux_scale : float or array-like of shape (n_pixels,), default=0.05
        Typical deviation of the flux, continuum units, by which it is divided.
    typical_ivar : float or array-like of shape (n_pixels,), default=1e4
        Typical inverse variance.

    Raises
    ------
    ValueError
        If a parameter is not as described.

    References
    ----------
    He et al. 2016, arXiv:1603.05027, for residual blocks that normalise first;
    Ilse et al. 2018, arXiv:1802.04712, for pooling by attention.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import SpectrumEncoder
    >>> encoder = SpectrumEncoder(1000, widths=(8, 16), n_out=5)
    >>> flux, ivar = torch.zeros(3, 1000), torch.full((3, 1000), 1e4)
    >>> encoder(flux, ivar).shape
    torch.Size([3, 5])
    """

    def __init__(
        self,
        n_pixels,
        *,
        widths=(16, 32, 64),
        kernel_size=7,
        stride=4,
        blocks=1,
        pooling="attention",
        n_queries=8,
        n_out=64,
        n_features=0,
        dropout=0.0,
        flux_scale=0.05,
        typical_ivar=1e4,
    ):
        super().__init__()
        check_convolutions(widths, kernel_size, stride)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is {pooling!r}; expected one of {POOLINGS}.")
        self.n_pixels, self.n_features = n_pixels, n_features
        self.register_buffer(
            "flux_scale", per_pixel(flux_scale, n_pixels, "flux_scale")
        )
        typical_ivar = per_pixel(typical_ivar, n_pixels, "typical_ivar")
        self.register_buffer("typical_ivar", typical_ivar)
        self.stages, length = nn.ModuleList(), n_pixels
        for n_in, width in zip((3, *widths), widths):
            layers = [convolution(n_in, width, kernel_size, stride)]
            layers += [
                ResidualBlock(width, kernel_size, dropout) for _ in range(blocks)
            ]
            self.stages.append(nn.Sequential(*layers))
            length = -(-length // stride)
        self.window = kernel_size, stride
        width = widths[-1]
        self.pool, n_pooled = None, width * length
        if pooling == "attention":
            self.pool = AttentionPooling(width, length, n_queries)
            n_pooled = width * n_queries
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_pooled + n_features, n_out)

    def positions(self, flux, ivar):
        """What the convolutions make of each position, before pooling.

        Parameters
        ----------
        flux : Tensor of shape (n, n_pixels)
            Deviation from the mean spectrum, continuum units; anything where ivar
            is 0.
        ivar : Tensor of shape (n, n_pixels)
            Inverse variance, 0 where the flux is unknown.

        Returns
        -------
        x : Tensor of shape (n, length, widths[-1])
            One row per position.
        coverage : Tensor of shape (n, length)
            Share of the pixels around each position that are known.
        """
        check_pixels(flux, ivar, self.n_pixels)
        known = ivar > 0
        flux = known_flux(flux, known) / self.flux_scale
        coverage = known.to(flux.dtype)
        x = torch.stack([flux, coverage, noise_level(ivar, self.typical_ivar)], dim=-1)
        x = x[:, None].permute(0, 3, 1, 2)  # (n, 3, 1, n_pixels), channels last
        size, step = self.window
        for stage in self.stages:
            x = stage(x)
            coverage = F.avg_pool1d(
                coverage, size, step, padding=size // 2, count_include_pad=False
            )
        return x.squeeze(2).transpose(1, 2), coverage

    def forward(self, flux, ivar, features=None):
        """Encode spectra.

        Parameters
        ----------
        flux : Tensor of shape (n, n_pixels)
            Deviation from the mean spectrum, continuum units; anything where ivar
            is 0.
        ivar : Tensor of shape (n, n_pixels)
            Inverse variance, 0 where the flux is unknown.
        features : Tensor of shape (n, n_features), optional
            Further numbers per star.

        Returns
        -------
        Tensor of shape (n, n_out)
        """
        x, coverage = self.positions(flux, ivar)
        pooled = x.flatten(1) if self.pool is None else self.pool(x, coverage)
        pooled = self.dropout(pooled)
        return self.head(with_features(pooled, features, self.n_features))
