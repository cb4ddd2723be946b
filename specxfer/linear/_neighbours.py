"""What the coefficients of a pixel learn from those of its neighbours."""

import numpy as np
from scipy import linalg

from specxfer._threads import in_parallel

__all__ = ["learnt_from_neighbours", "runs"]

REACHES = (3, 5, 8, 11, 14, 17)  # pixels, from where on they have nothing in common
NEAR = 3  # pixels to either side, whose signal may be as strong
NOISES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.48)  # correlation of noise, by resampling
LEVELS = 10.0 ** np.arange(-3, 6.01, 0.5)  # of signal over white noise
SOME = 12  # coefficients, that tell what is likely
LEAST = 1e-6  # of a coefficient's variance, that is white noise
TINY = np.finfo(float).tiny


def runs(wave, chip, seen):
    """Numbers of the runs of pixels without a gap.

    Parameters
    ----------
    wave : ndarray of shape (n_pixels,) or None
        None: the order of pixels means nothing.
    chip : ndarray of int of shape (n_pixels,)
    seen : ndarray of bool of shape (n_pixels,)

    Returns
    -------
    ndarray of int of shape (n_pixels,)

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.linear._neighbours import runs
    >>> wave = np.array([5000.0, 5000.1, 5000.2, 5000.9, 5001.0])
    >>> runs(wave, np.zeros(5, int), np.ones(5, bool))
    array([0, 0, 0, 1, 1])
    """
    if wave is None or len(wave) < 3:
        return np.arange(len(seen))
    step = np.diff(np.log(wave))
    apart = (step > 1.5 * np.median(step)) | (np.diff(chip) != 0)
    apart |= ~(seen[1:] & seen[:-1])
    return np.r_[0, np.cumsum(apart)]


def learnt_from_neighbours(coef, prior, white, other, run):
    """Coefficients from those of each pixel and of its neighbours.

    A spectrograph blurs whatever changes a spectrum over a few pixels; the photon
    noise of the training spectra, which coefficients have as well, it does not. So the
    neighbours of a pixel tell of it, and the more so the weaker its signal is.

    Signals are taken to be Gaussian with the correlation of `correlation`, over so
    many pixels as make the coefficients likeliest; each as strong as the pixel's own
    coefficients say, or as these and those near it do, whichever is likelier. So is the
    correlation of the noise of neighbours, which resampled spectra have. Where no
    correlation of signals is likelier still, pixels are left to themselves.

    Parameters
    ----------
    coef : ndarray of shape (k, n_pixels)
        Hardly penalised.
    prior : ndarray of shape (k, n_pixels)
        Expected square of what is behind the noise.
    white, other : ndarray of shape (k, n_pixels)
        Variance of the noise: that of photons, and what neighbours share as they do
        the signal.
    run : ndarray of int of shape (n_pixels,)
        See `runs`.

    Returns
    -------
    found : ndarray of shape (k, n_pixels)
    left : ndarray of shape (n_pixels,)
        Variance that is left of the coefficients, over that without neighbours.
    of_sums : float
        Variance of the noise of wide sums of pixels, over that of white noise.

    References
    ----------
    Rybicki & Press 1992, ApJ 398, 169 (the best linear estimate of a signal of known
    correlation); Rasmussen & Williams 2006, Gaussian Processes for Machine Learning,
    section 5.4 (settings by the marginal likelihood).
    """
    joined = [_joined(run, lag) for lag in range(max(REACHES))]
    # of what little there is, all to be found
    white = np.maximum(white, LEAST * (prior + other) + TINY)
    some = np.unique(np.linspace(0, len(coef) - 1, SOME).astype(int))
    chosen, most = None, _alone(*(a[some] for a in (coef, prior, white, other)))
    if joined[1].any():
        for noise in NOISES:
            before = most
            for expected in (prior, _around(prior, run)):
                parts = [a[some] for a in (coef, expected, white, other)]
                reach, likelihood = _likeliest_reach(parts, joined, noise)
                if likelihood > most:
                    chosen, most = (expected, reach, noise), likelihood
            if most == before:
                break
    if chosen is None:
        return coef * prior / (prior + white + other), np.ones(coef.shape[1]), 1.0
    prior, *how = chosen
    found = _solved(coef, prior, white, other, joined, *how)[0]
    level, share = (prior + other) / white, prior / np.maximum(prior + other, TINY)
    ratio = np.interp(np.log(np.maximum(level, TINY)), np.log(LEVELS), _left(*how))
    alone = prior * (1 - share * level / (1 + level))
    together = prior * (1 - share * (1 - ratio / (1 + level)))
    left = together.sum(axis=0) / np.maximum(alone.sum(axis=0), TINY)
    lonely = ~joined[1]
    lonely[1:] &= ~joined[1][:-1]
    return found, np.where(lonely, 1.0, np.minimum(left, 1)), 1 + 2 * how[1]


def _likeliest_reach(parts, joined, noise):
    """The first reach after which coefficients get less likely, and how likely."""
    best, most = None, -np.inf
    for reach in REACHES:
        likelihood = _solved(*parts, joined, reach, noise)[1]
        if likelihood < most:
            break
        best, most = reach, likelihood
    return best, most


def correlation(distance, reach):
    """Correlation by distance in pixels, none from `reach` on.

    References
    ----------
    Wendland 1995, Adv. Comput. Math. 4, 389 (smooth, of bounded reach, and no negative
    power at any frequency).
    """
    r = np.minimum(np.asarray(distance) / reach, 1)
    return (1 - r) ** 6 * (35 * r**2 + 18 * r + 3) / 3


def _alone(coef, prior, white, other):
    """Logarithm of the likelihood where pixels have nothing to do with each other."""
    total = prior + white + other
    return -0.5 * (np.log(total) + coef**2 / total).sum()


def _solved(coef, prior, white, other, joined, reach, noise):
    """Coefficients, and the logarithm of their likelihood.

    In units of the noise the covariance is C = A + N, banded, with the signal's A and
    the noise's N, 1 but for neighbours: the estimate of the signal, A C⁻¹ z, is
    z − N C⁻¹ z.
    """
    found, likelihood = np.empty_like(coef), np.empty(len(coef))
    alike = correlation(np.arange(reach), reach)
    next_to = np.flatnonzero(joined[1])

    def one(i):
        deviation = np.sqrt(white[i])
        root = np.sqrt(prior[i] + other[i]) / deviation
        band = np.zeros((reach, len(root)))
        band[0] = root**2 + 1
        for lag in range(1, reach):
            at = np.flatnonzero(joined[lag])
            band[lag, at] = alike[lag] * root[at] * root[at + lag]
        band[1, next_to] += noise
        factor = linalg.cholesky_banded(band, lower=True, check_finite=False)
        z = coef[i] / deviation
        x = linalg.cho_solve_banded((factor, True), z, check_finite=False)
        likelihood[i] = -(np.log(factor[0] * deviation).sum() + x @ z / 2)
        of_noise = x.copy()
        of_noise[next_to] += noise * x[next_to + 1]
        of_noise[next_to + 1] += noise * x[next_to]
        found[i] = coef[i] - deviation * of_noise

    in_parallel(one, range(len(coef)))
    found *= prior / np.maximum(prior + other, TINY)
    return found, likelihood.sum()


def _left(reach, noise):
    """Variance left at each of `LEVELS`, over that left without neighbours."""
    places = np.arange(-reach, reach + 1)
    apart = np.abs(places[:, None] - places)
    alike = correlation(apart, reach)
    matrix = LEVELS[:, None, None] * alike
    right = matrix[:, :, reach, None].copy()
    matrix += np.where(apart == 1, noise, np.where(apart == 0, 1.0, 0.0))
    explained = np.linalg.solve(matrix, right)[:, :, 0] @ alike[reach]
    return np.clip((1 - explained) * (1 + LEVELS), 0, 1)


def _joined(run, lag):
    """Which pixels have another of the same run so far to the right."""
    joined = np.zeros(len(run), bool)
    n = max(len(run) - lag, 0)
    joined[:n] = run[lag:][:n] == run[:n]
    return joined


def _around(values, run):
    """Means over each pixel and those near it, within its run."""
    total, count = values.copy(), np.ones(values.shape[1])
    for lag in range(1, NEAR + 1):
        at = np.flatnonzero(_joined(run, lag))
        total[:, at] += values[:, at + lag]
        total[:, at + lag] += values[:, at]
        count[at] += 1
        count[at + lag] += 1
    return total / count
