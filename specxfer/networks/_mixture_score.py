"""`MixtureScore`: F of a mixture of Gaussians, in closed form."""

import torch
from torch import nn

__all__ = ["MixtureScore"]


class MixtureScore(nn.Module):
    """What a `Denoiser` should find if latents follow a mixture of Gaussians.

    Parameters
    ----------
    n_gaussians, n_latents : int
        All N(0, 1), with F = 0, until buffers are loaded.

    Notes
    -----
    Of N(m, 1 + QλQᵀ) and ``x = u cos a + ε sin a`` the mean of u is
    ``x cos a + F sin a`` with ``F = (m + cos a QλA⁻¹Qᵀ(x − m cos a)) sin a`` and
    ``A = 1 + λ cos² a``, which has no pole at either end. F of a mixture is the mean
    of these, weighted by the density that each Gaussian has at x.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks._mixture_score import MixtureScore
    >>> MixtureScore(2, 3)(torch.ones(1, 3), torch.ones(1, 1))
    tensor([[0., 0., 0.]])
    """

    def __init__(self, n_gaussians, n_latents):
        super().__init__()
        share = torch.full((n_gaussians,), 1 / n_gaussians)
        axes = torch.eye(n_latents).repeat(n_gaussians, 1, 1)
        self.register_buffer("share", share)
        self.register_buffer("mean", torch.zeros(n_gaussians, n_latents))
        self.register_buffer("stretch", torch.zeros(n_gaussians, n_latents))  # λ
        self.register_buffer("axes", axes)  # Q

    def forward(self, x, angle):
        """F.

        Parameters
        ----------
        x : Tensor of shape (n, n_latents)
        angle : Tensor of shape (n, 1)

        Returns
        -------
        Tensor of shape (n, n_latents)
        """
        sine, cosine = torch.sin(angle)[:, None], torch.cos(angle)[:, None]
        left = x[:, None] - cosine * self.mean
        along = torch.einsum("nki,kij->nkj", left, self.axes)
        variance = 1 + cosine**2 * self.stretch
        scaled = along / variance
        logs = torch.log(self.share) - torch.log(variance).sum(dim=2) / 2
        member = torch.softmax(logs - (along * scaled).sum(dim=2) / 2, dim=1)
        back = torch.einsum("nkj,kij->nki", self.stretch * scaled, self.axes)
        each = sine * (self.mean + cosine * back)
        return (member[:, :, None] * each).sum(dim=1)
