"""`InfoNCE`: which of a batch's targets belongs to each source, and back."""

import torch
from torch import nn
from torch.nn import functional

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
        own = torch.arange(len(source), device=source.device)
        barred = None if star is None else star[None] == star[:, None]
        if weight is None:
            weight = source.new_ones(len(source))
        elif (weight <= 0).any():
            out = (weight <= 0)[None] | (weight <= 0)[:, None]
            barred = out if barred is None else barred | out
        if barred is not None:
            barred = barred.fill_diagonal_(False)
        scaled = scale * source

        def missed(product):
            if barred is not None:
                product = product.masked_fill(barred, -torch.inf)
            return functional.cross_entropy(product, own, reduction="none")

        # two products: along rows that lie together in memory softmax is fastest
        each = (missed(scaled @ target.T) + missed(target @ scaled.T)) / 2
        return (weight * each).sum() / weight.sum().clamp(min=SMALLEST)
