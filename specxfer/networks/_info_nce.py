"""`InfoNCE`: which of a batch's targets belongs to each source, and back."""

import torch
from torch import nn

from specxfer.networks._losses import SMALLEST


class InfoNCE(nn.Module):
    """Symmetric contrastive loss: −log of the share that a star's own partner has.

    With embeddings s and t of the two sides and S = scale · s tᵀ, the mean over stars
    of ``½ (logsumexp_j S_ij + logsumexp_j S_ji) − S_ii``, in nats: log n for embeddings
    that tell nothing of n stars, 0 where every star is alone with its partner.

    References
    ----------
    van den Oord et al. 2018, arXiv:1807.03748; Radford et al. 2021, ICML (symmetric,
    with a learnt scale).

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import InfoNCE
    >>> same = torch.ones(4, 1)
    >>> round(InfoNCE()(same, same, torch.tensor(1.0)).exp().item(), 3)
    4.0
    >>> apart = torch.eye(4)
    >>> round(InfoNCE()(apart, apart, torch.tensor(50.0)).item(), 3)
    0.0
    """

    def __init__(self):
        super().__init__()

    def forward(self, source, target, scale, weight=None, star=None):
        """The loss of a batch.

        Parameters
        ----------
        source, target : Tensor of shape (n, n_embedding)
            Of unit length; a row a star, or NaN nowhere even where a side is missing.
        scale : Tensor of shape ()
            The inverse temperature.
        weight : Tensor of shape (n,), optional
            Of each pair; 0 for what is none, which then is nobody's rival either.
        star : Tensor of shape (n,), optional
            The star of each row: rows of one star are no rivals.

        Returns
        -------
        Tensor of shape ()
            0 without any pair.
        """
        n = len(source)
        own = torch.eye(n, dtype=torch.bool, device=source.device)
        barred = torch.zeros_like(own)
        if weight is None:
            weight = source.new_ones(n)
        else:
            barred = barred | (weight <= 0)[None] | (weight <= 0)[:, None]
        if star is not None:
            barred = barred | (star[None] == star[:, None])
        product = scale * (source @ target.T)
        logits = product.masked_fill(barred & ~own, -torch.inf)
        each = (logits.logsumexp(dim=0) + logits.logsumexp(dim=1)) / 2
        each = each - product.diagonal()
        return (weight * each).sum() / weight.sum().clamp(min=SMALLEST)
