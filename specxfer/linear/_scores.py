"""Principal components of gappy, noisy spectra, and a star's scores on them."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from specxfer._exact import exact_matmul

SMALL = 600  # pixels up to which the covariance is decomposed whole
IMPUTERS = 20  # components that fill masked pixels while the basis is sought
OVERSAMPLE = 10


@dataclass(frozen=True)
class ScoreModel:
    """A factor model of the source: ``flux = mean + u @ loadings + misfit + noise``.

    The scores `u` of a star have unit variance over the training stars. Given a
    spectrum with inverse variances they have the posterior
    ``u ~ N(S Lᵀ W (x − mean), S)`` with ``S = (Lᵀ W L + 1)⁻¹``: masked pixels carry no
    weight, noisy ones little, and a star without a valid pixel gets the mean.

    Parameters
    ----------
    mean : ndarray of shape (n_pixels,)
    loadings : ndarray of shape (n_components, n_pixels)
        Components times the square root of their noise-free variance.
    misfit : ndarray of shape (n_pixels,)
        Variance of the noise-free flux that the components leave.
    noise : ndarray of shape (n_pixels,)
        Mean noise variance of training; what spectra without ivar are taken to have.
    used : ndarray of bool of shape (n_pixels,)
        Pixels that some training star has.

    References
    ----------
    Tipping & Bishop 1999, J. R. Stat. Soc. B 61, 611 (probabilistic PCA); Roweis &
    Ghahramani 1999, Neural Computation 11, 305 (the posterior for unequal noise).
    """

    mean: np.ndarray
    loadings: np.ndarray
    misfit: np.ndarray
    noise: np.ndarray
    used: np.ndarray

    def posterior(self, X):
        """Scores and their covariance.

        Parameters
        ----------
        X : Spectra in memory, shape (n, n_pixels)

        Returns
        -------
        scores : ndarray of shape (n, n_components)
        covariance : ndarray of shape (n, n_components, n_components)
        """
        weights, residual = self._prepare(X)
        return _posterior(weights, residual, self.loadings[:, self.used])

    def chi2(self, X, scores):
        """Mean squared residual of the source in units of its expected variance.

        Parameters
        ----------
        X : Spectra in memory, shape (n, n_pixels)
        scores : ndarray of shape (n, n_components)

        Returns
        -------
        ndarray of shape (n,)
        """
        weights, residual = self._prepare(X)
        residual = residual - exact_matmul(scores, self.loadings[:, self.used])
        n = np.maximum((weights > 0).sum(axis=1), 1)
        return (weights * residual**2).sum(axis=1) / n

    def with_noise_of(self, X, star_weight):
        """The same components, for spectra with another noise and other misfits.

        Parameters
        ----------
        X : Spectra of shape (n, n_pixels)
            Spectra that differ from those the components were learnt from by more
            than their noise.
        star_weight : ndarray of shape (n,)

        Returns
        -------
        ScoreModel
        """
        count, square, noise = np.zeros((3, X.shape[1]))
        for rows, block in X.iter_blocks(256):
            scores, _ = self.posterior(block)
            valid = block.valid() & self.used
            left = block.flux - self.mean - scores.astype(X.dtype) @ self.loadings
            weight = valid * star_weight[rows, None]
            count += weight.sum(axis=0)
            square += (weight * np.where(valid, left, 0) ** 2).sum(axis=0)
            if block.has_noise:
                ivar = np.where(valid, block.ivar, 1)
                noise += (weight / ivar).sum(axis=0)
        count = np.maximum(count, np.finfo(float).tiny)
        noise = noise / count
        misfit = np.maximum(square / count - noise, self.misfit)
        as_data = [a.astype(self.mean.dtype) for a in (misfit, noise)]
        return ScoreModel(self.mean, self.loadings, *as_data, self.used)

    def _prepare(self, X):
        """Inverse of the whole variance, and residual from the mean, of used pixels."""
        X = X[:, self.used]
        misfit, noise = self.misfit[self.used], self.noise[self.used]
        weights = X.weights()
        if X.has_noise:
            weights = weights / (1 + misfit * weights)
        else:
            weights = weights / (misfit + noise)
        return weights, np.where(weights > 0, X.flux - self.mean[self.used], 0)


def _posterior(weights, residual, loadings, product=exact_matmul):
    """Posterior scores and covariance; the n small Gram matrices in one product."""
    n, k = len(weights), len(loadings)
    options = {"slices": 2} if product is exact_matmul and weights.itemsize == 8 else {}
    i, j = np.triu_indices(k)
    packed = np.zeros((n, len(i)))
    step = max(1, 2**23 // max(1, len(i)))  # pixels whose products fit in 64 MiB
    for a in range(0, loadings.shape[1], step):
        part = loadings[:, a : a + step]
        packed += product(weights[:, a : a + step], (part[i] * part[j]).T, **options)
    gram = np.empty((n, k, k))
    gram[:, i, j] = gram[:, j, i] = packed
    gram[:, np.arange(k), np.arange(k)] += 1
    covariance = np.linalg.inv(gram)
    target = product(weights * residual, loadings.T, **options).astype(float)
    return np.matmul(covariance, target[:, :, None])[:, :, 0], covariance


def fit_scores(X, star_weight, n_components, max_iter, tol, rng):
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
        Starts the subspace iteration.

    Returns
    -------
    model : ScoreModel
    n_iter : int
        Passes made.
    """
    usual = _usual_weight(X)
    mean, variance, noise, used, star_weight = _moments(X, star_weight, usual)
    X = X[:, used]
    mean_used = mean[used].astype(X.dtype)
    p = int(used.sum())
    k = max(1, min(n_components, np.count_nonzero(star_weight) - 1, p))
    size = p if p <= SMALL else min(p, k + OVERSAMPLE)
    basis = np.eye(p) if size == p else orthonormal(rng.standard_normal((p, size)))
    values = np.zeros(size)
    captured, complete = 0.0, True
    n_iter = 0
    while n_iter < max_iter:
        n_iter += 1
        image = np.zeros((p, size))
        total = 0.0
        for rows, block in X.iter_blocks():
            residual, gaps = _filled(
                block, usual[rows], mean_used, basis, values, noise[used]
            )
            complete = complete and not gaps
            weighted = residual * star_weight[rows, None].astype(residual.dtype)
            image += weighted.T @ (residual @ basis.astype(residual.dtype))
            total += star_weight[rows].sum()
        image /= total
        values, rotation = np.linalg.eigh(basis.T @ image)
        values, rotation = values[::-1], rotation[:, ::-1]
        basis = basis @ rotation if size == p else orthonormal(image @ rotation)
        before, captured = captured, values[:k].sum()
        if (size == p and complete) or abs(captured - before) <= tol * captured:
            break
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
    misfit = variance - noise - (loadings**2).sum(axis=0)
    misfit = np.maximum(misfit, np.maximum(1e-3 * noise, floor))
    as_data = [a.astype(X.dtype) for a in (mean, loadings, misfit, noise)]
    return ScoreModel(*as_data, used), n_iter


def orthonormal(a):
    """An orthonormal basis of the columns of a tall matrix, in order.

    Cholesky QR, twice (Yamamoto et al. 2015, ETNA 44, 306): products instead of
    reflections, many times faster for a few tall columns.
    """
    for _ in range(2):
        a = a / np.maximum(np.linalg.norm(a, axis=0), np.finfo(float).tiny)
        gram = a.T @ a
        gram[np.diag_indices_from(gram)] += 1e-14 * len(gram)
        a = linalg.solve_triangular(np.linalg.cholesky(gram), a.T, lower=True).T
    return a


def _usual_weight(X):
    """Median inverse variance of each star's valid pixels, 0 if it has none."""
    usual = np.zeros(len(X), dtype=X.dtype)
    for rows, block in X.iter_blocks():
        w = np.sort(block.weights(), axis=1)
        n_masked = (w == 0).sum(axis=1)
        middle = np.minimum((n_masked + w.shape[1]) // 2, w.shape[1] - 1)
        usual[rows] = w[np.arange(len(w)), middle]
    return usual


def _moments(X, star_weight, usual):
    """Mean, variance and mean noise of each pixel, and the weight of each star.

    A star counts by how much signal stands out of its noise. How much signal there is
    in a pixel, on average, is first found from the less noisy stars.
    """
    if not X.has_noise:
        return *_weighted_moments(X, star_weight, usual), star_weight
    star_noise = np.divide(1, usual, out=np.full(len(X), np.inf), where=usual > 0)
    quiet = star_noise <= np.median(star_noise)
    _, variance, noise, used = _weighted_moments(X, star_weight * quiet, usual)
    signal = max((variance - noise)[used].mean(), 1e-3 * variance[used].mean())
    star_weight = star_weight * signal / (signal + star_noise)
    return *_weighted_moments(X, star_weight, usual, signal), star_weight


def _weighted_moments(X, star_weight, usual, signal=None):
    """Mean, variance and mean noise, and which pixels any star has.

    With `signal` the mean weighs each pixel by its own noise, too.
    """
    total, first, second, noise, pixel_total, pixel_first = np.zeros((6, X.shape[1]))
    for rows, block in X.iter_blocks():
        good, w = _trusted(block, usual[rows])
        s = good * star_weight[rows, None]
        depth = np.where(good, block.flux - 1, 0).astype(float)
        total += s.sum(axis=0)
        first += (s * depth).sum(axis=0)
        second += (s * depth**2).sum(axis=0)
        if block.has_noise:
            noise += np.divide(s, w, out=np.zeros(w.shape), where=good).sum(axis=0)
        if signal is not None:
            s *= w / (1 + signal * w)
            pixel_total += s.sum(axis=0)
            pixel_first += (s * depth).sum(axis=0)
    used = total > 0
    if signal is None:
        pixel_total, pixel_first = total, first
    total = np.where(used, total, 1)
    mean = pixel_first / np.where(used, pixel_total, 1)
    variance = second / total - 2 * mean * first / total + mean**2
    variance = np.where(used, np.maximum(variance, 0), 0)
    return np.where(used, mean + 1, 0), variance, noise / total, used


def _trusted(block, usual):
    """Valid pixels that are not far noisier than the rest of their star."""
    w = block.weights()
    return (w > 0) & (w >= 0.01 * usual[:, None]), w


def _filled(block, usual, mean, basis, values, noise):
    """Residuals from the mean with untrusted pixels filled by leading components."""
    good, _ = _trusted(block, usual)
    residual = np.where(good, block.flux - mean, 0)
    gaps = not good.all()
    if gaps and values[0] > 0:
        lead = min(IMPUTERS, np.count_nonzero(values > 0))
        loadings = (basis[:, :lead] * np.sqrt(values[:lead])).T.astype(residual.dtype)
        rest = max(values[lead:].sum() / len(mean), noise.mean(), 1e-6 * values[0])
        weights = good.astype(residual.dtype) / residual.dtype.type(rest)
        scores, _ = _posterior(weights, residual, loadings, np.matmul)
        residual = np.where(good, residual, scores.astype(residual.dtype) @ loadings)
    return residual, gaps
