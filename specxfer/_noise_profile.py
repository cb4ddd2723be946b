"""Noise that is that of a star times that of a pixel."""

from dataclasses import dataclass

import numpy as np

ALIKE = 1e-5  # relative departure from star × pixel that float32 explains
N_SAMPLE = 256  # rows that the profile of the pixels is found from


@dataclass(frozen=True)
class NoiseProfile:
    """The pixels' share of an inverse variance that is star × pixel × mask.

    Where the noise has this form, sums over stars or pixels that would differ for
    every pixel or star have so much in common that they cost next to nothing.

    Parameters
    ----------
    pixel : ndarray of shape (n_pixels,)
        Inverse variance of a pixel, relative to the star's; 0 where unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer._noise_profile import NoiseProfile
    >>> ivar = np.outer([1.0, 4.0, 9.0], [1.0, 2.0, 2.0, 1.0])
    >>> ivar[0, 1] = 0
    >>> X = Spectra(np.ones((3, 4)), ivar, wave=[1, 2, 3, 4], medium="air")
    >>> profile = NoiseProfile.of(X)
    >>> profile.amplitude(X)
    array([0.25, 1.  , 2.25])
    """

    pixel: np.ndarray

    @classmethod
    def of(cls, spectra):
        """The profile that most spectra of a sample share; None if there is none.

        Parameters
        ----------
        spectra : Spectra of shape (n, n_pixels)

        Returns
        -------
        NoiseProfile or None
        """
        if not spectra.has_noise:
            return cls(np.ones(spectra.shape[1], spectra.dtype))
        step = max(1, len(spectra) // N_SAMPLE)
        sample = spectra[::step].load()
        w = sample.weights()
        n_valid = (w > 0).sum(axis=1)
        for first in np.argsort(-n_valid, kind="stable")[:5]:
            profile = cls(_grown(w, first))
            given = n_valid > 0
            alike = profile.amplitude_of(w)[given] > 0
            if given.any() and alike.mean() > 0.5:
                return profile
        return None

    def amplitude(self, spectra):
        """The star's factor, 0 for stars whose noise has another form.

        Parameters
        ----------
        spectra : Spectra in memory, shape (n, n_pixels)

        Returns
        -------
        ndarray of shape (n,)
        """
        return self.amplitude_of(spectra.weights())

    def amplitude_of(self, weights):
        """As `amplitude`, from weights that are 0 where masked."""
        inverse = np.divide(
            1, self.pixel, out=np.zeros_like(self.pixel), where=self.pixel > 0
        )
        ratio = weights * inverse
        high = ratio.max(axis=1, initial=0)
        np.copyto(ratio, np.inf, where=weights == 0)
        low = ratio.min(axis=1, initial=np.inf)
        return np.where(low >= high * (1 - ALIKE), high, 0)


def _grown(w, first):
    """A profile from one spectrum, its masked pixels from others that share it."""
    pixel = np.where(w[first] > 0, w[first], 0)
    for row in w:
        if (pixel > 0).all():
            break
        new = (pixel == 0) & (row > 0)
        both = (pixel > 0) & (row > 0)
        if not new.any() or not both.any():
            continue
        ratio = row[both] / pixel[both]
        if ratio.max() <= ratio.min() * (1 + ALIKE):
            pixel[new] = row[new] / np.median(ratio)
    return pixel
