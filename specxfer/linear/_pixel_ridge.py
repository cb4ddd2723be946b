"""Ridge regression of every target pixel with that pixel's own noise."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from specxfer._exact import exact_matmul
from specxfer.covariance import LowRankCovariance
from specxfer.linear._at_reference import AtReference
from specxfer.linear._scatter import (
    LineScatter,
    ScatterSums,
    lines_of,
    shared_in_lines,
)
from specxfer.linear._scores import orthonormal

JITTER = 1e-10  # keeps normal equations solvable at alpha = 0, relative to their trace


@dataclass(frozen=True)
class PixelRidge:
    """Ridge coefficients of each pixel and what they leave unexplained.

    Parameters
    ----------
    coef : ndarray of shape (n_features, n_pixels)
    intercept : ndarray of shape (n_pixels,)
    scatter : ndarray of shape (n_pixels,)
        Intrinsic variance of the mean star: what the features cannot tell, noise taken
        off.
    line_scatter : LineScatter
        The same of any star.
    factors : ndarray of shape (n_factors, n_pixels)
        The part of `scatter` that pixels share, ``factors.T @ factors``.
    lines : ndarray of int of shape (n_pixels,)
        The line of the mean spectrum that each pixel belongs to.
    coherence : float
        Share of the other part of `scatter` that the pixels of a line share.
    gram_inverse : ndarray of shape (n_features + 1, n_features + 1)
        Inverse of the mean pixel's normal equations; the last feature is 1.
    coef_variance : ndarray of shape (n_pixels,)
        What a star's leverage under `gram_inverse` is multiplied with to give the
        variance of its prediction by the uncertainty of the coefficients.
    coef_gain : float
        The part of that which pixels share: what the leverage is multiplied with to
        give it in units of the factors' variance. Coefficients err together where
        the scatter of the training stars ran together.
    """

    coef: np.ndarray
    intercept: np.ndarray
    scatter: np.ndarray
    line_scatter: LineScatter
    factors: np.ndarray
    lines: np.ndarray
    coherence: float
    gram_inverse: np.ndarray
    coef_variance: np.ndarray
    coef_gain: float

    def predict(self, features):
        """Flux, shape (n, n_pixels), of features of shape (n, n_features)."""
        slices = 2 if self.coef.dtype == np.float64 else 1
        return exact_matmul(features, self.coef, slices) + self.intercept

    def covariance(self, features, spread=None):
        """Covariance of the predicted flux: features, factors, coefficients.

        Parameters
        ----------
        features : ndarray of shape (n, n_features)
        spread : ndarray of shape (n, n_features, n_features), optional
            Covariance of each star's features; none if they are exact.

        Returns
        -------
        LowRankCovariance
        """
        n, k = features.shape
        k = 0 if spread is None else k
        q = len(self.factors)
        r = k + 2 * q  # the factors of the coefficients' errors, and of the scatter
        core = np.zeros((n, r, r), dtype=self.coef.dtype)
        if k:
            core[:, :k, :k] = spread
        lever = self.leverage(features)
        core[:, range(k, k + q), range(k, k + q)] = self.coef_gain * lever[:, None]
        core[:, range(k + q, r), range(k + q, r)] = 1
        together = (self.factors**2).sum(axis=0)
        alone = np.maximum(self.scatter - together, 0)
        square = self._relative_scatter(features)
        own = np.maximum(self.coef_variance - self.coef_gain * together, 0)
        diagonal = np.outer(lever, own) + (1 - self.coherence) * alone * square
        return LowRankCovariance(
            core,
            np.concatenate([self.coef[:k], self.factors, self.factors]),
            diagonal.astype(self.coef.dtype),
            np.sqrt(square),
            np.arange(r) >= k + q,
            np.sqrt(self.coherence * alone),
            self.lines,
        )

    def _relative_scatter(self, features):
        """Scatter of each star over that of the mean star, (n, n_pixels)."""
        flux = self.predict(features).astype(self.coef.dtype)
        return _relative(self.line_scatter.variance(flux), self.scatter)

    def leverage(self, features):
        """How far each star is from the training stars' middle, shape (n,)."""
        return _leverage(_with_one(features), self.gram_inverse)


def fit_pixel_ridge(
    features, spread, y, star_weight, stars, alpha, max_factors, rng, change=None
):
    """Fit a `PixelRidge`.

    Minimises ``Σ_i w_ij (y_ij − c_j − b_j·u_i)² + alpha |b_j|²`` for each pixel j with
    ``w = 1/(1/ivar + scatter)`` scaled to a mean of 1, so that `alpha` means the
    same at any noise level; the intercept is not penalised. With ``alpha="auto"``
    each coefficient has a penalty of its own, learnt from all of them, on features
    turned so that few of them matter. The scatter is the weighted mean of
    leave-one-star-out residual² − 1/ivar, less the shares of the features' own errors
    and of the coefficients'.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
    spread : ndarray of shape (n_features, n_features)
        Mean covariance of the features' own errors.
    y : Spectra of shape (n, n_pixels)
    star_weight : ndarray of shape (n,)
    stars : ndarray of int of shape (n,)
        The star of each row, counted from 0.
    alpha : float or "auto"
    max_factors : int
    rng : numpy.random.RandomState
    change : ResolutionChange, optional
        With it the coefficients are of the flux at its reference, whatever the
        `resolution` of each row of y.

    Returns
    -------
    PixelRidge
    """
    u = _with_one(features)
    k, p = u.shape[1], y.shape[1]
    learns = alpha == "auto" and k > 1
    penalty = np.r_[np.full(k - 1, 1.0 if alpha == "auto" else alpha), 0.0]
    scatter, coef, deviation = _first_fit(u, y, star_weight, penalty)
    if change is not None:
        y = AtReference(y, u, coef, change)
        scatter, coef, deviation = _first_fit(u, y, star_weight, penalty)
    turn = _turn(u, star_weight, coef, deviation) if learns else np.eye(k)
    v = u @ turn
    gram, right, scale = _normal_equations(v, y, star_weight, scatter)
    penalties = np.broadcast_to(penalty[:, None], (k, p))
    if learns:
        unit = scale if y.has_noise else np.maximum(scatter, np.finfo(y.dtype).tiny)
        penalties = _learnt_penalty(gram, right, unit)
        penalty = np.median(penalties, axis=1)
    coef, inverse = _solve(gram, right, penalties)
    del gram, penalties
    sums, coef_share, noise, hat = _leave_one_star_out(
        v, y, star_weight, scatter, coef, inverse.astype(y.dtype), scale, stars
    )
    del inverse
    if learns:  # scatter that pixels share looks like signal in some direction
        sums.excess *= ((1 - hat) / (1 - _mean_hat(v, star_weight, stars))) ** 2
    mean_inverse = turn @ _shared_inverse(v, star_weight, penalty) @ turn.T
    typical = np.average(_leverage(u, mean_inverse), weights=star_weight)
    coef = turn @ coef
    sums.take_off(np.einsum("kp,kl,lp->p", coef[:-1], spread, coef[:-1], optimize=True))
    if y.has_noise:
        unit = 0.5
    else:  # how far squares scatter follows from their mean
        usual = np.maximum(sums.excess[0] / np.maximum(sums.moments[0], 1), 1e-20)
        unit = 0.5 / usual**2
    line_scatter = sums.solve(unit)
    scatter = sums.mean(line_scatter)
    line_scatter = LineScatter(
        line_scatter.flat.astype(y.dtype), line_scatter.line.astype(y.dtype)
    )
    factors = _residual_factors(
        u, y, star_weight, scatter, line_scatter, coef, max_factors, rng
    )
    middle = np.average(u, axis=0, weights=star_weight)
    lines = lines_of(middle @ coef)
    coherence = _coherence(
        u, y, star_weight, scatter, line_scatter, factors, coef, spread, lines
    )
    coef_variance = coef_share / typical
    scattered = scatter > 0
    gain = coef_variance[scattered] / (scatter + noise)[scattered]
    dtype = y.dtype
    return PixelRidge(
        coef[:-1].astype(dtype),
        coef[-1].astype(dtype),
        scatter.astype(dtype),
        line_scatter,
        factors.astype(dtype),
        lines,
        coherence,
        mean_inverse,
        coef_variance.astype(dtype),
        float(np.median(gain)) if len(gain) else 0.0,
    )


def _relative(variance, mean):
    return np.divide(variance, mean, out=np.ones_like(variance), where=mean > 0)


def _with_one(features):
    return np.column_stack([features, np.ones(len(features))]).astype(float)


def _leverage(u, gram_inverse):
    return (exact_matmul(u, gram_inverse, 2) * u).sum(axis=1)


def _weights(block, scatter):
    """``1/(1/ivar + scatter)``, 0 where masked; the mask alone without noise."""
    w = block.weights()
    return w / (1 + scatter * w) if block.has_noise else w


def _shared_inverse(u, star_weight, penalty):
    gram = (u * star_weight[:, None]).T @ u + np.diag(penalty)
    return linalg.inv(gram + JITTER * np.trace(gram) * np.eye(len(gram)))


def _first_fit(u, y, star_weight, penalty):
    """A ridge on the better pixels, unweighted, for a first guess.

    Returns the scatter of each pixel, the coefficients (k, n_pixels), and the standard
    deviation of its residuals.
    """
    k, p = u.shape[1], y.shape[1]
    usual = _usual_pixel_weight(y, star_weight)
    count, mean = np.zeros((2, p))
    for rows, block in y.iter_blocks():
        good = (block.weights() > 0.25 * usual) * star_weight[rows, None]
        count += good.sum(axis=0)
        mean += np.where(good > 0, good * block.flux, 0).sum(axis=0)
    count = np.where(count > 0, count, 1)
    mean = (mean / count).astype(y.dtype)
    right = np.zeros((k, p))
    for rows, block in y.iter_blocks():
        flux = np.where(block.weights() > 0.25 * usual, block.flux - mean, 0)
        right += (u[rows] * star_weight[rows, None]).T.astype(y.dtype) @ flux
    coef = (_shared_inverse(u, star_weight, penalty) @ right).astype(y.dtype)
    square, noise = np.zeros((2, p))
    for rows, block in y.iter_blocks():
        good, s = block.weights() > 0.25 * usual, star_weight[rows, None]
        left = np.where(good, (block.flux - mean - u[rows].astype(y.dtype) @ coef), 0)
        square += (s * left**2).sum(axis=0)
        noise += (s * _noise(block, good)).sum(axis=0)
    square *= ((count + k) / count) ** 2  # k features fit some of the scatter away
    scatter = np.maximum((square - noise) / count, 0).astype(y.dtype)
    coef[-1] += mean
    return scatter, coef, np.sqrt(square / count)


def _usual_pixel_weight(y, star_weight):
    """Geometric mean inverse variance of each pixel: near the median, in one pass."""
    count, total = np.zeros((2, y.shape[1]))
    for rows, block in y.iter_blocks():
        w = block.weights()
        s = star_weight[rows, None] * (w > 0)
        count += s.sum(axis=0)
        total += (s * np.log(np.where(w > 0, w, 1))).sum(axis=0)
    return np.exp(total / np.where(count > 0, count, 1)).astype(y.dtype)


def _turn(u, star_weight, coef, deviation):
    """The features turned so that few of them tell the pixels most, (k, k).

    Centred and whitened, features have coefficients of equal sampling variance; the
    eigenvectors of these coefficients over their noise then are, in order, the
    combinations of features that pixels listen to (reduced-rank regression; Izenman
    1975, J. Multivar. Anal. 5, 248). ``u @ turn`` has unit variance in each column but
    the last, which stays 1.
    """
    total = star_weight.sum()
    mean = star_weight @ u[:, :-1] / total
    v = u[:, :-1] - mean
    gram = (v * star_weight[:, None]).T @ v
    root = np.linalg.cholesky(gram + np.eye(len(gram)))
    deviation = np.where(deviation > 0, deviation, np.inf)
    heard = root.T @ coef[:-1] / deviation
    axes = np.linalg.eigh(heard @ heard.T)[1][:, ::-1]
    turn = np.zeros((len(gram) + 1, len(gram) + 1))
    turn[:-1, :-1] = np.sqrt(total) * linalg.solve_triangular(
        root, axes, trans="T", lower=True
    )
    turn[-1, :-1] = -mean @ turn[:-1, :-1]
    turn[-1, -1] = 1
    return turn


def _noise(block, good):
    """Noise variance of the good pixels; 0 elsewhere and where it is unknown."""
    if not block.has_noise:
        return 0
    return np.divide(1, block.ivar, out=np.zeros_like(block.ivar), where=good)


def _normal_equations(u, y, star_weight, scatter):
    """Every pixel's normal equations, exactly, in two streamed products.

    Returns them packed (n_packed, n_pixels), their right sides (n_features + 1,
    n_pixels), and the scale that brings each pixel's weights to a mean of 1, already
    applied.
    """
    k, p = u.shape[1], y.shape[1]
    i, j = np.triu_indices(k)
    gram = np.zeros((len(i), p))
    right = np.zeros((k, p))
    total, count = np.zeros((2, p))
    for rows, block in y.iter_blocks(_rows_of_products(len(i))):
        w = _weights(block, scatter)
        s = star_weight[rows, None]
        w = (w * s).astype(y.dtype)
        v = u[rows].astype(y.dtype)
        gram += (v[:, i] * v[:, j]).T @ w
        right += v.T @ np.where(w > 0, w * block.flux, 0)
        total += w.sum(axis=0)
        count += ((w > 0) * s).sum(axis=0)
    scale = np.divide(count, total, out=np.zeros(p), where=total > 0)
    gram *= scale
    right *= scale
    return gram, right, scale


def _solve(gram, right, penalty):
    """Coefficients (k, n_pixels) and packed inverses, off-diagonals doubled."""
    k, p = right.shape
    i, j = np.triu_indices(k)
    coef = np.zeros((k, p))
    inverse = np.empty((len(i), p))
    twice = np.where(i == j, 1, 2)[:, None]  # an off-diagonal stands for two
    for a in range(0, p, 1024):
        pixels = slice(a, a + 1024)
        full = np.empty((gram[:, pixels].shape[1], k, k))
        full[:, i, j] = full[:, j, i] = gram[:, pixels].T
        trace = np.trace(full, axis1=1, axis2=2)
        full[:, np.arange(k), np.arange(k)] += (
            penalty[:, pixels].T + (JITTER * trace + (trace == 0))[:, None]
        )
        inv = np.linalg.inv(full)
        coef[:, pixels] = np.matmul(inv, right[:, pixels].T[:, :, None])[:, :, 0].T
        inverse[:, pixels] = inv[:, i, j].T * twice
    return coef, inverse


def _learnt_penalty(gram, right, unit):
    """Penalties from the coefficients themselves, by empirical Bayes.

    Coefficient k of pixel j is taken to come from N(0, a_j π_k + c_j): how much the
    pixel follows what feature k tells all pixels, and how much it has to say of its
    own. π_k is the mean signal of the feature, from nearly unpenalised coefficients
    whose sampling variance is known; a_j and c_j are those of the highest marginal
    likelihood on a grid, c_j where it earns its keep (Akaike). The penalty is the
    ratio of noise to prior variance. A pixel without signal so falls back to its mean,
    and a line keeps its full strength (Efron & Morris 1973, JASA 68, 117).
    """
    k, p = right.shape
    coef, inverse = _solve(gram, right, _per_pixel(1.0, k, p))
    i, j = np.triu_indices(k)
    variance = inverse[i == j][:-1] * unit
    usual = np.maximum(variance.mean(axis=0), np.finfo(np.float32).tiny)
    variance = variance / usual  # from here in units of each pixel's usual variance
    square = np.minimum(coef[:-1] ** 2 / usual, 1e12)
    share = np.maximum((square - variance).mean(axis=1), 0)[:, None]
    share = np.maximum(share / max(share.max(), np.finfo(float).tiny), 1e-4)
    prior = np.zeros((k - 1, p))
    for start in range(0, p, 512):
        pixels = slice(start, start + 512)
        common, own = _likeliest(square[:, pixels], variance[:, pixels], share)
        prior[:, pixels] = common * share + own
    penalty = np.zeros((k, p))
    penalty[:-1] = unit / usual / np.maximum(prior, 1e-9)
    return penalty


def _likeliest(square, variance, share):
    """Where `square` / (variance + a share + c) is most like χ² of one: a and c."""
    top = np.log10(max(square.max(), 1.0) / share.max()) + 1
    common_levels = [0, *10 ** np.arange(-1.5, top, 0.5)]
    own_levels = [0, *10.0 ** np.arange(-1, top)]
    variance = np.maximum(variance, 1e-6)
    square, variance, share = (x.astype("f4") for x in (square, variance, share))
    p = square.shape[1]
    best, common, own = np.full(p, np.inf), np.zeros(p), np.zeros(p)
    for a in common_levels:
        for c in own_levels:
            total = variance + np.float32(a) * share + np.float32(c)
            misfit = (np.log(total) + square / total).sum(axis=0) + 2 * (c > 0)
            better = misfit < best
            best[better], common[better], own[better] = misfit[better], a, c
    return common, own


def _per_pixel(alpha, k, p):
    penalty = np.full((k, p), float(alpha))
    penalty[-1] = 0  # the intercept
    return penalty


def _rows_of_products(n_packed):
    return max(64, 2**23 // n_packed)


def _leave_one_star_out(u, y, star_weight, scatter, coef, inverse, scale, stars):
    """Sums of squared residuals of stars left out, and what else they consist of.

    The rows of one star have nearly the same features, so leaving them out together
    divides their residuals by 1 − m h, with m rows of leverage h each.

    Returns sums of what is scatter, and the coefficients' share of the variance, the
    mean noise, and the mean leverage of a star, each (n_pixels,).
    """
    k, p = u.shape[1], y.shape[1]
    i, j = np.triu_indices(k)
    excess, share, noise_sum, hat_sum, total = np.zeros((5, p))
    sums = ScatterSums(p)
    n_rows = np.bincount(stars)[stars].astype(y.dtype)
    coef, scaled = coef.astype(y.dtype), scale.astype(y.dtype)
    for rows, block in y.iter_blocks(_rows_of_products(len(i))):
        w = _weights(block, scatter)
        v = u[rows].astype(y.dtype)
        lever = (v[:, i] * v[:, j]) @ inverse  # u A⁻¹ u of every star and pixel
        flux = v @ coef
        left = np.where(w > 0, block.flux - flux, 0)
        noise = _noise(block, w > 0)
        of_square = w**2 * star_weight[rows, None].astype(y.dtype)
        w *= star_weight[rows, None].astype(y.dtype)
        hat = np.minimum(w * scaled * lever * n_rows[rows, None], 0.99)
        left /= 1 - hat
        left = left**2 - noise
        sums.add(flux, left, of_square)
        excess += (w * left).sum(axis=0)
        share += (w * lever).sum(axis=0)
        noise_sum += (w * noise).sum(axis=0)
        hat_sum += (w * hat).sum(axis=0)
        total += w.sum(axis=0)
    total = np.where(total > 0, total, 1)
    raw = np.where(scale > 0, excess / total, 0)
    # weights are known to a factor: noise + scatter, or without noise the residual
    unit = scale if y.has_noise else np.maximum(raw, 0)
    share = share / total * unit
    sums.take_off(share)
    return sums, share, noise_sum / total, hat_sum / total


def _mean_hat(u, star_weight, stars):
    """Mean leverage of a star if no feature were held back."""
    free = np.r_[np.ones(u.shape[1] - 1), 0]
    lever = _leverage(u, _shared_inverse(u, star_weight, free))
    per_star = star_weight * lever * np.bincount(stars)[stars]
    return min(np.average(per_star, weights=star_weight), 0.9)


def _residual_factors(u, y, star_weight, scatter, line_scatter, coef, max_factors, rng):
    """Leading directions in which residuals vary together beyond noise.

    Residuals over their standard deviation have unit variance; a direction stands
    out where its eigenvalue exceeds the edge (1 + √γ)² of pure noise, γ = pixels per
    star, and its true excess θ solves ℓ = (1 + θ)(1 + γ/θ) (Baik & Silverstein 2006,
    J. Multivar. Anal. 97, 1382); it is scaled by how far the observed direction is
    the true one. The factors never claim more than a pixel's scatter.
    """
    p = y.shape[1]
    size = min(max_factors + 5, p, len(y))
    basis = orthonormal(rng.standard_normal((p, size)))
    coef = coef.astype(y.dtype)
    weight_sum = star_weight.sum()
    for _ in range(4):
        image = np.zeros((p, size))
        mean_weight = np.zeros(p)
        for rows, block in y.iter_blocks():
            fit = u[rows].astype(y.dtype) @ coef
            own = line_scatter.variance(fit)
            w = _weights(block, own)
            if not block.has_noise:
                w = w / np.maximum(own, 1e-20)  # nothing is known better
            e = np.where((w > 0) & (scatter > 0), (block.flux - fit) * np.sqrt(w), 0)
            s = star_weight[rows, None].astype(y.dtype)
            image += (e * s).T @ (e @ basis.astype(y.dtype))
            mean_weight += (w * s * own).sum(axis=0)
        image /= weight_sum
        values, rotation = np.linalg.eigh(basis.T @ image)
        directions = basis @ rotation[:, ::-1]
        basis = orthonormal(image)
    values = values[::-1][:max_factors]
    gamma = np.count_nonzero(scatter > 0) / len(y)
    out = values > (1 + np.sqrt(gamma)) ** 2
    b = values[out] - 1 - gamma
    theta = (b + np.sqrt(np.maximum(b**2 - 4 * gamma, 0))) / 2
    overlap = (1 - gamma / theta**2) / (1 + gamma / theta)
    strength = np.sqrt(theta * np.maximum(overlap, 0))
    mean_weight = _relative(mean_weight / weight_sum, scatter)
    mean_weight = np.maximum(mean_weight, np.finfo(float).tiny)
    factors = strength[:, None] * directions[:, :max_factors].T[out]
    factors = np.where(scatter > 0, factors / np.sqrt(mean_weight), 0)
    claimed = (factors**2).sum(axis=0)
    excess = np.divide(scatter, claimed, out=np.ones(p), where=claimed > scatter)
    return factors * np.sqrt(excess)


def _coherence(u, y, star_weight, scatter, line_scatter, factors, coef, spread, lines):
    """How much of the scatter beyond the factors the pixels of one line share, 0 to 1.

    From products of the residuals of different pixels of a line, to which white noise
    adds nothing, less what factors and the features' own errors add.
    """
    coef = coef.astype(y.dtype)
    alone = np.sqrt(np.maximum(scatter - (factors**2).sum(axis=0), 0)).astype(y.dtype)
    seen = expected = total = 0.0
    mean_weight = np.zeros(y.shape[1])
    for rows, block in y.iter_blocks():
        fit = u[rows].astype(y.dtype) @ coef
        own = line_scatter.variance(fit)
        w = _weights(block, own)
        s = star_weight[rows, None].astype(y.dtype)
        mean_weight += (w * s).sum(axis=0)
        w *= np.sqrt(scatter.astype(y.dtype) * s)
        left = np.where(w > 0, (block.flux - fit) * w, 0)
        seen += shared_in_lines(left, lines)
        relative = np.sqrt(_relative(own, scatter.astype(y.dtype)))
        expected += shared_in_lines(alone * relative * w, lines)
        total += star_weight[rows].sum()
    weight = np.sqrt(scatter) * mean_weight / total
    usual = shared_in_lines((alone * weight)[None], lines) * total
    if not usual > 0 or not expected > 0:
        return 0.0
    values, vectors = np.linalg.eigh(spread)
    noise = (vectors * np.sqrt(np.maximum(values, 0))).T @ coef[:-1]
    known = shared_in_lines(np.concatenate([factors, noise]) * weight, lines) * total
    return float(np.clip((seen - known * expected / usual) / expected, 0, 1))
