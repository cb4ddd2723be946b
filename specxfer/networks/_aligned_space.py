"""`AlignedSpace`: two encoders into one sphere, and decoders back to both sides."""

import torch
from torch import nn
from torch.nn import functional

from specxfer.networks._gated_ensemble import GatedEnsemble

LIFTED = 1  # coordinate of the sphere that says how far from the mean star


class AlignedSpace(nn.Module):
    """Both sides of a star as points on one sphere, and what can be read from them.

    Both sides come as the same k coordinates, one predicted from the source and one
    observed in the target, of unit variance and in the order of how well they agree.
    An encoder is linear and a gated correction, ``h = x A + g(x)``; the embedding is
    ``(h, radius)``, shortened to unit length. No length is lost by that: ``h`` is
    the embedding over its last number, times the radius. For points no further out than
    the radius distances on the sphere are nearly those between h, so that with a scale
    of radius² the products of embeddings are ``−|h − h'|² / 2`` and a constant: what
    tells partners best where the sides differ by normal errors.

    Decoders are linear in h: to the target's coefficients and the source's features,
    from either side. Private latents are of one side alone, and help nothing but its
    own reconstruction.

    Parameters
    ----------
    n_in : int
        Coordinates, k.
    n_target : int
        Coefficients of the target to decode.
    n_source : int
        Features of the source to decode.
    n_embedding : int, default=64
        Numbers of an embedding.
    n_private : int, default=0
        Private latents of each side.
    width : int, default=64
        Hidden units of each correction.
    n_leading : int, default=6
        Coordinates that the corrections' slopes depend on.
    radius : float, default=1.0

    References
    ----------
    Bach & Jordan 2005, technical report 688, Berkeley (canonical coordinates as the
    shared latents of two sides).

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import AlignedSpace
    >>> space = AlignedSpace(5, 7, 3, n_embedding=4)
    >>> out = space(torch.randn(10, 5), target=torch.randn(10, 5))
    >>> out["source"].shape, out["coefficients"].shape, out["features"].shape
    (torch.Size([10, 4]), torch.Size([10, 2, 7]), torch.Size([10, 2, 3]))
    """

    def __init__(
        self,
        n_in,
        n_target,
        n_source,
        *,
        n_embedding=64,
        n_private=0,
        width=64,
        n_leading=6,
        radius=1.0,
    ):
        super().__init__()
        n_out = n_embedding - LIFTED
        how = {
            "n_members": 1,
            "n_leading": n_leading,
            "width": width,
            "gate_width": width,
        }
        self.linear, self.gated, self.private = (
            nn.ModuleDict(made)
            for made in (
                {s: nn.Linear(n_in, n_out, bias=False) for s in SIDES},
                {s: GatedEnsemble(n_in, n_out, **how) for s in SIDES},
                {s: nn.Linear(n_in, n_private, bias=False) for s in SIDES if n_private},
            )
        )
        sizes = {"source": n_source, "target": n_target}
        self.decoder = nn.ModuleDict({s: nn.Linear(n_out, m) for s, m in sizes.items()})
        self.from_private = nn.ModuleDict(
            {s: _nothing(n_private, m) for s, m in sizes.items() if n_private}
        )
        self.register_buffer("radius", torch.tensor(float(radius)))
        self.log_scale = nn.Parameter(2 * self.radius.log())

    def encoded(self, x, side):
        """The vector h of one side.

        Parameters
        ----------
        x : Tensor of shape (n, k)
        side : {"source", "target"}

        Returns
        -------
        Tensor of shape (n, n_embedding - 1)
        """
        return self.linear[side](x) + self.gated[side](x)[:, 0]

    def slopes(self, x, side):
        """Derivatives of `encoded`.

        Parameters
        ----------
        x : Tensor of shape (n, k)
        side : {"source", "target"}

        Returns
        -------
        Tensor of shape (n, n_embedding - 1, k)
        """

        def of_one(star):
            return self.encoded(star[None], side)[0]

        return torch.func.vmap(torch.func.jacrev(of_one))(x)

    def lifted(self, h):
        """Points on the sphere.

        Parameters
        ----------
        h : Tensor of shape (n, n_embedding - 1)

        Returns
        -------
        Tensor of shape (n, n_embedding)
        """
        last = self.radius.expand(len(h), LIFTED).to(h.dtype)
        return functional.normalize(torch.cat([h, last], dim=1), dim=1)

    def dropped(self, embedding):
        """The vectors h of points on the sphere, whose last number is above 0.

        Parameters
        ----------
        embedding : Tensor of shape (n, n_embedding)

        Returns
        -------
        Tensor of shape (n, n_embedding - 1)
        """
        return embedding[:, :-LIFTED] / embedding[:, -LIFTED:] * self.radius

    def forward(self, flux, ivar=None, target=None):
        """Embeddings of both sides, and what is decoded from each.

        Parameters
        ----------
        flux : Tensor of shape (n, k)
            Coordinates by the source.
        ivar : Tensor, optional
            Of no concern; batches bring it.
        target : Tensor of shape (n, k)
            Coordinates of the target.

        Returns
        -------
        dict
            "source" and "target", (n, n_embedding); "scale", the inverse temperature;
            "coefficients" (n, 2, n_target) of the target and "features"
            (n, 2, n_source) of the source, from the source's side first.
        """
        x = {"source": flux, "target": target}
        h = {side: self.encoded(x[side], side) for side in SIDES}
        out = {side: self.lifted(h[side]) for side in SIDES}
        for name, own in (("coefficients", "target"), ("features", "source")):
            decoded = {side: self.decoder[own](h[side]) for side in SIDES}
            if own in self.private:
                latents = self.private[own](x[own])
                decoded[own] = decoded[own] + self.from_private[own](latents)
            out[name] = torch.stack([decoded[side] for side in SIDES], dim=1)
        out["scale"] = self.log_scale.exp()
        return out


SIDES = ("source", "target")


def _nothing(n_in, n_out):
    """A linear layer that adds nothing before training."""
    layer = nn.Linear(n_in, n_out, bias=False)
    nn.init.zeros_(layer.weight)
    return layer
