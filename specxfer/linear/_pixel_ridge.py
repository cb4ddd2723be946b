"""Ridge regression of every target pixel with that pixel's own noise."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from specxfer._exact import exact_matmul
from specxfer._pixel_sums import PixelSums
from specxfer._rowwise import rowwise_matmul
from specxfer.covariance import LowRankCovariance
from specxfer.linear._algebra import CPU
from specxfer.linear._at_reference import AtReference
from specxfer.linear._neighbours import learnt_from_neighbours, runs
from specxfer.linear._normal_equations import (
    NormalEquations,
    first_fit,
    shared_inverse,
)
from specxfer.linear._penalties import (
    chosen_alpha,
    free_intercept,
    learnt_penalty,
    rotated,
    turned,
)
from specxfer.linear._residuals import SharedResiduals, few_stars, leave_one_star_out
from specxfer.linear._scatter import LineScatter, lines_of, relative
from specxfer.linear._star_kinds import StarKinds

TINY = np.finfo(float).tiny


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
    kinds : StarKinds
        Which kind of star each is, as far as scatter goes.
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
    coef_shared : ndarray of shape (n_pixels,)
        What the pixels of a line share of the rest, for the mean star's leverage: of
        coefficients that were learnt from neighbours as well.
    """

    coef: np.ndarray
    intercept: np.ndarray
    scatter: np.ndarray
    line_scatter: LineScatter
    kinds: StarKinds
    factors: np.ndarray
    lines: np.ndarray
    coherence: float
    gram_inverse: np.ndarray
    coef_variance: np.ndarray
    coef_gain: float
    coef_shared: np.ndarray

    def predict(self, features, out=None):
        """Flux, shape (n, n_pixels), of features of shape (n, n_features)."""
        return rowwise_matmul(_with_one(features), self._all_coef, out)

    @cached_property
    def _all_coef(self):
        return np.concatenate([self.coef, self.intercept[None]])

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_all_coef"}

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
        own = np.maximum(self.coef_variance - self.coef_gain * together, 0)
        basis = np.concatenate([self.coef[:k], self.factors, self.factors])
        diagonal = np.outer(lever, own)
        alike = not self.line_scatter.line.any()  # in how all stars scatter
        if alike and not self.coef_shared.any():
            diagonal = (diagonal + alone).astype(basis.dtype)
            return LowRankCovariance(core, basis, diagonal)
        flux = self.predict(features)
        variance = self.line_scatter.variance(flux, self.kinds(features))
        square = relative(variance, self.scatter)
        diagonal -= np.minimum(square * self.coef_shared, diagonal)
        diagonal += (1 - self.coherence) * alone * square
        return LowRankCovariance(
            core,
            basis,
            diagonal.astype(basis.dtype),
            np.sqrt(square),
            np.arange(r) >= k + q,
            np.sqrt(self.coherence * alone + self.coef_shared),
            self.lines,
        )

    def leverage(self, features):
        """How far each star is from the training stars' middle, shape (n,)."""
        return _leverage(_with_one(features), self.gram_inverse)


class OfPixelRidge:
    """What ends in a `PixelRidge`, ``_ridge``, on features that a subclass finds.

    ``_features(X, with_spread=True)`` are those of a block of spectra and, unless told
    not to, their covariance.
    """

    def _predict_into(self, X, out):
        self._write(self._features(X, with_spread=False)[0], out)

    def _covariance_block(self, X):
        return self._ridge.covariance(*self._features(X))

    def _flux_and_covariance(self, X, out):
        features, spread = self._features(X)
        self._write(features, out)
        return self._ridge.covariance(features, spread)

    def _write(self, features, out):
        same = out.dtype == self.coef_.dtype
        flux = self._ridge.predict(features, out if same else None)
        if not same:
            out[:] = flux

    @property
    def coef_(self):
        return self._ridge.coef

    @property
    def intercept_(self):
        return self._ridge.intercept

    @property
    def scatter_(self):
        return np.sqrt(self._ridge.scatter)


@dataclass
class Problem:
    """The weighted normal equations of a ridge, before a penalty is settled.

    Parameters
    ----------
    u : ndarray of shape (n, k)
        Features; the last is 1.
    turn : ndarray of shape (k, k)
        ``v = u @ turn`` are the features of the equations.
    y : Spectra or AtReference of shape (n, n_pixels)
    scatter : ndarray of shape (n_pixels,)
        First guess of the intrinsic variance, which weights allow for.
    equations : NormalEquations
    learns : bool
        Whether penalties are to be learnt.
    run : ndarray of int of shape (n_pixels,)
        Pixels without a gap between them, as `runs` counts them.
    first : ndarray of bool of shape (n_pixels,) or None
        Pixels that matter most; penalties are learnt from them and the others apart.
    """

    u: np.ndarray
    turn: np.ndarray
    y: object
    scatter: np.ndarray
    equations: NormalEquations
    learns: bool
    run: np.ndarray
    first: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        features,
        y,
        star_weight,
        alpha,
        change=None,
        sums=None,
        algebra=CPU,
        first=None,
    ):
        """From features and target, in two passes over it.

        Parameters
        ----------
        features : ndarray of shape (n, k - 1)
        y : Spectra of shape (n, n_pixels)
        star_weight : ndarray of shape (n,)
        alpha : float, ndarray or "auto"
        change : ResolutionChange, optional
        sums : PixelSums, optional
        algebra : Algebra, optional
        first : ndarray of bool of shape (n_pixels,), optional
        """
        u = _with_one(features)
        k, p = u.shape[1], y.shape[1]
        learns = isinstance(alpha, str)
        penalty = free_intercept(k, 1.0 if learns else np.median(alpha))[:, 0]
        sums = PixelSums.of(y, star_weight) if sums is None else sums
        turn, scatter = rotated(u, star_weight), np.zeros(p, y.dtype)
        run = runs(y.wave, y.chip, sums.n_valid > 0)
        if learns or y.has_noise or change is not None:
            scatter, coef, deviation = first_fit(u, y, sums, star_weight, penalty)
            if change is not None:
                y = AtReference(y, u, coef, change)
                scatter, coef, deviation = first_fit(u, y, sums, star_weight, penalty)
            if learns and k > 1:
                turn = turned(u, star_weight, coef, deviation, first)
        equations = NormalEquations.of(u @ turn, y, sums, star_weight, scatter, algebra)
        return cls(u, turn, y, scatter, equations, learns and k > 1, run, first)

    @property
    def v(self):
        """The features of the equations, (n, k)."""
        return self.u @ self.turn

    def solve(self, exact=None):
        """Coefficients with learnt penalties, and those that neighbours lend them.

        Parameters
        ----------
        exact : ndarray of bool of shape (n_pixels,), optional
            As for `NormalEquations.solve`.

        Returns
        -------
        penalties : ndarray of shape (k, n_pixels)
        solution : tuple
            What the equations give for them, each pixel by itself.
        coef : ndarray of shape (k, n_pixels)
            The coefficients, with what the neighbours of each pixel tell.
        less : tuple of (ndarray of shape (n_pixels,), float)
            Their variance, over that of each pixel by itself; that of sums over many
            pixels, over what it would be if noise were white.
        """
        known = self.equations.scale
        if not self.y.has_noise:
            known = np.maximum(self.scatter, np.finfo(self.y.dtype).tiny)
        unit = np.broadcast_to(known, self.scatter.shape)
        hardly, diagonal, _ = self.equations.solve(free_intercept(len(self.turn), 1.0))
        diagonal = np.broadcast_to(diagonal, hardly.shape)
        penalties = np.empty_like(hardly)
        all_pixels = np.ones(len(unit), bool)
        groups = (all_pixels,) if self.first is None else (self.first, ~self.first)
        for some in groups:
            penalties[:, some] = learnt_penalty(
                hardly[:, some], diagonal[:, some], unit[some]
            )
        solution = self.equations.solve(penalties, exact)
        hardly, prior = hardly[:-1], unit / np.maximum(penalties[:-1], TINY)
        variance = diagonal[:-1] * unit
        # photon noise differs from pixel to pixel, what scatters runs along lines
        share = 1.0
        if self.y.has_noise:
            share = 1 - np.minimum(relative(self.scatter, unit), 1)
        white = variance * share
        found, left, of_sums = learnt_from_neighbours(
            hardly, prior, white, variance - white, self.run
        )
        coef = solution[0].copy()
        coef[:-1] += found - hardly * relative(prior, prior + variance)
        # the intercept is each pixel's own
        diagonal = solution[1]
        of_features = 1 - relative(diagonal[-1], diagonal.sum(axis=0))
        return penalties, solution, coef, (1 - (1 - left) * of_features, of_sums)


def fit_pixel_ridge(
    features,
    spread,
    y,
    star_weight,
    stars,
    alpha,
    max_factors,
    rng,
    change=None,
    *,
    select="gcv",
    per_pixel=False,
    sums=None,
    algebra=CPU,
    first=None,
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
    alpha : float, ndarray of float or "auto"
    max_factors : int
    rng : numpy.random.RandomState
    change : ResolutionChange, optional
        With it the coefficients are of the flux at its reference, whatever the
        `resolution` of each row of y.
    select : {"gcv", "loo"}, default="gcv"
        How one of several `alpha` is chosen.
    per_pixel : bool, default=False
        Whether each pixel has its own.
    sums : PixelSums, optional
        Those of y, if they are at hand.
    algebra : Algebra, optional
        Where products are computed.
    first : ndarray of bool of shape (n_pixels,), optional
        Pixels that matter most: penalties are learnt for them apart, among
        combinations of features that they listen to.

    Returns
    -------
    ridge : PixelRidge
    alpha : float, ndarray of shape (n_pixels,) or None
        The one taken; None if penalties are learnt.
    """
    problem = Problem.of(features, y, star_weight, alpha, change, sums, algebra, first)
    u, v, y, turn = problem.u, problem.v, problem.y, problem.turn
    scatter, equations, learns = problem.scatter, problem.equations, problem.learns
    scale, k = equations.scale, u.shape[1]
    exact, taken, less = few_stars(equations, k), None, (1.0, 1.0)
    if learns:
        penalties, solution, coef, less = problem.solve(exact)
    else:
        taken = 1.0 if isinstance(alpha, str) else alpha
        if np.ndim(alpha):
            taken = chosen_alpha(
                alpha, select, per_pixel, v, y, star_weight, scatter, equations, stars
            )
        penalties = free_intercept(k, taken)
        solution = equations.solve(penalties, exact)
        coef = solution[0]
    penalty = np.median(penalties, axis=1)
    kinds = StarKinds.of(features, star_weight)
    kind = kinds(features)
    left = leave_one_star_out(
        v, y, star_weight, scatter, equations, solution, exact, stars, kind
    )
    del problem, equations, solution, penalties
    # weights are known to a factor: noise + scatter, or without noise the residual
    share = left.share * (scale if y.has_noise else np.maximum(left.raw, 0))
    correction = 1.0
    if learns:  # scatter that pixels share looks like signal in some direction
        correction = ((1 - left.hat) / (1 - _mean_hat(v, star_weight, stars))) ** 2
    mean_inverse = turn @ shared_inverse(v, star_weight, penalty) @ turn.T
    typical = np.average(_leverage(u, mean_inverse), weights=star_weight)
    coef = turn @ coef
    of_features = ((spread @ coef[:-1]) * coef[:-1]).sum(axis=0)
    if y.has_noise:
        left.sums.scale(correction)
        left.sums.take_off(of_features)
        line_scatter = left.sums.solve(0.5).astype(y.dtype)
        scatter = left.sums.mean(line_scatter)
    else:
        scatter = np.maximum((left.raw - share) * correction - of_features, 0)
        none = np.zeros((2, len(scatter)))
        line_scatter = LineScatter(scatter, none).astype(y.dtype)
    shared = SharedResiduals(u, y, star_weight, coef, scatter, line_scatter, kind)
    factors = shared.factors(max_factors, rng)
    lines = lines_of(np.average(u, axis=0, weights=star_weight) @ coef)
    coherence = shared.coherence(factors, spread, lines) if y.has_noise else 0.0
    of_pixels, of_sums = less
    coef_variance = of_pixels * share / typical
    coef_shared = _shared_in_lines(share, of_pixels, of_sums, lines)
    scattered = scatter > 0
    gain = coef_variance[scattered] / (scatter + left.noise)[scattered]
    dtype = y.dtype
    ridge = PixelRidge(
        coef[:-1].astype(dtype),
        coef[-1].astype(dtype),
        scatter.astype(dtype),
        line_scatter,
        kinds,
        factors.astype(dtype),
        lines,
        coherence,
        mean_inverse,
        coef_variance.astype(dtype),
        float(np.median(gain)) if len(gain) else 0.0,
        coef_shared.astype(dtype),
    )
    return ridge, taken


def _shared_in_lines(share, of_pixels, of_sums, lines):
    """Variance of the coefficients' part that the pixels of a line share.

    Averaged over neighbours, noise leaves pixels but not the sum of many of them: N
    pixels of variance ``d + c``, c of it shared, have a sum of variance N (d + N c).

    Parameters
    ----------
    share : ndarray of shape (n_pixels,)
        Variance of each pixel by itself.
    of_pixels : ndarray of shape (n_pixels,) or float
        That of the pixel, over it.
    of_sums : float
        That of the sum over a line, over N times it.
    lines : ndarray of int of shape (n_pixels,)

    Returns
    -------
    ndarray of shape (n_pixels,)
    """
    others = np.maximum(np.bincount(lines)[lines] - 1, 1)
    return np.clip((of_sums - of_pixels) / others, 0, of_pixels) * share


def _with_one(features):
    return np.column_stack([features, np.ones(len(features))]).astype(float)


def _leverage(u, gram_inverse):
    return (exact_matmul(u, gram_inverse, 2) * u).sum(axis=1)


def _mean_hat(u, star_weight, stars):
    """Mean leverage of a star if no feature were held back."""
    free = np.r_[np.ones(u.shape[1] - 1), 0]
    lever = _leverage(u, shared_inverse(u, star_weight, free))
    per_star = star_weight * lever * np.bincount(stars)[stars]
    return min(np.average(per_star, weights=star_weight), 0.9)
