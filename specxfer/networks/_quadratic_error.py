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

    With b and G of every part of the spectrum in units of its mean ``bᵀ G⁻¹ b``, the
    loss of the mean spectrum is 1, and that of the observed spectra near 0.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import QuadraticError
    >>> targets = {"gram 0": torch.eye(2)[None] / 25}
    >>> targets["projection"] = torch.tensor([[3.0, 4.0]]) / 25
    >>> targets["judges"] = torch.tensor([[1.0, 1.0, 0.0]])
    >>> outputs = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [9.0, 9.0]]])
    >>> QuadraticError()(outputs, targets).item()  # (0 + 1) / 2
    0.5
    """

    def __init__(self):
        super().__init__()

    def forward(self, outputs, targets):
        """The loss of a batch.

        Parameters
        ----------
        outputs : Tensor of shape (n, n_members, k)
            Coefficients.
        targets : dict
            "projection", shape (n, k); "gram 0", "gram 1" …, the blocks of G that
            belong to the parts of the spectrum, in order, (n, k_part, k_part); and
            "judges", (n, n_members): the weight that each star has for each member.

        Returns
        -------
        Tensor of shape ()
        """
        judges = targets["judges"]
        return weighted_mean(self.of_each(outputs, targets), judges)

    def of_each(self, outputs, targets):
        """The loss of each star by each member.

        Parameters
        ----------
        outputs : Tensor of shape (n, n_members, k)
        targets : dict
            As for `forward`, but for "judges".

        Returns
        -------
        Tensor of shape (n, n_members)
        """
        parts = self.of_parts(outputs, targets)
        return 1 + sum(parts) / len(parts)

    def of_parts(self, outputs, targets):
        """What the coefficients add to the loss in each part of the spectrum.

        Parameters
        ----------
        outputs : Tensor of shape (n, n_members, k)
        targets : dict
            As for `forward`, but for "judges".

        Returns
        -------
        list of Tensor of shape (n, n_members)
            ``oᵀ G o − 2 oᵀ b``, 0 for the mean spectrum.
        """
        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        projection = targets["projection"].to(outputs.dtype)
        found, start = [], 0
        while start < outputs.shape[2]:
            gram = targets[f"gram {len(found)}"].to(outputs.dtype)
            part = slice(start, start + gram.shape[1])
            some = outputs[:, :, part]
            right = torch.bmm(some, gram) - 2 * projection[:, None, part]
            found.append((right * some).sum(dim=2))
            start = part.stop
        return found
