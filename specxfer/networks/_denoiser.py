"""`Denoiser`: what noisy latents were, given what is known of the star."""

import torch
from torch import nn
from torch.nn import functional

from specxfer.networks._losses import weighted_mean
from specxfer.networks._mixture_score import MixtureScore

DEPTH = 2  # residual blocks
LEVELS = 8  # cosines of the noise level
CENTRE, SPREAD = -0.4, 1.4  # of ln σ in training
BLIND = 0.1  # of the stars σ is infinite: what is learnt is the mean


class Preconditioned(nn.Module):
    """What any denoiser is made of, given its F: ``found(x, angle, conditions)``."""

    def denoised(self, z, sigma, conditions):
        """D.

        Parameters
        ----------
        z : Tensor of shape (n, d)
        sigma : Tensor of shape (n,)
        conditions : Tensor of shape (n, n_conditions)

        Returns
        -------
        Tensor of shape (n, d)
        """
        angle = torch.arctan(sigma)[:, None]
        x = torch.cos(angle) * z
        return torch.cos(angle) * x + torch.sin(angle) * self.found(
            x, angle, conditions
        )

    def compared(self, conditions, latents, noise, angle):
        """F of noisy latents, and what it should be.

        Parameters
        ----------
        conditions : Tensor of shape (n, n_conditions)
        latents, noise : Tensor of shape (n, d)
        angle : Tensor of shape (n, 1)

        Returns
        -------
        dict
            "found" and "wanted", (n, d).
        """
        sine, cosine = torch.sin(angle), torch.cos(angle)
        found = self.found(cosine * latents + sine * noise, angle, conditions)
        return {"found": found, "wanted": sine * latents - cosine * noise}


class Denoiser(Preconditioned):
    """The mean of latents u behind ``z = u + σ ε``, for any σ, given conditions h.

    Of latents with unit variance ``D(z, σ, h) = c_skip z + c_out F(c_in z, σ, h)`` with
    ``c_skip = 1 / (1 + σ²)``, ``c_out = σ / √(1 + σ²)`` and ``c_in = 1 / √(1 + σ²)``
    (Karras et al. 2022, table 1). F is a residual network whose hidden units are
    shifted and scaled by star and noise level; before training it is 0, and D what it
    should be of latents that are N(0, 1). A mixture of Gaussians, if there is one, is
    added in closed form: the network then learns what is left.

    Parameters
    ----------
    n_latents : int
    n_conditions : int
    width : int, default=64
        Hidden units.
    n_gaussians : int, default=0
        Of the mixture, whose buffers are to be loaded.

    References
    ----------
    Karras, T. et al. 2022, NeurIPS 35 (arXiv:2206.00364).

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import Denoiser
    >>> denoiser = Denoiser(n_latents=2, n_conditions=3)
    >>> with torch.no_grad():
    ...     denoiser.denoised(torch.ones(1, 2), torch.ones(1), torch.zeros(1, 3))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, n_latents, n_conditions, width=64, n_gaussians=0):
        super().__init__()

        def layers(n_in, n_out):
            return nn.ModuleList(nn.Linear(n_in, n_out) for _ in range(DEPTH))

        self.star, self.level = nn.Linear(n_conditions, width), nn.Linear(LEVELS, width)
        self.inner = nn.Linear(n_latents, width)
        self.up, self.known = layers(width, width), layers(width, 2 * width)
        self.down = layers(width, width)
        self.outer = nn.Linear(width, n_latents)
        for layer in (*self.known, *self.down, self.outer):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.mixture = MixtureScore(n_gaussians, n_latents) if n_gaussians else None

    def found(self, x, angle, conditions):
        """F.

        Parameters
        ----------
        x : Tensor of shape (n, n_latents)
            Noisy latents over √(1 + σ²).
        angle : Tensor of shape (n, 1)
            arctan σ.
        conditions : Tensor of shape (n, n_conditions)

        Returns
        -------
        Tensor of shape (n, n_latents)
        """
        order = torch.arange(LEVELS, dtype=angle.dtype, device=angle.device)
        level = self.level(torch.cos(2 * order * angle))
        known = functional.silu(self.star(conditions) + level)
        start = 0 if self.mixture is None else self.mixture(x, angle)
        x = self.inner(x)
        for up, of_known, down in zip(self.up, self.known, self.down):
            scale, shift = of_known(known).chunk(2, dim=1)
            x = x + down(functional.silu(up(x) * (1 + scale) + shift))
        return start + self.outer(x)

    def forward(self, flux, draws, ivar=None):
        """F of one draw of each star at a random noise level, and what it should be.

        Parameters
        ----------
        flux : Tensor of shape (n, n_conditions)
            The conditions.
        draws : Tensor of shape (n, n_draws, n_latents)
            Latents that the star may have.
        ivar : Tensor, optional
            Of no concern; batches bring it.

        Returns
        -------
        dict
            "found" and "wanted", (n, n_latents).
        """
        n, n_draws, d = draws.shape
        which = torch.randint(n_draws, (n,), device=draws.device)
        level = torch.randn(n, 1, device=draws.device)
        noise = torch.randn(n, d, device=draws.device)
        some = draws[torch.arange(n, device=draws.device), which]
        angle = torch.arctan(torch.exp(CENTRE + SPREAD * level))
        blind = torch.rand(n, 1, device=draws.device) < BLIND
        angle = torch.where(blind, torch.pi / 2, angle)
        return self.compared(flux, some, noise, angle)


class DenoisingError(nn.Module):
    """Mean squared error of a `Denoiser`, every noise level counting alike.

    ``|D − u|² / c_out²``, as Karras et al. 2022 (NeurIPS 35, table 1) weigh it.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import DenoisingError
    >>> outputs = {"found": torch.zeros(2, 3), "wanted": torch.ones(2, 3)}
    >>> DenoisingError()(outputs, {"weight": torch.ones(2)})
    tensor(1.)
    """

    def __init__(self):
        super().__init__()

    def forward(self, outputs, targets):
        """The loss of a batch.

        Parameters
        ----------
        outputs : dict
            Of a `Denoiser`.
        targets : dict
            "weight", (n,), of the stars.

        Returns
        -------
        Tensor of shape ()
        """
        square = (outputs["found"] - outputs["wanted"]).square().mean(dim=1)
        return weighted_mean(square, targets["weight"])
