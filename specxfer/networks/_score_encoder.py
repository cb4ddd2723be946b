"""`ScoreEncoder`: a perceptron on the scores of given components."""

import torch
from torch import nn

from specxfer.networks._pixels import (
    as_matrix,
    check_pixels,
    known_flux,
    noise_level,
    per_pixel,
    with_features,
)


class ScoreEncoder(nn.Module):
    """Encode a spectrum by its scores on given components.

    The first layer is a convolution as wide as the spectrum: a projection on
    components of the source, for instance its principal ones. The scores, divided by
    their typical size, go through a residual perceptron. A masked pixel counts as that
    of the mean spectrum; how noisy the star is on average is one more number.

    Parameters
    ----------
    projection : array-like of shape (n_pixels, k)
        The components, one a column.
    mean : array-like of shape (n_pixels,), optional
        What is taken off the flux first, continuum units; nothing by default, as the
        flux already is a deviation from the mean spectrum.
    widths : sequence of int, default=(256, 256)
        Width of each residual block; none for a linear encoder.
    scales : float or array-like of shape (k,), default=1.0
        Standard deviation of each score, by which it is divided.
    n_out : int, default=64
        Numbers that come out.
    n_features : int, default=0
        Further numbers per star that go in with the scores.
    dropout : float, default=0.0
        Share of activations dropped in training.
    trainable : bool, default=False
        Whether the components may change in training.
    typical_ivar : float or array-like of shape (n_pixels,), default=1e4
        Typical inverse variance.

    Raises
    ------
    ValueError
        If an array does not have the shape described or is not finite.

    Examples
    --------
    >>> import torch
    >>> from specxfer.networks import ScoreEncoder
    >>> components = torch.linalg.qr(torch.randn(100, 4)).Q
    >>> encoder = ScoreEncoder(components, widths=(32,), n_out=5)
    >>> encoder(torch.zeros(3, 100), torch.full((3, 100), 1e4)).shape
    torch.Size([3, 5])
    """

    def __init__(
        self,
        projection,
        mean=None,
        *,
        widths=(256, 256),
        scales=1.0,
        n_out=64,
        n_features=0,
        dropout=0.0,
        trainable=False,
        typical_ivar=1e4,
    ):
        super().__init__()
        projection = as_matrix(projection, "projection")
        n_pixels, k = projection.shape
        self.n_pixels, self.n_features = n_pixels, n_features
        self.projection = nn.Parameter(projection, requires_grad=trainable)
        mean = per_pixel(0.0 if mean is None else mean, n_pixels, "mean", False)
        self.register_buffer("mean", mean)
        self.register_buffer("scales", per_pixel(scales, k, "scales"))
        typical_ivar = per_pixel(typical_ivar, n_pixels, "typical_ivar")
        self.register_buffer("typical_ivar", typical_ivar)
        width, layers = k + 1 + n_features, []
        for wider in widths:
            layers.append(DenseBlock(width, wider, dropout))
            width = wider
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(width, n_out)

    def forward(self, flux, ivar, features=None):
        """Encode spectra.

        Parameters
        ----------
        flux : Tensor of shape (n, n_pixels)
            Deviation from the mean spectrum, continuum units; anything where ivar
            is 0.
        ivar : Tensor of shape (n, n_pixels)
            Inverse variance, 0 where the flux is unknown.
        features : Tensor of shape (n, n_features), optional
            Further numbers per star.

        Returns
        -------
        Tensor of shape (n, n_out)
        """
        check_pixels(flux, ivar, self.n_pixels)
        scores = known_flux(flux - self.mean, ivar > 0) @ self.projection / self.scales
        noise = noise_level(ivar, self.typical_ivar).mean(dim=1, keepdim=True)
        x = with_features(torch.cat([scores, noise], dim=1), features, self.n_features)
        return self.head(self.layers(x))


class DenseBlock(nn.Module):
    """Two dense layers, added to the input: (n, n_in) to (n, n_out)."""

    def __init__(self, n_in, n_out, dropout):
        super().__init__()
        same = n_in == n_out
        self.shortcut = nn.Identity() if same else nn.Linear(n_in, n_out)
        self.branch = nn.Sequential(
            nn.LayerNorm(n_in),
            nn.Linear(n_in, n_out),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(n_out, n_out),
        )

    def forward(self, x):
        return self.shortcut(x) + self.branch(x)
