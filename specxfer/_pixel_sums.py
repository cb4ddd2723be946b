"""What one pass over spectra tells of their pixels."""

from dataclasses import dataclass

import numpy as np

from specxfer._noise_profile import NoiseProfile
from specxfer._threads import in_parallel

__all__ = ["PixelSums"]

ROWS = 2048  # that are read at a time
CHUNK = 64  # that a thread works on
FEWEST = 5  # spectra that a pixel of the mean must have, or half of them


@dataclass
class PixelSums:
    """What one pass over a target tells of its noise and its pixels.

    Parameters
    ----------
    mean : ndarray of shape (n_pixels,)
        Mean flux, weighted by ivar.
    usual : ndarray of shape (n_pixels,)
        Geometric mean of the inverse variance: near the median.
    amplitude : ndarray of shape (n,)
        The stars' factor where ivar is star × pixel; 0 where it is not.
    profile : ndarray of shape (n_pixels,) or None
        The pixels' factor.
    n_valid : ndarray of int of shape (n_pixels,)
        Spectra that have the pixel.
    complete : bool
        Whether there is neither noise nor a masked pixel.
    """

    mean: np.ndarray
    usual: np.ndarray
    amplitude: np.ndarray
    profile: np.ndarray | None
    n_valid: np.ndarray
    complete: bool

    @classmethod
    def of(cls, y, star_weight):
        """From one pass over a target.

        Parameters
        ----------
        y : Spectra of shape (n, n_pixels)
        star_weight : ndarray of shape (n,)
        """
        profile = NoiseProfile.of(y)
        sums = np.zeros((5, y.shape[1]))
        amplitude = np.zeros(len(y), y.dtype)
        complete = not y.has_noise
        for rows, block in y.iter_blocks(ROWS):
            flux, ivar = block.flux, block.ivar
            weight, a = star_weight[rows].astype(y.dtype), amplitude[rows]

            def one(start, flux=flux, ivar=ivar, weight=weight, a=a):
                part = slice(start, start + CHUNK)
                return _first_sums(
                    flux[part],
                    None if ivar is None else ivar[part],
                    weight[part],
                    profile,
                    a[part],
                )

            for part, whole in in_parallel(one, range(0, len(flux), CHUNK)):
                sums += part
                complete = complete and whole
        count = np.where(sums[0] > 0, sums[0], 1)
        return cls(
            (sums[1] / np.where(sums[3] > 0, sums[3], 1)).astype(y.dtype),
            np.exp(sums[2] / count).astype(y.dtype),
            amplitude,
            None if profile is None else profile.pixel,
            sums[4].astype(int),
            complete,
        )

    def mean_spectrum(self, n):
        """Weighted mean spectrum, and which pixels enough of the n stars have."""
        seen = self.n_valid >= min(FEWEST, np.ceil(n / 2))
        return np.where(seen, self.mean.astype(float), np.nan), seen


def _first_sums(flux, ivar, weight, profile, amplitude):
    """Sums of 1, w flux, ln ivar, w and 1 unweighted; whether nothing is masked."""
    sums = np.zeros((5, flux.shape[1]))
    if ivar is None:
        amplitude[:] = 1
        sums[1] = weight @ flux
        if np.isfinite(sums[1]).all():
            sums[0] = sums[3] = weight.sum(dtype=float)
            sums[4] = len(flux)
            return sums, True
    known = np.isfinite(flux)
    whole = bool(known.all())
    if ivar is not None:
        ivar = ivar if whole else np.where(known, ivar, 0)
        if profile is not None:
            amplitude[:] = profile.amplitude_of(ivar)
        known = ivar > 0
        logs = np.log(ivar, out=np.zeros_like(ivar), where=known)
        sums[2] = weight @ logs
    w = known = known.astype(flux.dtype)
    if ivar is not None:
        w = ivar
    sums[0], sums[3] = weight @ known, weight @ w
    sums[4] = np.ones_like(weight) @ known
    sums[1] = weight @ (w * np.where(w > 0, flux, 0))
    return sums, whole and ivar is None
