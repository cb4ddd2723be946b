"""What a fit leaves of every pixel, star by star left out, and what pixels share."""

from dataclasses import dataclass

import numpy as np

from specxfer._threads import in_parallel
from specxfer.linear._components import orthonormal
from specxfer.linear._grams import packed_products
from specxfer.linear._normal_equations import CHUNK, Tile, over_tiles, pixel_panels
from specxfer.linear._scatter import ScatterSums, relative, shared_in_lines

FACTOR_STARS = 3000  # that shared residuals are looked for in
FACTOR_PASSES = 4
REST_ROUNDS = 10  # to find what factors leave: it settles by a factor of some 5 a round
LEAST_REST = 0.01
OUTLYING = 20  # times the usual leverage: what is left of such stars says little
FEW = 20  # stars per feature, up to which a star's leverage is worked out in full


@dataclass
class LeftOut:
    """Mean squares of residuals of stars left out, each of shape (n_pixels,).

    Parameters
    ----------
    sums : ScatterSums or None
        Of residual² − noise variance, for the scatter of each star; None without noise
        or kinds of star.
    raw : ndarray
        Residual² − noise variance; without noise the residual² alone.
    share : ndarray
        Variance of the coefficients' part of a prediction, over the scale of weights.
    noise : ndarray
        Noise variance.
    hat : ndarray
        Leverage of a star on its own prediction.
    """

    sums: ScatterSums | None
    raw: np.ndarray
    share: np.ndarray
    noise: np.ndarray
    hat: np.ndarray


def few_stars(equations, k):
    """Pixels whose leverages must be worked out in full."""
    return equations.count < FEW * k


def leave_one_star_out(
    u, y, star_weight, scatter, equations, solution, exact, stars, kind=None
):
    """Mean squares of the residuals of stars left out.

    The rows of one star have nearly the same features, so leaving them out together
    divides their residuals by 1 − m h, with m rows of leverage h each.

    With many stars the products of different features average out of the leverage
    ``uᵀ A⁻¹ u``, and ``Σ u² diag(A⁻¹)`` is it to within k / n of itself. The few
    stars of outlying leverage do not count for the scatter: what is left of them,
    weighted by the response of lines, is far more than of other stars where lines are
    weak.

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
    kind : ndarray of shape (n,), optional
        How much each star is of the second kind; without it no scatter is told.

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
    usual = np.average(squares, axis=0, weights=star_weight) @ diagonal
    usual = np.broadcast_to(usual, p).astype(y.dtype)  # leverage
    of_stars = ScatterSums(p) if y.has_noise and kind is not None else None

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
        tile = Tile(block, pixels, scatter[pixels])
        lever = lever_of(rows, pixels)
        flux = equations.algebra.matmul(v[rows], coef[:, pixels])
        left = tile.residual(flux)
        w = tile.weight
        of_square = w**2
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
            if of_stars is not None:
                of_square *= own[rows, None]
                of_square *= lever < OUTLYING * usual[pixels]
                of_coef = lever * scale[pixels]
                of_stars.add(flux, left - of_coef, of_square, kind[rows], pixels)
        left *= w
        sums[0, pixels] += _total(left)
        sums[1, pixels] += _total(w * lever)
        sums[4, pixels] += _total(w)

    n_block = max(64, 2**24 // (v.shape[1] ** 2)) if exact.any() else 2048
    pixels = pixel_panels(p)
    for rows, block in y.iter_blocks(min(n_block, 2048)):
        products = packed_products(v[rows]) if exact.any() else None
        one = add_complete if alike and complete else add
        in_parallel(lambda cols, f=one, r=rows, b=block: f(r, cols, b), pixels)
    total = np.where(sums[4] > 0, sums[4], 1)
    raw, share, noise, hat = sums[:4] / total
    return LeftOut(of_stars, np.where(scale > 0, raw, 0), share, noise, hat)


def _total(a):
    """Sums of columns."""
    return np.ones(len(a), a.dtype) @ a


class SharedResiduals:
    """What residuals of different pixels share, from a sample of the stars.

    Parameters
    ----------
    u : ndarray of shape (n, k)
    y : Spectra of shape (n, n_pixels)
    star_weight : ndarray of shape (n,)
    coef : ndarray of shape (k, n_pixels)
    scatter : ndarray of shape (n_pixels,)
        Intrinsic variance of the mean star.
    line_scatter : LineScatter
        That of any star.
    kind : ndarray of shape (n,)
        How much each star is of the second kind.
    """

    def __init__(self, u, y, star_weight, coef, scatter, line_scatter, kind):
        some = slice(None, None, max(1, -(-len(y) // FACTOR_STARS)))
        self._y, self._star_weight = y[some], star_weight[some]
        self._v, self._coef = u[some].astype(y.dtype), coef.astype(y.dtype)
        self._scatter = scatter.astype(y.dtype)
        self._line_scatter, self._kind = line_scatter, kind[some]

    def _residual(self, rows, pixels, block):
        """Residuals, their inverse variances, and the scatter of these stars."""
        flux = self._v[rows] @ self._coef[:, pixels]
        own = self._line_scatter[pixels].variance(flux, self._kind[rows])
        tile = Tile(block, pixels, own)
        if tile.noise is None:  # nothing is known better
            tile.weight /= np.where(own > 0, own, np.inf)
        left = tile.residual(flux)
        return left, tile.weight, own

    def factors(self, max_factors, rng):
        """Leading directions in which residuals vary together beyond noise.

        Residuals over their standard deviation have unit variance; a direction stands
        out where its eigenvalue exceeds the edge (1 + √γ)² of pure noise, γ = pixels
        per star, and its true excess θ solves ℓ = (ν + θ)(1 + γν/θ) (Baik & Silverstein
        2006, J. Multivar. Anal. 97, 1382), with ν the variance along it of what the
        factors leave; it is scaled by how far the observed direction is the true one.
        The factors never claim more than a pixel's scatter.

        Parameters
        ----------
        max_factors : int
        rng : numpy.random.RandomState

        Returns
        -------
        ndarray of shape (n_factors, n_pixels)
        """
        y, scatter = self._y, self._scatter
        n, p = y.shape
        if not max_factors:
            return np.zeros((0, p))
        size = min(max_factors + 5, p, n)
        scaled, mean_weight = np.empty((n, p), y.dtype), np.zeros(p)

        def one(rows, pixels, block):
            left, w, own = self._residual(rows, pixels, block)
            np.copyto(left, 0, where=scatter[pixels] == 0)
            w *= self._star_weight[rows, None].astype(y.dtype)
            np.multiply(left, np.sqrt(w), out=scaled[rows, pixels])
            w *= own
            mean_weight[pixels] += _total(w)

        over_tiles(y, one)
        basis = orthonormal(rng.standard_normal((p, size)))
        for _ in range(FACTOR_PASSES):
            image = scaled.T @ (scaled @ basis.astype(y.dtype))
            image = image.astype(float) / self._star_weight.sum()
            values, rotation = np.linalg.eigh(basis.T @ image)
            directions = basis @ rotation[:, ::-1]
            basis = orthonormal(image)
        values = values[::-1][:max_factors]
        gamma = np.count_nonzero(scatter > 0) / n
        out = values > (1 + np.sqrt(gamma)) ** 2
        directions = directions[:, :max_factors].T[out]
        strength = _strength(values[out], directions, gamma)
        mean_weight = relative(mean_weight / self._star_weight.sum(), scatter)
        mean_weight = np.maximum(mean_weight, np.finfo(float).tiny)
        factors = strength[:, None] * directions
        factors = np.where(scatter > 0, factors / np.sqrt(mean_weight), 0)
        claimed = (factors**2).sum(axis=0)
        excess = np.divide(scatter, claimed, out=np.ones(p), where=claimed > scatter)
        return factors * np.sqrt(excess)

    def coherence(self, factors, spread, lines):
        """How much of the scatter beyond the factors pixels of a line share, 0 to 1.

        From products of the residuals of different pixels of a line, to which white
        noise adds nothing, less what factors and the features' own errors add.

        Parameters
        ----------
        factors : ndarray of shape (n_factors, n_pixels)
        spread : ndarray of shape (k - 1, k - 1)
            Mean covariance of the features' own errors.
        lines : ndarray of int of shape (n_pixels,)
            The line that each pixel belongs to.

        Returns
        -------
        float
        """
        y, scatter = self._y, self._scatter
        alone = np.sqrt(np.maximum(scatter - (factors**2).sum(axis=0), 0))
        alone = alone.astype(y.dtype)
        sums, mean_weight = np.zeros(3), np.zeros(y.shape[1])
        everything = slice(0, y.shape[1])

        def one(start, rows, block):
            part = slice(start, start + CHUNK)
            stars = slice(
                rows.start + start, min(rows.start + start + CHUNK, rows.stop)
            )
            left, w, own = self._residual(stars, everything, block[part])
            s = self._star_weight[stars, None].astype(y.dtype)
            weight = _total(w * s)
            w *= np.sqrt(scatter * s)
            left *= w
            w *= alone
            w *= np.sqrt(relative(own, scatter))
            shared = shared_in_lines(left, lines), shared_in_lines(w, lines), s.sum()
            return np.array(shared), weight

        for rows, block in y.iter_blocks():
            starts = range(0, len(block), CHUNK)
            for shared, weight in in_parallel(
                lambda at, r=rows, b=block: one(at, r, b), starts
            ):
                sums += shared
                mean_weight += weight
        seen, expected, total = sums
        weight = np.sqrt(scatter) * mean_weight / total
        usual = shared_in_lines((alone * weight)[None], lines) * total
        if not usual > 0 or not expected > 0:
            return 0.0
        values, vectors = np.linalg.eigh(spread)
        noise = (vectors * np.sqrt(np.maximum(values, 0))).T @ self._coef[:-1]
        known = np.concatenate([factors, noise]) * weight
        known = shared_in_lines(known, lines) * total
        return float(np.clip((seen - known * expected / usual) / expected, 0, 1))


def _strength(values, directions, gamma):
    """Of factors of residuals of unit variance, from eigenvalues and directions.

    What the factors leave of a pixel has the rest of the unit variance. That is nearly
    all in most pixels, but little in those of a line whose scatter exceeds the noise:
    were it taken to be 1 there, too much would be taken off an eigenvalue.

    Parameters
    ----------
    values : ndarray of shape (n_factors,)
    directions : ndarray of shape (n_factors, n_pixels)
    gamma : float
        Pixels per star.

    Returns
    -------
    ndarray of shape (n_factors,)
    """
    square, rest = directions**2, np.ones(len(values))
    for _ in range(REST_ROUNDS):
        b = values / rest - 1 - gamma
        theta = (b + np.sqrt(np.maximum(b**2 - 4 * gamma, 0))) / 2
        overlap = (1 - gamma / theta**2) / (1 + gamma / theta)
        strength = rest * theta * np.maximum(overlap, 0)
        rest = square @ np.clip(1 - strength @ square, LEAST_REST, 1)
    return np.sqrt(strength)
