"""`WeightedSquaredError`: squared residuals in units of the noise."""

from torch import nn

from specxfer.networks._losses import SMALLEST, residuals, weighted_mean


class WeightedSquaredError(nn.Module):
    """Squared residual over its noise, ``r² / (1/ivar + floor²)``.

    Its mean over known pixels is taken, in float32 at least.

    Parameters
    ----------
    floor : float, default=0.0
        Standard deviation, continuum units, added in quadrature to the noise, so that
        pixels almost without noise do not rule.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import WeightedSquaredError
    >>> outputs = {"flux": torch.zeros(1, 2)}
    >>> targets = {"flux": torch.ones(1, 2), "ivar": torch.tensor([[4.0, 0.0]])}
    >>> WeightedSquaredError()(outputs, targets).item()
    4.0
    """

    def __init__(self, floor=0.0):
        super().__init__()
        self.floor = floor

    def forward(self, outputs, targets):
        """The loss of a batch.

        Parameters
        ----------
        outputs : dict
            "flux", shape (n, n_pixels_out).
        targets : dict
            "flux" and "ivar", shape (n, n_pixels_out), ivar 0 where the flux is
            unknown; "weight", shape (n,), of the stars if they are not alike.

        Returns
        -------
        Tensor of shape ()
        """
        residual, variance, weight = residuals(outputs, targets)
        variance = (variance + self.floor**2).clamp(min=SMALLEST)
        return weighted_mean(residual**2 / variance, weight)
