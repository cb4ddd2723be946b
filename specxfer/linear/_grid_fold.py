"""One fold of a search: a grid of `PCARidge` models that share what they can."""

from copy import copy
from dataclasses import fields, replace

import numpy as np

from specxfer._pixel_sums import PixelSums
from specxfer._resolution import ResolutionChange
from specxfer._stars import number_of_stars
from specxfer.linear._grid_errors import (
    LEARNT,
    learnt_coef,
    pixel_errors,
    shared_errors,
    turned_back,
    weighted_gram,
)
from specxfer.linear._normal_equations import (
    ROWS,
    NormalEquations,
    first_fit,
)
from specxfer.linear._pca_ridge import AXES_STARS
from specxfer.linear._penalties import (
    affordable_axes,
    free_intercept,
    listened_axes,
)
from specxfer.linear._pixel_ridge import PixelRidge, Problem
from specxfer.linear._products import with_products
from specxfer.linear._scores import BLOCK

UNKNOWN = [None] * (len(fields(PixelRidge)) - 2)  # all but the coefficients
MOST_KEPT = 2**25  # numbers in the covariances of scores that are kept, not found again


class GridFold:
    """The training and test rows of a fold, and what all models of a grid share.

    Parameters
    ----------
    train : (Spectra, Spectra, ndarray)
        Source, target and weights of the stars that coefficients are learnt from.
    test : (Spectra, Spectra, ndarray)
        Those of the stars left out.
    model : ScoreModel
        Components of the source, as many as any model asks for.
    given : bool
        Whether they were learnt from other spectra than the training rows.
    prototype : GridPoint
        Knows the grid of the source.
    """

    def __init__(self, train, test, model, given, prototype):
        self.X, self.y, self.weight = train
        self.X_test, self.y_test, self.test_weight = test
        self.model, self._given = model, given
        self.sums = PixelSums.of(self.y, self.weight)
        test_sums = PixelSums.of(self.y_test, self.test_weight)
        self._test_sums = replace(test_sums, mean=self.sums.mean)
        self.point = copy(prototype)
        self.point._set_target_grid(self.y)
        mean, seen = self.sums.mean_spectrum(len(self.y))
        change = ResolutionChange.of(self.y, self.weight, seen)
        self.point.y_mean_, self.point.seen_, self.point._change = mean, seen, change
        self.point.resolution_ = change and change.reference
        self.point.max_resolution_ = change and change.highest

    @property
    def complete(self):
        """Whether all target pixels have the same normal equations."""
        complete = self.sums.complete and self._test_sums.complete
        return complete and self.point._change is None

    # --------------------------------------------------------------- features
    def points(self, n_components, n_products):
        """The grid's points but for alpha, with the features of all rows.

        Parameters
        ----------
        n_components, n_products : list of int
            Those of each point.

        Returns
        -------
        list of GridPoint
            Their `features` are those of training and test rows, one after the other.
        """
        most = len(self.model.loadings)
        sizes = np.minimum(n_components, most)
        n_stars = number_of_stars(self.X, self.y, self.weight)
        asked = zip(n_products, sizes)
        n_axes = np.array([affordable_axes(q, k, n_stars) for q, k in asked])
        made = {}
        if not n_axes.any() and not self.X.has_noise:
            made = self._linear_features(np.unique(sizes))
        else:
            for k in np.unique(sizes):
                made |= self._features(k, np.unique(n_axes[sizes == k]))
        return [made[k, q] for k, q in zip(sizes, n_axes)]

    def _truncated(self, k):
        model = self.model.truncated(k)
        return model.with_noise_of(self.X, self.weight) if self._given else model

    def _sides(self):
        """Blocks of all rows, and where they belong."""
        for at, X in ((0, self.X), (len(self.X), self.X_test)):
            for rows, block in X.iter_blocks(BLOCK):
                yield slice(at + rows.start, at + rows.stop), block

    def _linear_features(self, sizes):
        """Scores of spectra without noise, on any number of components in one go."""
        models = [self._truncated(k) for k in sizes]
        ends = np.cumsum(sizes)
        scores = np.empty((len(self.X) + len(self.X_test), ends[-1]))
        to_scores = np.hstack([model.filter for model in models])
        for rows, block in self._sides():
            flux = block.flux - self.model.mean
            if not self.model.used.all():
                flux = flux[:, self.model.used]
            scores[rows] = flux @ to_scores
            gaps = np.flatnonzero(~np.isfinite(scores[rows]).all(axis=1))
            if len(gaps):
                some = [model.scores(block[gaps]) for model in models]
                scores[rows.start + gaps] = np.hstack(some)
        return {
            (k, 0): self._point(model, np.zeros((k, 0)), part)
            for k, model, part in zip(
                sizes, models, np.split(scores, ends[:-1], axis=1)
            )
        }

    def _features(self, k, n_axes):
        """Scores and their products, for each number of axes."""
        model, most = self._truncated(k), n_axes[-1]
        n, n_learnt = len(self.X) + len(self.X_test), len(self.X)
        keeps = most and n * k * k <= MOST_KEPT
        scores, kept = np.empty((n, k)), []
        for rows, block in self._sides():
            scores[rows], covariance = model.moments(block)
            if keeps:
                kept.append((rows, covariance))
        axes = self._listened(scores[:n_learnt], most) if most else np.zeros((k, 0))
        features = [np.empty((n, k + q * (q + 1) // 2)) for q in n_axes]
        again = ((rows, model.moments(block)[1]) for rows, block in self._sides())
        for rows, covariance in kept if keeps or not most else again:
            for q, of_q in zip(n_axes, features):
                of_q[rows] = with_products(scores[rows], covariance, axes[:, :q])
        if not most:
            features = [scores]
        return {
            (k, q): self._point(model, axes[:, :q], of_q)
            for q, of_q in zip(n_axes, features)
        }

    def _listened(self, scores, n_axes):
        """The combinations of scores that are multiplied, as in a fit."""
        some = slice(None, None, -(-len(scores) // AXES_STARS))
        u = np.column_stack([scores[some], np.ones(len(scores[some]))])
        y, weight, sums = self.y[some], self.weight[some], self.sums
        if len(u) < len(scores):
            sums = PixelSums.of(y, weight)
        penalty = free_intercept(u.shape[1], 1.0)[:, 0]
        _, coef, deviation = first_fit(u, y, sums, weight, penalty)
        return listened_axes(u, weight, coef, deviation, n_axes)

    def _point(self, model, axes, features):
        point = copy(self.point)
        point.pca_ = copy(point.pca_)
        point.pca_._model, point._axes, point.features = model, axes, features
        return point

    # ------------------------------------------------------------ scores, models
    def explained(self, points, alphas):
        """`Translator.score` of each point and alpha, without predictions.

        The error of coefficients b at a pixel is ``Σ w y² − 2 b·r + bᵀ G b``, with
        r and G of the test rows.

        Parameters
        ----------
        points : list of GridPoint
        alphas : list of "auto" and float

        Yields
        ------
        ndarray of shape (n_alphas,)
            Of each point.
        """
        right = self._rights(points) if self.complete else [None] * len(points)
        for point, rights in zip(points, right):
            left, total = self._errors(point, alphas, rights)
            if not total > 0:
                raise ValueError(
                    "y has no variance about the mean training spectrum on the test "
                    "rows of a fold."
                )
            yield 1 - left / total

    def _errors(self, point, alphas, rights):
        """Σ w (y − prediction)² on the test rows, for each alpha and for the mean."""
        u, u_test = self._split(point)
        if rights is None:
            problem = self._problem(u, alphas)
            test = NormalEquations.of(
                u_test,
                self.y_test,
                self._test_sums,
                self.test_weight,
                np.zeros(self.y.shape[1], self.y.dtype),
            )
            return pixel_errors(problem, test, alphas, point.seen_)
        right, right_test, total = rights
        numbers = [i for i, alpha in enumerate(alphas) if alpha != LEARNT]
        errors = np.empty(len(alphas))
        if numbers:
            mean = self.weight @ u / self.weight.sum()
            mean[-1] = 0  # of centred features the intercept is that of the flux, 0
            errors[numbers] = total + shared_errors(
                weighted_gram(u - mean, self.weight)[:-1, :-1],
                weighted_gram(u_test - mean, self.test_weight)[:-1, :-1],
                (right - np.outer(mean, right[-1]))[:-1],
                (right_test - np.outer(mean, right_test[-1]))[:-1],
                np.array([alphas[i] for i in numbers], float),
            )
        if LEARNT in alphas:
            coef = learnt_coef(self._problem(u, [LEARNT]))
            fitted = 2 * right_test - weighted_gram(u_test, self.test_weight) @ coef
            of_learnt = [alpha == LEARNT for alpha in alphas]
            errors[of_learnt] = total - (coef * fitted).sum()
        return np.maximum(errors, 0), total

    def _rights(self, points):
        """The right sides of complete targets, for all points in one pass."""
        features = [point.features for point in points]
        at = np.cumsum([f.shape[1] for f in features])[:-1]
        n = len(self.X)
        sides = []
        for rows, y, weight, dtype in (
            (slice(n), self.y, self.weight, self.y.dtype),
            (slice(n, None), self.y_test, self.test_weight, float),
        ):
            v = np.hstack([f[rows] for f in features] + [np.ones((len(y), 1))])
            v = (v * weight[:, None]).astype(dtype)
            right, square = np.zeros((v.shape[1], y.shape[1])), 0.0
            for some, block in y.iter_blocks(ROWS):
                left = np.subtract(block.flux, self.sums.mean, dtype=dtype)
                right += v[some].T @ left
                square += weight[some] @ np.einsum("ij,ij->i", left, left)
            parts = np.split(right[:-1], at)
            sides.append([np.vstack([part, right[-1:]]) for part in parts])
        return [(r, t, square) for r, t in zip(*sides)]

    def fitted(self, point, alphas, given):
        """The point as a fitted translator, for each alpha.

        Parameters
        ----------
        point : GridPoint
        alphas : list of "auto" and float
        given : Spectra or ndarray
            The source of the test rows as a scorer gets it.

        Yields
        ------
        GridPoint
        """
        u, _ = self._split(point)
        problem = self._problem(u, alphas)
        plain = turned_back(problem)
        for alpha in alphas:
            if alpha == LEARNT:
                coef = learnt_coef(problem)
                coef[-1] += problem.equations.mean
            else:
                coef = plain.solve(free_intercept(u.shape[1], alpha))[0]
            coef = coef.astype(self.y.dtype)
            fitted = copy(point)
            fitted.alpha, fitted.given = alpha, given
            fitted.features = point.features[len(self.X) :]
            fitted._ridge = PixelRidge(coef[:-1], coef[-1], *UNKNOWN)
            yield fitted

    def _split(self, point):
        u = np.column_stack([point.features, np.ones(len(point.features))])
        return u[: len(self.X)], u[len(self.X) :]

    def _problem(self, u, alphas):
        """One set of equations for all penalties, learnt ones included."""
        guess = LEARNT if LEARNT in alphas else np.array(alphas, float)
        change = self.point._change
        return Problem.of(u[:, :-1], self.y, self.weight, guess, change, self.sums)
