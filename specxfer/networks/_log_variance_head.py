"""`LogVarianceHead`: how far each pixel's prediction is to be believed."""

import numpy as np
import torch
from torch import nn

from specxfer.networks._linear_decoder import zero_linear
from specxfer.networks._pixels import as_matrix, per_pixel


class LogVarianceHead(nn.Module):
    """Logarithm of the predictive variance of each pixel, low-rank in pixels.

    Each star has a few coefficients of a basis over pixels, which change the variance
    from a given one by at most a factor exp(`bound`). Before training it is the given.

    Parameters
    ----------
    n_in : int
        Numbers per star that come in.
    log_variance : array-like of shape (n_pixels_out,)
        Natural logarithm of the variance of each pixel, squared continuum units,
        before training: for instance of what the base leaves unexplained.
    basis : int or array-like of shape (k, n_pixels_out), default=16
        Changes of the log-variance that a coefficient of 1 makes. A number asks for
        that many overlapping triangles side by side, which sum to 1 in every pixel.
    trainable : bool, default=False
        Whether the basis may change in training.
    bound : float, default=5.0
        The largest change of the log-variance, approached smoothly.

    Raises
    ------
    ValueError
        If an array does not have the shape described or is not finite, or `bound` is
        not positive.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import LogVarianceHead
    >>> head = LogVarianceHead(8, torch.full((100,), -9.0))
    >>> bool((head(torch.randn(3, 8)) == -9).all())
    True
    """

    def __init__(self, n_in, log_variance, *, basis=16, trainable=False, bound=5.0):
        super().__init__()
        n_pixels = len(log_variance)
        if bound <= 0:
            raise ValueError(f"bound is {bound}; expected a positive number.")
        log_variance = per_pixel(log_variance, n_pixels, "log_variance", False)
        self.register_buffer("log_variance", log_variance)
        if np.ndim(basis) == 0:
            basis = triangles(basis, n_pixels)
        basis = as_matrix(basis, "basis")
        if basis.shape[1] != n_pixels:
            raise ValueError(
                f"basis has {basis.shape[1]} pixels; expected {n_pixels}, those of "
                "log_variance."
            )
        self.basis = nn.Parameter(basis, requires_grad=trainable)
        self.coefficients = zero_linear(n_in, len(basis))
        self.bound = bound

    def forward(self, x):
        """Log-variance.

        Parameters
        ----------
        x : Tensor of shape (n, n_in)
            What an encoder gave.

        Returns
        -------
        Tensor of shape (n, n_pixels_out)
            Natural logarithm of the variance, squared continuum units.
        """
        change = self.coefficients(x) @ self.basis / self.bound
        return self.log_variance + self.bound * torch.tanh(change)


def triangles(k, n_pixels):
    """Triangles with peaks spread evenly over the pixels, of shape (k, n_pixels)."""
    if k == 1:
        return np.ones((1, n_pixels))
    place = np.linspace(0, k - 1, n_pixels)
    return np.clip(1 - np.abs(place - np.arange(k)[:, None]), 0, None)
