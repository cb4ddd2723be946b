"""`MemberNetworks`: an ensemble on scores, on convolutions of the spectrum, or both."""

import torch
from torch import nn


class MemberNetworks(nn.Module):
    """An ensemble of networks between what is known of a star and its target.

    Parameters
    ----------
    ensemble : Module
        (n, k) or (n, n_members, k) to (n, n_members, n_out): `GatedEnsemble`.
    encoders : sequence of Module, optional
        One `SpectrumEncoder` for each member, whose numbers follow the scores. Without
        them the scores are all there is.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import GatedEnsemble, MemberNetworks, SpectrumEncoder
    >>> encoders = [SpectrumEncoder(100, widths=(8,), n_out=4) for _ in range(2)]
    >>> networks = MemberNetworks(GatedEnsemble(7, 5, n_members=2), encoders)
    >>> flux, ivar = torch.randn(6, 100), torch.full((6, 100), 1e4)
    >>> networks(flux, ivar, torch.zeros(6, 3)).shape
    torch.Size([6, 2, 5])
    """

    def __init__(self, ensemble, encoders=()):
        super().__init__()
        self.ensemble = ensemble
        self.encoders = nn.ModuleList(encoders)

    def forward(self, flux, ivar=None, scores=None):
        """What each member makes of each star.

        Parameters
        ----------
        flux : Tensor of shape (n, n_pixels)
            Deviation from the mean source spectrum; without encoders the scores
            themselves, (n, k).
        ivar : Tensor of shape (n, n_pixels), optional
            Inverse variance, 0 where the flux is unknown. Needed by encoders.
        scores : Tensor of shape (n, k), optional
            Scores beside the encoders.

        Returns
        -------
        Tensor of shape (n, n_members, n_out)
        """
        return self.ensemble(self.inputs(flux, ivar, scores))

    def some(self, members):
        """The networks of some of the members alone.

        Parameters
        ----------
        members : list of int

        Returns
        -------
        MemberNetworks
            With copies of the weights of the ensemble, and the same encoders.
        """
        encoders = [self.encoders[i] for i in members] if len(self.encoders) else ()
        return MemberNetworks(self.ensemble.some(members), encoders)

    def inputs(self, flux, ivar=None, scores=None):
        """What the ensemble is given.

        Parameters
        ----------
        flux, ivar, scores : Tensor
            As for `forward`.

        Returns
        -------
        Tensor of shape (n, k) or (n, n_members, k)
        """
        if not len(self.encoders):
            return flux
        found = torch.stack([encode(flux, ivar) for encode in self.encoders], dim=1)
        if scores is None:
            return found
        same = scores[:, None].expand(-1, len(self.encoders), -1)
        return torch.cat([same, found], dim=2)
