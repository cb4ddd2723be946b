"""`Augmentation`: what differs between observations of one star, drawn at random."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

__all__ = ["Augmentation"]

LIGHT = 299_792.458  # km/s
FILLED = 0.1  # of the weight of what is interpolated: more from unknown pixels is none
GAP = 1.5  # times the neighbouring steps: pixels are missing in between
EVEN = 0.01  # steps in ln λ that differ by less are taken for equal
SHORTEST = 32  # pixels of a piece that is cut


class Augmentation:
    """Shift, noise and masks that a source spectrum might have had as well.

    Each star of a batch draws its own; a star that is seen again is another
    observation of it, of which the network must make the same. The target stays.

    Parameters
    ----------
    velocity : float, default=0.0
        Standard deviation of a random shift in radial velocity, km/s. Needs `wave` and
        `mean_in`.
    noise : float, default=0.0
        White noise is added, of up to so many times the noise that a pixel has: a
        factor uniform between 0 and this is drawn for each star. The inverse variance
        follows.
    snr : float, optional
        For spectra whose noise is not known: the noise is taken to be that of this
        signal-to-noise ratio, 1 / snr of the continuum, and ivar stays as it is.
    masked : float, default=0.0
        Share of pixels, at most, that are masked in random runs: a share uniform
        between 0 and this is drawn for each star.
    mask_length : int, default=10
        Pixels of a run, which may overlap.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths, Å.
    chip : array-like of int of shape (n_pixels,), optional
        The chip of each pixel; nothing is shifted from one to another. By default one
        chip ends where pixels are missing.
    mean_in : array-like of shape (n_pixels,), optional
        Mean source spectrum that the flux of a batch is the deviation from, continuum
        units.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or one that is needed is missing.

    Notes
    -----
    The shifted flux is interpolated by cubic polynomials through four pixels
    (Lagrange); a shift is true to 1% where the steps of the grid vary. A pixel is
    unknown afterwards if it came from beyond its chip's edge, or unknown pixels make
    more than a tenth of it; its inverse variance is that of the nearest pixel, as
    what interpolated neighbours share of their noise must not count twice.

    Examples
    --------
    >>> import torch
    >>> from specxfer.neural import Augmentation
    >>> inputs = {"flux": torch.zeros(2, 4), "ivar": torch.full((2, 4), 1e4)}
    >>> augment = Augmentation(noise=1.0)
    >>> augment(inputs, torch.Generator().manual_seed(0))
    >>> bool((inputs["flux"] != 0).all() and (inputs["ivar"] < 1e4).all())
    True
    """

    def __init__(
        self,
        velocity=0.0,
        snr=None,
        noise=0.0,
        masked=0.0,
        mask_length=10,
        wave=None,
        chip=None,
        mean_in=None,
    ):
        for name, value in (("velocity", velocity), ("noise", noise)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} is {value}; expected 0 or more.")
        if not 0 <= masked < 1:
            raise ValueError(f"masked is {masked}; expected a share from 0 to below 1.")
        if snr is not None and not snr > 0:
            raise ValueError(f"snr is {snr}; expected a positive number or None.")
        if mask_length < 1:
            raise ValueError(f"mask_length is {mask_length}; expected 1 pixel or more.")
        self.velocity, self.snr, self.noise = velocity, snr, noise
        self.masked, self.mask_length = masked, int(mask_length)
        if velocity:
            if wave is None or mean_in is None:
                raise ValueError(
                    "velocity needs wave and mean_in: the flux that is shifted is the "
                    "mean spectrum plus its deviation. Give both, or velocity=0."
                )
            if np.shape(mean_in) != np.shape(wave):
                raise ValueError(
                    f"mean_in has shape {np.shape(mean_in)} and wave {np.shape(wave)}; "
                    "expected the same, (n_pixels,)."
                )
            self._pieces = _pieces(wave, chip)
            mean_in = np.nan_to_num(np.asarray(mean_in, dtype=np.float32))
            self._mean = torch.tensor(mean_in)

    def __call__(self, inputs, generator):
        """Change the inputs of a batch in place.

        Parameters
        ----------
        inputs : dict of Tensor
            "flux", deviation from the mean spectrum, and "ivar", of shape
            (n, n_pixels). The rest is left alone.
        generator : torch.Generator
            Of all random numbers, on the device of the inputs.
        """
        flux, ivar = inputs["flux"], inputs["ivar"]
        draw = {"generator": generator, "device": flux.device}
        if self.velocity:
            self._shift(flux, ivar, torch.randn(len(flux), 1, **draw) * self.velocity)
        if self.noise:
            self._add_noise(flux, ivar, draw)
        if self.masked:
            self._mask(flux, ivar, draw)

    def _shift(self, flux, ivar, velocity):
        """Shift spectra by velocities (n, 1) in km/s, to the red if positive."""
        mean = self._mean = self._mean.to(flux.device)
        if flux.shape[1:] != mean.shape:
            raise ValueError(
                f"the flux has shape {tuple(flux.shape)}; expected {len(mean)} pixels, "
                "as many as wave."
            )
        shift = -torch.log1p(velocity / LIGHT)  # in ln λ, to where the light was
        total, before = mean + flux, ivar.clone()
        for piece in self._pieces:
            away = shift * piece.per_step
            whole = away.floor()
            for pixels in whole.unique().tolist():
                stars = (whole[:, 0] == pixels).nonzero()[:, 0]
                moved, noise = _moved(
                    total[stars], before[stars], piece, int(pixels), away[stars]
                )
                part = slice(piece.start, piece.stop)
                moved = torch.where(noise > 0, moved - mean[part], 0.0)
                flux[:, part].index_copy_(0, stars, moved)
                ivar[:, part].index_copy_(0, stars, noise)

    def _add_noise(self, flux, ivar, draw):
        """Add noise to the known pixels, and to their variance."""
        amount = self.noise * torch.rand(len(flux), 1, **draw)
        white = torch.randn(flux.shape, **draw).mul_(amount)
        if self.snr is None:
            # 1 / ivar + amount² / ivar
            white *= torch.where(ivar > 0, ivar.rsqrt(), 0.0)
            ivar /= 1 + amount**2
        else:
            white *= (ivar > 0) / self.snr
        flux += white

    def _mask(self, flux, ivar, draw):
        """Mask runs of pixels."""
        n, p = flux.shape
        share = self.masked * torch.rand(n, 1, **draw)
        # runs begin anywhere, also before the first pixel, so all pixels are alike;
        # one misses a pixel with probability 1 - mask_length / places
        places = p + self.mask_length - 1
        missed = np.log1p(-min(self.mask_length / places, 1 - 1e-6))
        most = int(np.ceil(np.log1p(-self.masked) / missed))
        starts = torch.randint(places, (n, most), **draw)
        wanted = torch.arange(most, device=flux.device) < torch.log1p(-share) / missed
        edges = torch.zeros(n, places + self.mask_length, device=flux.device)
        edges.scatter_add_(1, starts, wanted.to(edges.dtype))
        edges.scatter_add_(1, starts + self.mask_length, -wanted.to(edges.dtype))
        free = edges.cumsum(1)[:, self.mask_length - 1 : places] == 0
        flux *= free
        ivar *= free


class Piece(NamedTuple):
    """Pixels [start, stop) of even steps, on a chip from pixel first to last."""

    start: int
    stop: int
    first: int
    last: int
    per_step: float  # pixels per step in ln λ


def _moved(flux, ivar, piece, whole, away):
    """Flux and ivar of a piece as read `away` (n, 1), in [whole, whole + 1), pixels."""
    n_pixels = piece.stop - piece.start
    at = torch.arange(-1, n_pixels + 2, device=flux.device) + piece.start + whole
    inside = (at >= piece.first) & (at <= piece.last)
    at.clamp_(piece.first, piece.last)
    flux = flux.index_select(1, at)
    ivar = ivar.index_select(1, at) * inside
    unknown = (ivar <= 0).to(flux.dtype)
    t = away - whole
    weights = (
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    )
    parts = [slice(k, k + n_pixels) for k in range(4)]
    moved, filled = flux.new_zeros(2, len(flux), n_pixels)
    for part, weight in zip(parts, weights):
        moved.addcmul_(flux[:, part], weight)
        filled.addcmul_(unknown[:, part], weight.abs())
    nearest = torch.where(t > 0.5, ivar[:, parts[2]], ivar[:, parts[1]])
    return moved, nearest * (filled <= FILLED)


def _pieces(wave, chip):
    """Pieces of even steps that the pixels are made of."""
    wave = np.asarray(wave, dtype=np.float64)
    if (
        wave.ndim != 1
        or len(wave) < 2
        or not (wave > 0).all()
        or not (np.diff(wave) > 0).all()
    ):
        raise ValueError(
            "wave must be positive and strictly increasing (Å), 2 pixels or more."
        )
    log_wave = np.log(wave)
    step = np.diff(log_wave)
    around = np.pad(step, 1, mode="edge")
    ends = step > GAP * np.minimum(around[:-2], around[2:])
    if chip is not None:
        chip = np.asarray(chip)
        if chip.shape != wave.shape:
            raise ValueError(f"chip has shape {chip.shape}; expected {wave.shape}.")
        ends |= chip[1:] != chip[:-1]
    borders = np.r_[0, np.flatnonzero(ends) + 1, len(wave)]
    pieces = []
    for first, beyond in pairwise(borders):
        steps = step[first : beyond - 1]
        spread = np.ptp(np.log(steps)) if len(steps) else 0
        n = int(np.clip(np.ceil(spread / EVEN), 1, max(1, len(steps) // SHORTEST)))
        cuts = np.linspace(first, beyond, n + 1).astype(int)
        for start, stop in pairwise(cuts):
            some = steps[start - first : stop - first]
            per_step = 1 / (some.mean() if len(some) else np.median(step))
            pieces.append(Piece(start, stop, first, beyond - 1, per_step))
    return pieces
