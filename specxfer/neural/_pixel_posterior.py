"""What noisy targets leave open of pixels whose prior is a diffusion's."""

from itertools import pairwise

import numpy as np

__all__ = ["pixel_draws"]

APART = np.geomspace(2, 0.2, 8)  # of draws from what the target is compared with
RATIO = 1.5  # of successive noise levels, at most
LOWEST = 0.05


def pixel_draws(found, told, n_draws, rng):
    """Draws of the noise-free pixels behind observed spectra.

    Parameters
    ----------
    found : callable or None
        ``found(x, angle)`` for x of shape (n * n_draws, p): F of a `networks.UNet` at
        ``arctan σ``. None: errors are Gaussian.
    told : Told
        What is observed of each star.
    n_draws : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32 of shape (n, n_draws, p)

    Notes
    -----
    Between pixels v and their target stands ``z = v + ρ η``, η as the errors: given z,
    v is drawn by the diffusion alone, beginning at the noise level ρ; given v and the
    target, z is Gaussian. In turn these are draws of both (split Gibbs sampling: Vono
    et al. 2019, IEEE Trans. Signal Process. 67, 1648; with a diffusion as prior and ρ
    falling, Wu et al. 2024, NeurIPS 37, arXiv:2405.18782). Here ρ η is a part of the
    target's noise, so that both together are the noise that is known: no bias is left
    once that is possible in every direction, which is where ρ² times what the target
    tells is below 1; elsewhere the target counts as noisy as ρ η alone.

    Given z, levels fall step by step; with x = z / √(1 + σ²) a step from θ to θ' is
    Gaussian with mean ``a x + cos θ' (1 − a²) / sin θ F``, a = cos θ / cos θ', and
    variance ``1 − a²`` (Ho et al. 2020, NeurIPS 33, with the larger of their two
    variances, which is exact where errors are Gaussian).
    """
    n, p = told.errors.unit.shape

    def noise():
        white = rng.standard_normal((n, n_draws, told.errors.n_white), np.float32)
        return told.errors.spread(white)

    def moved(start, apart):
        """z given v and the target."""
        missing = told.seen[:, None] - told.heard(start)
        strength = apart**2 * told.strength[:, None]
        own = np.sqrt(np.maximum(1 - strength, 0))
        error = np.float32(apart) * noise()
        missing -= told.heard(error)
        missing -= own * rng.standard_normal(missing.shape, np.float32)
        missing *= apart**2 / np.maximum(strength, 1)
        return start + error + np.matmul(missing, told.gain)

    if found is None:
        error = noise()
        missing = told.seen[:, None] - told.heard(error)
        missing -= rng.standard_normal(missing.shape, np.float32)
        missing /= 1 + told.strength[:, None]
        return error + np.matmul(missing, told.gain)
    v = pixel_draws(None, told, n_draws, rng)
    for apart in APART:
        levels = levels_from(apart)
        x = np.cos(levels[0], dtype="f4") * moved(v, apart)
        for here, there in pairwise(levels):
            value = found(x.reshape(-1, p), here).reshape(x.shape)
            kept = np.cos(here) / np.cos(there)
            size = np.cos(there) * (1 - kept**2) / np.sin(here)
            x = np.float32(kept) * x + np.float32(size) * value
            if there > 0:
                x += np.float32(np.sqrt(1 - kept**2)) * noise()
        v = x
    return v


def levels_from(apart):
    """Noise levels arctan σ from ρ to 0."""
    n_steps = int(np.ceil(np.log(apart / LOWEST) / np.log(RATIO)))
    return np.append(np.arctan(np.geomspace(apart, LOWEST, n_steps + 1)), 0.0)
