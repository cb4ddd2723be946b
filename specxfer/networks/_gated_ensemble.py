"""`GatedEnsemble`: several small networks side by side, linear where they can be."""

import torch
from torch import nn
from torch.nn import functional


class GatedEnsemble(nn.Module):
    """Members that are linear in all numbers, with slopes that the leading ones set.

    Of input x with leading part l a member makes ``h = A x``, and from that
    ``C [h (1 + g(l)) + b(l)] + d``, where (g, b) is a perceptron with one hidden layer.
    How strongly a line responds depends on the kind of star, which few numbers tell;
    the rest says how this star differs from its kind, and there the response is
    linear. Members share nothing but the pass: all are one product of matrices.

    Parameters
    ----------
    n_in : int
        Numbers per star that come in, of order 1, the telling ones first.
    n_out : int
        Numbers per star that come out; 0 before training.
    n_members : int, default=5
    n_leading : int, default=6
        How many of the numbers set the slopes.
    width : int, default=64
        Length of h.
    gate_width : int, default=64
        Hidden units of (g, b).

    References
    ----------
    Hastie & Tibshirani 1993, J. R. Stat. Soc. B 55, 757 (coefficients that vary with
    other variables); Perez et al. 2018, AAAI (networks that modulate networks);
    Lakshminarayanan et al. 2017, NIPS 30 (members from different starts).

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import GatedEnsemble
    >>> ensemble = GatedEnsemble(20, 8, n_members=3)
    >>> ensemble(torch.zeros(5, 20)).shape
    torch.Size([5, 3, 8])
    """

    def __init__(
        self, n_in, n_out, *, n_members=5, n_leading=6, width=64, gate_width=64
    ):
        super().__init__()
        self.n_members, self.width = n_members, width
        self.n_leading = min(n_leading, n_in)
        self.inner = nn.Linear(n_in, n_members * width)
        self.hidden = nn.Linear(self.n_leading, n_members * gate_width)
        bound = gate_width**-0.5  # as nn.Linear does
        gates = torch.empty(n_members, gate_width, 2 * width).uniform_(-bound, bound)
        self.gates = nn.Parameter(gates)
        self.bias_gates = nn.Parameter(torch.zeros(n_members, 1, 2 * width))
        self.outer = nn.Parameter(torch.zeros(n_members, width, n_out))
        self.bias_outer = nn.Parameter(torch.zeros(n_members, 1, n_out))

    def forward(self, x):
        """What each member makes of each star.

        Parameters
        ----------
        x : Tensor of shape (n, n_in), or (n, n_members, n_in) of each member's own

        Returns
        -------
        Tensor of shape (n, n_members, n_out)
        """
        h = self._of_each(self.inner, x)
        before = self._of_each(self.hidden, x[..., : self.n_leading])
        gates = torch.baddbmm(self.bias_gates, functional.silu(before), self.gates)
        slope, offset = gates.chunk(2, -1)
        out = torch.baddbmm(self.bias_outer, h * (1 + slope) + offset, self.outer)
        return out.transpose(0, 1)

    def some(self, members):
        """An ensemble of some of the members alone, on copies of their weights.

        Parameters
        ----------
        members : list of int

        Returns
        -------
        GatedEnsemble
        """
        weights = {
            name: p.detach().unflatten(0, (self.n_members, -1))[members].flatten(0, 1)
            for name, p in self.named_parameters()
        }
        with torch.device("meta"):  # so that no weights are drawn
            some = GatedEnsemble(
                self.inner.in_features,
                self.outer.shape[2],
                n_members=len(members),
                n_leading=self.n_leading,
                width=self.width,
                gate_width=self.gates.shape[1],
            )
        some.load_state_dict(weights, assign=True)
        return some

    def _of_each(self, layer, x):
        """What a layer of all members makes of x, (n_members, n, width)."""
        if x.ndim == 2:
            return layer(x).unflatten(1, (self.n_members, -1)).transpose(0, 1)
        weight = layer.weight.unflatten(0, (self.n_members, -1)).transpose(1, 2)
        bias = layer.bias.unflatten(0, (self.n_members, 1, -1))
        return torch.baddbmm(bias, x.transpose(0, 1), weight)
