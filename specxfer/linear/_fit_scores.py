"""Fitting a `ScoreModel`: moments, components, and what they leave."""

import numpy as np

from specxfer._noise_profile import NoiseProfile
from specxfer._threads import in_parallel
from specxfer.linear._algebra import CPU
from specxfer.linear._components import CHUNK, Residuals, leading_components, trusted
from specxfer.linear._scores import BLOCK, ScoreModel, misfit_of

MISFIT_STARS = 6000  # that tell what components leave
MEDIAN_PIXELS = 2048  # that tell how noisy a star is


def fit_scores(
    X, star_weight, n_components, max_iter, tol, rng, algebra=CPU, start=None
):
    """Fit a `ScoreModel`.

    Weighted principal components of the source: masked pixels are filled from the
    leading components until the variance captured settles, stars count by how much
    signal stands out of their noise, and the noise's share is taken off the
    variances.

    Parameters
    ----------
    X : Spectra of shape (n, n_pixels)
    star_weight : ndarray of shape (n,)
    n_components : int
        At most; never more than stars less one or pixels.
    max_iter : int
        Passes over the data at most.
    tol : float
        Relative change of the variance captured at which to stop.
    rng : numpy.random.RandomState
        Starts the search for components.
    algebra : Algebra, optional
    start : ScoreModel, optional
        That of much the same spectra, to start from instead.

    Returns
    -------
    model : ScoreModel
    n_iter : int
        Passes made.
    """
    profile = NoiseProfile.of(X)
    amplitude, usual = _usual_weight(X, profile)
    limit = np.where(usual > 0, 0.01 * usual, np.inf).astype(X.dtype)
    mean, variance, noise, used, star_weight = _moments(X, star_weight, usual, limit)
    source = Residuals(X, star_weight, limit, mean, noise, used, algebra)
    k = max(1, min(n_components, np.count_nonzero(star_weight) - 1, source.n_pixels))
    known = None if start is None else start.loadings[:, used]
    basis, values, n_iter, gaps = leading_components(
        source, k, max_iter, tol, rng, known
    )
    if not len(values):
        raise ValueError(
            "no pixel varies by more than rounding: expected is flux in units of the "
            "continuum, about 1. Normalise with "
            "specxfer.preprocessing.ContinuumNormalizer, or scale flux and ivar."
        )
    k = max(1, min(k, np.count_nonzero(values > 1e-12 * values[0])))  # the rank
    components = basis[:, :k].T
    components *= np.sign(components[np.arange(k), np.abs(components).argmax(axis=1)])[
        :, None
    ]
    observed = np.maximum(values[:k], 0)
    floor = 1e-6 * max(variance[used].mean(), np.finfo(float).tiny)
    true = observed - components**2 @ noise[used]
    true = np.maximum(true, np.maximum(0.01 * observed, floor))
    loadings = np.zeros((k, len(mean)))
    loadings[:, used] = np.sqrt(true)[:, None] * components
    left = variance[used] - observed @ components**2
    if gaps:  # other stars have other pixels: only residuals can be compared
        left = source.sample(MISFIT_STARS).left_over(basis[:, :k], values[:k])
        mean = source.mean
    signal = np.zeros(len(mean))
    signal[used] = left + observed @ components**2 - noise[used]
    misfit = misfit_of(signal - (loadings**2).sum(axis=0), noise, floor)
    as_data = [a.astype(X.dtype) for a in (mean, loadings, misfit, noise)]
    given = amplitude[amplitude > 0]
    brightness = (given.min(), given.max()) if len(given) else (1.0, 1.0)
    pixel = profile.pixel if profile is not None and X.has_noise else None
    return ScoreModel(*as_data, used, pixel, brightness, signal, floor), n_iter


def _usual_weight(X, profile):
    """Each star's factor of the profile, and the median ivar of its valid pixels."""
    amplitude, usual = np.zeros(len(X)), np.zeros(len(X))
    if not X.has_noise:
        return amplitude, usual + 1
    pixel = np.zeros(1) if profile is None else profile.pixel
    middle = np.median(pixel[pixel > 0]) if (pixel > 0).any() else 0.0
    for rows, block in X.iter_blocks(BLOCK):
        flux, ivar = block.flux, block.ivar
        a, m = np.zeros((2, len(flux)))

        def one(start, flux=flux, ivar=ivar, a=a, m=m):
            part = slice(start, start + CHUNK)
            w = np.where(np.isfinite(flux[part]), ivar[part], 0)
            if profile is not None:
                a[part] = profile.amplitude_of(w)
            m[part] = a[part] * middle
            for i in np.flatnonzero(a[part] == 0):
                some = w[i, :: max(1, w.shape[1] // MEDIAN_PIXELS)]
                some = some if some.any() else w[i]
                m[start + i] = np.median(some[some > 0]) if some.any() else 0

        in_parallel(one, range(0, len(flux), CHUNK))
        amplitude[rows], usual[rows] = a, m
    return amplitude, usual


def _moments(X, star_weight, usual, limit):
    """Mean, variance and mean noise of each pixel, and the weight of each star.

    A star counts by how much signal stands out of its noise. How much signal there is
    in a pixel, on average, is first found from the less noisy stars.
    """
    if not X.has_noise:
        return *_weighted_moments(X, star_weight, limit), star_weight
    star_noise = np.divide(1, usual, out=np.full(len(X), np.inf), where=usual > 0)
    quiet = star_noise <= np.median(star_noise)
    some = slice(None, None, max(1, len(X) // 4096))
    _, variance, noise, used = _weighted_moments(
        X[some], (star_weight * quiet)[some], limit[some]
    )
    signal = max((variance - noise)[used].mean(), 1e-3 * variance[used].mean())
    star_weight = star_weight * signal / (signal + star_noise)
    return *_weighted_moments(X, star_weight, limit, signal), star_weight


def _weighted_moments(X, star_weight, limit, signal=None):
    """Mean, variance and mean noise, and which pixels any star has.

    With `signal` the mean weighs each pixel by its own noise, too.
    """
    sums = np.zeros((6, X.shape[1]))
    for rows, block in X.iter_blocks(BLOCK):
        flux, ivar = block.flux, block.ivar
        weight, least = star_weight[rows].astype(X.dtype), limit[rows]

        def one(start, flux=flux, ivar=ivar, weight=weight, least=least):
            part = slice(start, start + CHUNK)
            w = None if ivar is None else ivar[part]
            return _sums(flux[part], w, weight[part], least[part], signal)

        for part in in_parallel(one, range(0, len(flux), CHUNK)):
            sums += part
    total, first, second, noise, pixel_total, pixel_first = sums
    used = total > 0
    if signal is None:
        pixel_total, pixel_first = total, first
    total = np.where(used, total, 1)
    mean = pixel_first / np.where(used, pixel_total, 1)
    variance = second / total - 2 * mean * first / total + mean**2
    variance = np.where(used, np.maximum(variance, 0), 0)
    return np.where(used, mean + 1, 0), variance, noise / total, used


def _sums(flux, ivar, weight, limit, signal):
    """Weighted sums over a few rows: of 1, depth, depth², noise, and 1, depth again."""
    good = trusted(flux, ivar, limit)
    depth = flux - flux.dtype.type(1)
    sums = np.zeros((6, flux.shape[1]))
    if good is None:
        sums[0] = weight.sum(dtype=float)
    else:
        np.copyto(depth, 0, where=~good)
        sums[0] = weight @ good.astype(flux.dtype)
    sums[1], sums[2] = weight @ depth, weight @ depth**2
    if ivar is not None:
        known = ivar if good is None else np.where(good, ivar, np.inf)
        noise = 1 / known
        sums[3] = weight @ noise
        if signal is not None:  # ivar / (1 + signal ivar), 0 where masked
            noise += flux.dtype.type(signal)
            own = 1 / noise
            if good is not None:
                np.copyto(own, 0, where=~good)
            sums[4] = weight @ own
            own *= depth
            sums[5] = weight @ own
    return sums
