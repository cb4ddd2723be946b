"""What a fit leaves of every pixel, star by star left out, and what pixels share."""

from dataclasses import dataclass

import numpy as np

from specxfer._threads import in_parallel
from specxfer.linear._components import orthonormal
from specxfer.linear._grams import packed_products
from specxfer.linear._normal_equations import PIXELS, Tile, over_tiles

FACTOR_STARS = 4000  # that shared residuals are looked for in
FACTOR_PASSES = 4
FEW = 20  # stars per feature, up to which a star's leverage is worked out in full


@dataclass
class LeftOut:
    """Mean squares of residuals of stars left out, each of shape (n_pixels,).

    Parameters
    ----------
    raw : ndarray
        Residual² − noise variance; without noise the residual² alone.
    share : ndarray
        Variance of the coefficients' part of a prediction, over the scale of weights.
    noise : ndarray
        Noise variance.
    hat : ndarray
        Leverage of a star on its own prediction.
    """

    raw: np.ndarray
    share: np.ndarray
    noise: np.ndarray
    hat: np.ndarray


def few_stars(equations, k):
    """Pixels whose leverages must be worked out in full."""
    return equations.count < FEW * k


def leave_one_star_out(u, y, star_weight, scatter, equations, solution, exact, stars):
    """Mean squares of the residuals of stars left out.

    The rows of one star have nearly the same features, so leaving them out together
    divides their residuals by 1 − m h, with m rows of leverage h each.

    With many stars the products of different features average out of the leverage
    ``uᵀ A⁻¹ u``, and ``Σ u² diag(A⁻¹)`` is it to within k / n of itself.

    Parameters
    ----------
    u : ndarray of shape (n, k)
    y : Spectra of shape (n, n_pixels)
    star_weight : ndarray of shape (n,)
    scatter : ndarray of shape (n_pixels,)
    equations : NormalEquations
    solution : tuple
        What its `solve` gave.
    exact : ndarray of bool of shape (n_pixels,)
        Pixels whose whole inverse that holds.
    stars : ndarray of int of shape (n,)

    Returns
    -------
    LeftOut
    """
    p = y.shape[1]
    coef, diagonal, inverse = (a.astype(y.dtype) for a in solution)
    scale = equations.scale.astype(y.dtype)
    alike = diagonal.shape[1] == 1  # all pixels weigh stars alike
    complete = equations.complete
    v = u.astype(y.dtype)
    own = star_weight.astype(y.dtype)
    n_rows = np.bincount(stars)[stars].astype(y.dtype)
    place = np.cumsum(exact) - 1
    sums = np.zeros((5, p))
    squares = v**2

    def lever_of(rows, pixels):
        """``uᵀ A⁻¹ u`` of stars and pixels, or of stars where pixels are alike."""
        some = exact[pixels]
        if alike:
            if some.any():
                return products @ inverse[:, :1]
            return squares[rows] @ diagonal
        lever = squares[rows] @ diagonal[:, pixels]
        if some.any():
            lever[:, some] = products @ inverse[:, place[pixels][some]]
        return lever

    def add_complete(rows, pixels, block):
        """Where all stars have all pixels alike, what is left over is one factor."""
        s = own[rows]
        lever = lever_of(rows, pixels)[:, 0]
        hat = np.minimum(s * lever * n_rows[rows], 0.99)
        left = equations.algebra.matmul(v[rows], coef[:, pixels])
        np.subtract(block.flux[:, pixels], left, out=left)
        np.multiply(left, left, out=left)
        sums[0, pixels] += (s / (1 - hat) ** 2) @ left
        sums[1, pixels] += (s * lever).sum(dtype=float)
        sums[3, pixels] += (s * hat).sum(dtype=float)
        sums[4, pixels] += s.sum(dtype=float)

    def add(rows, pixels, block):
        tile = Tile(block, pixels, scatter)
        lever = lever_of(rows, pixels)
        left = tile.residual(equations.algebra.matmul(v[rows], coef[:, pixels]))
        w = tile.weight
        w *= own[rows, None]
        hat = w * lever
        hat *= scale[pixels] * n_rows[rows, None]
        np.minimum(hat, 0.99, out=hat)
        sums[3, pixels] += _total(w * hat)
        left /= 1 - hat
        left *= left
        if tile.noise is not None:
            left -= tile.noise
            sums[2, pixels] += _total(w * tile.noise)
        left *= w
        sums[0, pixels] += _total(left)
        sums[1, pixels] += _total(w * lever)
        sums[4, pixels] += _total(w)

    n_block = max(64, 2**24 // (v.shape[1] ** 2)) if exact.any() else 2048
    pixels = [slice(at, at + PIXELS) for at in range(0, p, PIXELS)]
    for rows, block in y.iter_blocks(min(n_block, 2048)):
        products = packed_products(v[rows]) if exact.any() else None
        one = add_complete if alike and complete else add
        in_parallel(lambda cols, f=one, r=rows, b=block: f(r, cols, b), pixels)
    total = np.where(sums[4] > 0, sums[4], 1)
    raw, share, noise, hat = sums[:4] / total
    return LeftOut(np.where(scale > 0, raw, 0), share, noise, hat)


def _total(a):
    """Sums of columns."""
    return np.ones(len(a), a.dtype) @ a


def residual_factors(u, y, star_weight, scatter, coef, max_factors, rng):
    """Leading directions in which residuals vary together beyond noise.

    Residuals over their standard deviation have unit variance; a direction stands
    out where its eigenvalue exceeds the edge (1 + √γ)² of pure noise, γ = pixels per
    star, and its true excess θ solves ℓ = (1 + θ)(1 + γ/θ) (Baik & Silverstein 2006,
    J. Multivar. Anal. 97, 1382); it is scaled by how far the observed direction is
    the true one. The factors never claim more than a pixel's scatter. A sample of the
    stars is enough to find them.

    Parameters
    ----------
    u : ndarray of shape (n, k)
    y : Spectra of shape (n, n_pixels)
    star_weight : ndarray of shape (n,)
    scatter : ndarray of shape (n_pixels,)
    coef : ndarray of shape (k, n_pixels)
    max_factors : int
    rng : numpy.random.RandomState

    Returns
    -------
    ndarray of shape (n_factors, n_pixels)
    """
    p = y.shape[1]
    if not max_factors:
        return np.zeros((0, p))
    some = slice(None, None, max(1, -(-len(y) // FACTOR_STARS)))
    y, v, star_weight = y[some], u[some].astype(y.dtype), star_weight[some]
    size = min(max_factors + 5, p, len(y))
    basis = orthonormal(rng.standard_normal((p, size)))
    coef, scatter = coef.astype(y.dtype), scatter.astype(y.dtype)
    weight_sum = star_weight.sum()
    least = np.where(scatter > 0, scatter, np.inf)

    scaled = np.empty(y.shape, y.dtype)
    mean_weight = np.zeros(p)

    def one(rows, pixels, block):
        tile = Tile(block, pixels, scatter)
        w = tile.weight
        if tile.noise is None:  # nothing is known better
            w /= least[pixels]
        left = tile.residual(v[rows] @ coef[:, pixels])
        np.copyto(left, 0, where=scatter[pixels] == 0)
        w *= star_weight[rows, None].astype(y.dtype)
        mean_weight[pixels] += _total(w)
        np.multiply(left, np.sqrt(w), out=scaled[rows, pixels])

    over_tiles(y, one)
    for _ in range(FACTOR_PASSES):
        image = scaled.T @ (scaled @ basis.astype(y.dtype))
        image = image.astype(float) / weight_sum
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
    mean_weight = np.maximum(mean_weight / weight_sum, np.finfo(float).tiny)
    factors = strength[:, None] * directions[:, :max_factors].T[out]
    factors = np.where(scatter > 0, factors / np.sqrt(mean_weight), 0)
    claimed = (factors**2).sum(axis=0)
    excess = np.divide(scatter, claimed, out=np.ones(p), where=claimed > scatter)
    return factors * np.sqrt(excess)
