"""`MatchedFeatures`: a star's matched scores, as a network likes them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from specxfer._exact import rowwise_matmul
from specxfer.linear import MatchedScores
from specxfer.linear._scores import BLOCK

__all__ = ["MatchedFeatures", "left_out_scores"]

NOTHING = 1e-6  # of the largest standard deviation: less is rounding


@dataclass(frozen=True)
class MatchedFeatures:
    """Matched scores of unit variance, those first that the target follows most.

    Parameters
    ----------
    matched : MatchedScores
        Fitted.
    turn : ndarray of shape (k, k)
    offset : ndarray of shape (k,)
        Features are ``scores @ turn + offset``.
    """

    matched: MatchedScores
    turn: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, matched, scores, told, sample_weight):
        """Turned so that the target listens to the first features most.

        Parameters
        ----------
        matched : MatchedScores
        scores : ndarray of shape (n, k)
            Of the training stars, by filters that have not seen them.
        told : ndarray of shape (n, m)
            The target's coefficients, each in units of the flux it stands for.
        sample_weight : ndarray of shape (n,)

        Returns
        -------
        MatchedFeatures
        """
        root = np.sqrt(sample_weight / sample_weight.sum())[:, None]
        mean = np.average(scores, axis=0, weights=sample_weight)
        left = (scores - mean) * root
        scale = np.sqrt((left**2).sum(axis=0))
        there = scale > NOTHING * max(scale.max(), NOTHING)
        scale = np.where(there, scale, np.inf)
        white = left / scale
        target = (told - np.average(told, axis=0, weights=sample_weight)) * root
        gram = white.T @ white + NOTHING * np.eye(len(scale))
        coef = np.linalg.solve(gram, white.T @ target)
        turn = np.linalg.svd(coef)[0] / scale[:, None]
        spread = np.sqrt(((left @ turn) ** 2).sum(axis=0))
        turn /= np.where(spread > NOTHING, spread, np.inf)
        return cls(matched, turn, -mean @ turn)

    def turned(self, scores):
        """Features of matched scores, shape (n, k)."""
        return rowwise_matmul(scores, self.turn) + self.offset

    def features(self, X):
        """The features of spectra, shape (n, k)."""
        models = self.matched._models
        if X.has_noise or not all(model.used.all() for model in models):
            scores = sum(model.scores(X) for model in models)
            return self.turned(scores / len(models))
        filters, offset = self._filters
        found = rowwise_matmul(X.flux, filters) + offset
        gaps = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(gaps):
            scores = sum(model.scores(X[gaps]) for model in models)
            found[gaps] = self.turned(scores / len(models))
        return found

    @cached_property
    def _filters(self):
        """What flux without noise or gaps is multiplied with, and what is added."""
        models = self.matched._models
        everything = [model._everything for model in models]
        filters = np.mean([one[-2] for one in everything], axis=0) @ self.turn
        offset = -np.mean([one[-1] for one in everything], axis=0) @ self.turn
        return filters.astype(models[0].mean.dtype), offset + self.offset

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_filters"}

    def posterior(self, X):
        """Features, their covariance, and how badly the templates fit.

        Parameters
        ----------
        X : Spectra in memory, shape (n, n_pixels)

        Returns
        -------
        features : ndarray of shape (n, k)
        covariance : ndarray of shape (n, k, k)
        misfit : ndarray of shape (n,)
            Mean squared residual of the source in units of its expected variance.
        """
        found = [model.posterior(X) for model in self.matched._models]
        scores, covariance, misfit = (sum(a) / len(found) for a in zip(*found))
        covariance = self.turn.T @ covariance @ self.turn
        return self.turned(scores), covariance, misfit


def left_out_scores(matched, X, parts, perturb=lambda block: block):
    """Scores of the training stars by filters that have not seen them.

    Parameters
    ----------
    matched : MatchedScores
        Fitted.
    X : Spectra of shape (n, n_pixels)
    parts : list of ndarray of int
        The stars that each filter has not seen.
    perturb : callable, optional
        Changes each block of spectra before it is looked at.

    Returns
    -------
    scores : ndarray of shape (n, k)
    misfit : ndarray of shape (n,)
        See `MatchedFeatures.posterior`.
    """
    scores, misfit = np.empty((len(X), matched.n_components_)), np.empty(len(X))
    for model, test in zip(matched._models, parts):
        for rows, block in X[test].iter_blocks(BLOCK):
            found = model.posterior(perturb(block))
            scores[test[rows]], _, misfit[test[rows]] = found
    return scores, misfit
