"""`QuadraticError`: the weighted squared residual of all pixels, in coefficients."""

import torch
from torch import nn

from specxfer.networks._losses import weighted_mean


class QuadraticError(nn.Module):
    """Weighted squared residuals of spectra that a fixed basis makes.

    For coefficients o of a basis L, ``Σ w (y − mean − o L)²`` is ``oᵀ G o − 2 oᵀ b``
    and a constant, with ``G = L W Lᵀ`` and ``b = L W (y − mean)``: all that a star's
    pixels, noise and masks have to say. A step then costs the same however many pixels
    there are.

    Parameters
    ----------
    unit : float, default=1.0
        What the sum is divided by; with the mean of ``bᵀ G⁻¹ b`` the loss of the
        mean spectrum is 1, and that of the spectra themselves 0.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import QuadraticError
    >>> targets = {"gram": torch.eye(2)[None], "projection": torch.tensor([[3.0, 4.0]])}
    >>> targets["judges"] = torch.tensor([[1.0, 1.0, 0.0]])
    >>> outputs = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [9.0, 9.0]]])
    >>> QuadraticError(unit=25.0)(outputs, targets).item()  # (0 + 1) / 2
    0.5
    """

    def __init__(self, unit=1.0):
        super().__init__()
        self.unit = unit

    def extra_repr(self):
        return f"unit={self.unit:.6g}"

    def forward(self, outputs, targets):
        """The loss of a batch.

        Parameters
        ----------
        outputs : Tensor of shape (n, n_members, k)
            Coefficients.
        targets : dict
            "gram", shape (n, k, k), "projection", (n, k), and "judges", (n, n_members):
            the weight that each star has for each member.

        Returns
        -------
        Tensor of shape ()
        """
        judges = targets["judges"]
        return weighted_mean(self.of_each(outputs, targets), judges)

    def of_each(self, outputs, targets):
        """The loss of each star by each member, (n, n_members)."""
        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        gram = targets["gram"].to(outputs.dtype)
        projection = targets["projection"].to(outputs.dtype)
        right = torch.bmm(outputs, gram) - 2 * projection[:, None]
        return 1 + (right * outputs).sum(dim=2) / self.unit
