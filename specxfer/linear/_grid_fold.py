"""One fold of a search: a grid of `PCARidge` models that share what they can."""

from copy import copy
from dataclasses import replace

import numpy as np

from specxfer._resolution import ResolutionChange
from specxfer._threads import in_parallel
from specxfer.base import _mean_spectrum
from specxfer.linear._grams import unpacked
from specxfer.linear._normal_equations import (
    CHUNK,
    JITTER,
    ROWS,
    NormalEquations,
    PixelSums,
)
from specxfer.linear._penalties import free_intercept
from specxfer.linear._pixel_ridge import PixelRidge, Problem
from specxfer.linear._products import with_products
from specxfer.linear._scores import BLOCK

LEARNT = "auto"


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
        if self.sums.complete:
            mean, seen = self.sums.mean.astype(float), np.ones(self.y.shape[1], bool)
        else:
            mean, seen = _mean_spectrum(self.y, self.weight)
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
        n_axes = np.minimum(n_products, sizes)
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
        model = self._truncated(k)
        axes = np.zeros((k, 0))
        point = self._point(model, axes, None)
        if n_axes[-1]:
            point.n_products = n_axes[-1]
            axes = point._listened(self.X, self.y, self.weight)
        n = len(self.X) + len(self.X_test)
        features = [np.empty((n, k + q * (q + 1) // 2)) for q in n_axes]
        for rows, block in self._sides():
            scores, covariance, _ = model.posterior(block)
            for q, of_q in zip(n_axes, features):
                of_q[rows] = with_products(scores, covariance, axes[:, :q])
        return {
            (k, q): self._point(model, axes[:, :q], of_q)
            for q, of_q in zip(n_axes, features)
        }

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
                u_test, self.y_test, self._test_sums, self.test_weight, _zeros(self.y)
            )
            learnt = None if LEARNT not in alphas else _learnt(problem)
            return _pixel_errors(problem, test, alphas, learnt, point.seen_)
        right, right_test, total = rights
        numbers = [i for i, alpha in enumerate(alphas) if alpha != LEARNT]
        errors = np.empty(len(alphas))
        if numbers:
            mean = self.weight @ u / self.weight.sum()
            mean[-1] = 0  # of centred features the intercept is that of the flux, 0
            errors[numbers] = total + _gain(
                _gram(u - mean, self.weight)[:-1, :-1],
                _gram(u_test - mean, self.test_weight)[:-1, :-1],
                (right - np.outer(mean, right[-1]))[:-1],
                (right_test - np.outer(mean, right_test[-1]))[:-1],
                np.array([alphas[i] for i in numbers], float),
            )
        if LEARNT in alphas:
            coef = _learnt(self._problem(u, [LEARNT]))
            fitted = 2 * right_test - _gram(u_test, self.test_weight) @ coef
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
        plain = _turned_back(problem)
        for alpha in alphas:
            if alpha == LEARNT:
                coef = _learnt(problem)
                coef[-1] += problem.equations.mean
            else:
                coef = plain.solve(free_intercept(u.shape[1], alpha))[0]
            coef = coef.astype(self.y.dtype)
            fitted = copy(point)
            fitted.alpha, fitted.given = alpha, given
            fitted.features = point.features[len(self.X) :]
            fitted._ridge = PixelRidge(coef[:-1], coef[-1], *[None] * 5)
            yield fitted

    def _split(self, point):
        u = np.column_stack([point.features, np.ones(len(point.features))])
        return u[: len(self.X)], u[len(self.X) :]

    def _problem(self, u, alphas):
        """One set of equations for all penalties, learnt ones included."""
        guess = LEARNT if LEARNT in alphas else np.array(alphas, float)
        change = self.point._change
        return Problem.of(u[:, :-1], self.y, self.weight, guess, change, self.sums)


def _zeros(y):
    return np.zeros(y.shape[1], y.dtype)


def _gram(u, weight):
    return (u * weight[:, None]).T @ u


def _gain(gram, gram_test, right, right_test, alphas):
    """``Σ bᵀ G b − 2 b·r`` of the test rows, over all pixels, for each penalty.

    With ``b = A r₀`` it is ``tr(A G A r₀ r₀ᵀ) − 2 tr(A r₀ rᵀ)``, and A is diagonal in
    the eigenvectors of the training rows' matrix, whatever the penalty.
    """
    values, axes = np.linalg.eigh(gram)
    shift = JITTER * np.maximum(np.trace(gram), np.finfo(float).tiny)
    filters = 1 / (np.maximum(values, 0) + shift + alphas[:, None])
    turned = axes.T @ right
    cross = (turned * (axes.T @ right_test)).sum(axis=1)
    quadratic = (axes.T @ gram_test @ axes) * (turned @ turned.T)
    return ((filters @ quadratic) * filters).sum(axis=1) - 2 * filters @ cross


def _learnt(problem):
    """Coefficients for the flux less its mean, with penalties learnt."""
    penalty = problem.learnt()
    if penalty is None:
        penalty = free_intercept(len(problem.turn), 1.0)
    coef = problem.equations.solve(penalty)[0]
    coef[-1] -= problem.equations.mean
    return problem.turn @ coef


def _turned_back(problem):
    """The equations for the features as they were, not turned."""
    equations, k = problem.equations, len(problem.turn)
    if not problem.learns:
        return equations
    back = np.linalg.inv(problem.turn)
    upper = np.triu_indices(k)
    p = len(equations.gram)
    alike = equations.alike
    gram = np.empty((1 if alike else p, equations.gram.shape[1]), equations.gram.dtype)

    def one(start):
        pixels = slice(start, min(start + CHUNK, len(gram)))
        full = back.T @ unpacked(equations.gram[pixels], k) @ back
        gram[pixels] = full[:, upper[0], upper[1]]

    in_parallel(one, range(0, len(gram), CHUNK))
    if alike:
        gram = np.broadcast_to(gram[0], equations.gram.shape)
    return replace(equations, gram=gram, right=back.T @ equations.right)


def _pixel_errors(problem, test, alphas, learnt, seen):
    """Errors on the test rows, from equations of every pixel.

    Parameters
    ----------
    problem : Problem
    test : NormalEquations
    alphas : list
    learnt : ndarray of shape (k, n_pixels) or None
        The coefficients that belong to "auto".
    seen : ndarray of bool of shape (n_pixels,)

    Returns
    -------
    errors : ndarray of shape (n_alphas,)
    total : float
        That of the mean spectrum.
    """
    train, k = _turned_back(problem), len(problem.turn)
    pixels = np.flatnonzero(seen & (test.scale > 0))
    penalties = [None if a == LEARNT else free_intercept(k, a)[:, 0] for a in alphas]
    diagonal = np.arange(k)

    def one(start):
        at = pixels[start : start + CHUNK]
        full = unpacked(train.gram[at], k)
        right = train.right[:, at].T[:, :, None]
        trace = np.trace(full, axis1=1, axis2=2)
        full[:, diagonal, diagonal] += (JITTER * trace + (trace == 0))[:, None]
        coef = np.empty((len(at), k, len(alphas)))
        for i, penalty in enumerate(penalties):
            if penalty is None:
                coef[:, :, i] = learnt[:, at].T
                continue
            matrix = full.copy()
            matrix[:, diagonal, diagonal] += penalty
            coef[:, :, i] = np.linalg.solve(matrix, right)[:, :, 0]
        fitted = np.matmul(unpacked(test.gram[at], k), coef)
        fitted -= 2 * test.right[:, at].T[:, :, None]
        error = test.square[at, None] + (coef * fitted).sum(axis=1)
        return (np.maximum(error, 0) / test.scale[at, None]).sum(axis=0)

    errors = sum(in_parallel(one, range(0, len(pixels), CHUNK)))
    return errors, (test.square[pixels] / test.scale[pixels]).sum()
