"""`AlignmentLoss`: partners found, and both sides read from either embedding."""

from torch import nn

from specxfer.networks._info_nce import InfoNCE
from specxfer.networks._losses import weighted_mean
from specxfer.networks._quadratic_error import QuadraticError


class AlignmentLoss(nn.Module):
    """What an `AlignedSpace` is trained with.

    ``contrastive · InfoNCE + cross · (errors of each side from the other's embedding)
    + reconstruction · (errors of each side from its own)``. Errors of the target are
    those of its pixels (`QuadraticError`), errors of the source's features mean
    squares. A star with one side counts in the reconstruction of that side alone.

    Parameters
    ----------
    contrastive, cross, reconstruction : float
        Weights.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import AlignmentLoss
    >>> outputs = {"source": torch.eye(2), "target": torch.eye(2)}
    >>> outputs["scale"] = torch.tensor(100.0)
    >>> outputs["coefficients"] = torch.zeros(2, 2, 1)
    >>> outputs["features"] = torch.zeros(2, 2, 1)
    >>> targets = {"projection": torch.ones(2, 1), "gram 0": torch.ones(2, 1, 1)}
    >>> targets |= {"features": torch.ones(2, 1), "pair": torch.ones(2)}
    >>> targets |= {"has": torch.ones(2, 2), "star": torch.arange(2.0)}
    >>> AlignmentLoss(contrastive=1.0, cross=0.5, reconstruction=0.0)(outputs, targets)
    tensor(1.)
    """

    def __init__(self, contrastive=1.0, cross=1.0, reconstruction=1.0):
        super().__init__()
        self.contrastive, self.cross = contrastive, cross
        self.reconstruction = reconstruction
        self.partners, self.pixels = InfoNCE(), QuadraticError()

    def forward(self, outputs, targets):
        """The loss of a batch.

        Parameters
        ----------
        outputs : dict
            Of an `AlignedSpace`.
        targets : dict
            "projection" and "gram 0", "gram 1" … of the target, as for
            `QuadraticError`; "features" (n, n_source) of the source; "has", (n, 2):
            weight of each star as one with a source, and with a target; "pair", (n,):
            weight of its matching; "star", (n,): which star a row is of.

        Returns
        -------
        Tensor of shape ()
        """
        has = targets["has"]
        both = has.prod(dim=1).sqrt()
        pixels = self.pixels.of_each(outputs["coefficients"], targets)
        left = outputs["features"] - targets["features"][:, None]
        features = left.square().mean(dim=2)
        loss = self.cross * (
            weighted_mean(pixels[:, 0], both) + weighted_mean(features[:, 1], both)
        )
        loss = loss + self.reconstruction * (
            weighted_mean(features[:, 0], has[:, 0])
            + weighted_mean(pixels[:, 1], has[:, 1])
        )
        if not self.contrastive:
            return loss
        sides = outputs["source"], outputs["target"], outputs["scale"]
        partners = self.partners(*sides, targets["pair"], targets["star"])
        return loss + self.contrastive * partners
