"""`LinearDecoder`: coefficients of a basis of target spectra."""

from torch import nn

from specxfer.networks._pixels import as_matrix


class LinearDecoder(nn.Module):
    """Decode to a sum of basis spectra, which is 0 before training.

    Parameters
    ----------
    n_in : int
        Numbers per star that come in.
    basis : array-like of shape (k, n_pixels_out)
        Basis spectra, continuum units, for instance `weighted_basis` of the target's
        residuals: each scaled by the standard deviation of its coefficient, so that
        coefficients are of order 1.
    trainable : bool, default=False
        Whether the basis may change in training.

    Raises
    ------
    ValueError
        If `basis` is no table of finite numbers.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import LinearDecoder
    >>> decoder = LinearDecoder(8, torch.randn(4, 100))
    >>> bool((decoder(torch.randn(3, 8)) == torch.zeros(3, 100)).all())
    True
    """

    def __init__(self, n_in, basis, *, trainable=False):
        super().__init__()
        basis = as_matrix(basis, "basis")
        self.basis = nn.Parameter(basis, requires_grad=trainable)
        self.coefficients = zero_linear(n_in, len(basis))

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
        return self.coefficients(x) @ self.basis


def zero_linear(n_in, n_out):
    """A linear layer that gives 0 until it has learnt something else."""
    layer = nn.Linear(n_in, n_out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
