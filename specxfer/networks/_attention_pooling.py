"""`AttentionPooling`: learned queries look up positions of a spectrum."""

import torch
from torch import nn


class AttentionPooling(nn.Module):
    """Weighted means over positions: (n, length, width) to (n, n_queries * width).

    A query weighs positions by what is there and, learned from none at the start, by
    where it is. Positions whose coverage (n, length) is 0 have no weight.
    """

    def __init__(self, width, length, n_queries):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(n_queries, width) / width**0.5)
        self.places = nn.Parameter(torch.zeros(n_queries, length))

    def forward(self, x, coverage):
        scores = torch.einsum("nlc,qc->nql", self.norm(x), self.queries)
        coverage = coverage[:, None]
        scores = (scores + self.places).masked_fill(coverage == 0, -1e4)
        weights = torch.softmax(scores, dim=-1) * coverage
        # a star without a known pixel gets 0
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-12)
        return torch.einsum("nql,nlc->nqc", weights.to(x.dtype), x).flatten(1)
