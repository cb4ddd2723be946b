"""`Translation`: an encoder and what decodes it."""

from torch import nn


class Translation(nn.Module):
    """Translate spectra by an encoder, a decoder, and a head for the variance.

    Parameters
    ----------
    encoder : Module
        Source spectra to (n, k): `SpectrumEncoder`, `ScoreEncoder`.
    decoder : Module
        (n, k) to flux, shape (n, n_pixels_out): `LinearDecoder`, `ConvDecoder`.
    variance_head : Module, optional
        (n, k) to log-variance, shape (n, n_pixels_out): `LogVarianceHead`.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import LinearDecoder, SpectrumEncoder, Translation
    >>> encoder = SpectrumEncoder(100, widths=(8,), n_out=8)
    >>> network = Translation(encoder, LinearDecoder(8, torch.randn(4, 60)))
    >>> flux, ivar = torch.randn(3, 100), torch.full((3, 100), 1e4)
    >>> network(flux, ivar)["flux"].shape
    torch.Size([3, 60])
    """

    def __init__(self, encoder, decoder, variance_head=None):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.variance_head = variance_head

    def forward(self, flux, ivar, base=None, **others):
        """Translate.

        Parameters
        ----------
        flux : Tensor of shape (n, n_pixels_in)
            Deviation from the mean source spectrum, continuum units; anything where
            ivar is 0.
        ivar : Tensor of shape (n, n_pixels_in)
            Inverse variance, 0 where the flux is unknown.
        base : Tensor of shape (n, n_pixels_out), optional
            Flux that the decoded is added to, continuum units.
        **others : Tensor of shape (n, ...)
            What else the encoder takes: "features", shape (n, n_features).

        Returns
        -------
        dict
            "flux" and, with a variance head, "log_variance": tensors of shape
            (n, n_pixels_out).
        """
        encoded = self.encoder(flux, ivar, **others)
        decoded = self.decoder(encoded)
        outputs = {"flux": decoded if base is None else base + decoded}
        if self.variance_head is not None:
            outputs["log_variance"] = self.variance_head(encoded)
        return outputs
