"""`ConvDecoder`: upsampling convolutions, from a few numbers to pixels."""

from torch import nn

from specxfer.networks._convolutions import (
    ResidualBlock,
    check_convolutions,
    convolution,
)
from specxfer.networks._pixels import per_pixel


class ConvDecoder(nn.Module):
    """Decode to pixels by upsampling convolutions; the output is 0 before training.

    A dense layer makes a coarse spectrum of many channels; each stage adds residual
    blocks, then splits every position into `stride` finer ones with fewer channels.

    Parameters
    ----------
    n_in : int
        Numbers per star that come in.
    n_pixels_out : int
        Pixels of a target spectrum, any number from 1.
    widths : sequence of int, default=(64, 32, 16)
        Channels of each stage, coarsest first.
    kernel_size : int, default=7
        Positions of a kernel, odd.
    stride : int, default=4
        Finer positions that each stage makes of one.
    blocks : int, default=1
        Residual blocks of each stage.
    dropout : float, default=0.0
        Share of activations dropped in training.
    flux_scale : float or array-like of shape (n_pixels_out,), default=0.05
        Typical size of what is predicted, continuum units: the last layer's output is
        multiplied by it.

    Raises
    ------
    ValueError
        If a parameter is not as described.

    References
    ----------
    Shi et al. 2016, arXiv:1609.05158, for upsampling by regrouped channels.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import ConvDecoder
    >>> decoder = ConvDecoder(8, 1001, widths=(16, 8))
    >>> decoder(torch.randn(3, 8)).shape
    torch.Size([3, 1001])
    """

    def __init__(
        self,
        n_in,
        n_pixels_out,
        *,
        widths=(64, 32, 16),
        kernel_size=7,
        stride=4,
        blocks=1,
        dropout=0.0,
        flux_scale=0.05,
    ):
        super().__init__()
        check_convolutions(widths, kernel_size, stride)
        self.n_pixels_out, self.stride, self.width = n_pixels_out, stride, widths[0]
        flux_scale = per_pixel(flux_scale, n_pixels_out, "flux_scale")
        self.register_buffer("flux_scale", flux_scale)
        length = -(-n_pixels_out // stride ** len(widths))
        self.coarse = nn.Linear(n_in, length * self.width)
        self.stages = nn.ModuleList()
        for width, finer in zip(widths, (*widths[1:], 1)):
            layers = [ResidualBlock(width, kernel_size, dropout) for _ in range(blocks)]
            layers.append(convolution(width, finer * stride, kernel_size))
            self.stages.append(nn.Sequential(*layers))
        nn.init.zeros_(self.stages[-1][-1].weight)

    def forward(self, x):
        """Decode.

        Parameters
        ----------
        x : Tensor of shape (n, n_in)
            What an encoder gave.

        Returns
        -------
        Tensor of shape (n, n_pixels_out)
            Flux beyond the base, continuum units.
        """
        n = len(x)
        x = self.coarse(x).view(n, 1, -1, self.width).permute(0, 3, 1, 2)
        for stage in self.stages:
            x = stage(x).permute(0, 2, 3, 1)  # (n, 1, length, finer * stride)
            length = x.shape[2] * self.stride
            x = x.reshape(n, 1, length, -1).permute(0, 3, 1, 2)
        return x[:, 0, 0, : self.n_pixels_out] * self.flux_scale
