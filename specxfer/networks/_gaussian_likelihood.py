"""`GaussianLikelihood`: of the observed flux, given its noise and the model's."""

import torch
from torch import nn

from specxfer.networks._losses import SMALLEST, residuals, weighted_mean


class GaussianLikelihood(nn.Module):
    """Negative log-likelihood of the observed flux, per pixel.

    Of a residual r with noise 1/ivar, model variance s² and an error floor it is
    ``½ [r² / (1/ivar + s² + floor²) + ln(1/ivar + s² + floor²)]``: the variance that
    the noise explains is not the model's, so s² + floor² is that of the flux without
    noise. Its mean over known pixels is taken, in float32 at least.

    Parameters
    ----------
    floor : float, default=0.0
        Standard deviation, continuum units, that no prediction falls below.

    Notes
    -----
    Where a target is known but not its noise, an ivar of infinity makes s² the
    variance of the observed flux.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import GaussianLikelihood
    >>> outputs = {"flux": torch.zeros(1, 2), "log_variance": torch.zeros(1, 2)}
    >>> targets = {"flux": torch.ones(1, 2), "ivar": torch.tensor([[1.0, 0.0]])}
    >>> GaussianLikelihood()(outputs, targets).item()  # (1 / 2 + ln 2) / 2
    0.5965...
    """

    def __init__(self, floor=0.0):
        super().__init__()
        self.floor = floor

    def forward(self, outputs, targets):
        """The loss of a batch.

        Parameters
        ----------
        outputs : dict
            "flux", shape (n, n_pixels_out), and "log_variance" of that shape, the
            natural logarithm of s²; without it s² is 0.
        targets : dict
            "flux" and "ivar", shape (n, n_pixels_out), ivar 0 where the flux is
            unknown; "weight", shape (n,), of the stars if they are not alike.

        Returns
        -------
        Tensor of shape ()
        """
        residual, variance, weight = residuals(outputs, targets)
        if "log_variance" in outputs:
            log_variance = outputs["log_variance"].to(residual.dtype)
            variance = variance + torch.where(weight > 0, log_variance, 0.0).exp()
        variance = (variance + self.floor**2).clamp(min=SMALLEST)
        return weighted_mean((residual**2 / variance + variance.log()) / 2, weight)
