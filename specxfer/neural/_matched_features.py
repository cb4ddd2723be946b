"""`MatchedFeatures`: a star's matched scores, as a network likes them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from specxfer._rowwise import rowwise_matmul
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
        if self._alike(X):
            return self.moments(X)[0]
        models = self.matched._models
        return self.turned(sum(model.scores(X) for model in models) / len(models))

    def moments(self, X):
        """Features and their covariance.

        Parameters
        ----------
        X : Spectra in memory, shape (n, n_pixels)

        Returns
        -------
        features : ndarray of shape (n, k)
        covariance : ndarray of shape (n, k, k)
        """
        if not self._alike(X):
            return self._mean_moments(X)
        filters, offset, covariance = self._filters
        features = rowwise_matmul(X.flux, filters) + offset
        covariance = np.broadcast_to(covariance, (len(X), *covariance.shape))
        gaps = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(gaps):
            covariance = covariance.copy()
            features[gaps], covariance[gaps] = self._mean_moments(X[gaps])
        return features, covariance

    def misfit(self, X):
        """Mean squared residual in units of its expected variance, shape (n,)."""
        models = self.matched._models
        return sum(model.posterior(X)[2] for model in models) / len(models)

    def _alike(self, X):
        """Whether all stars but those with gaps have the same filters."""
        models = self.matched._models
        return not X.has_noise and all(model.used.all() for model in models)

    def _mean_moments(self, X):
        """Features and covariance by filters of each star's own."""
        found = [model.moments(X) for model in self.matched._models]
        scores, covariance = (sum(a) / len(found) for a in zip(*found))
        return self.turned(scores), self.turn.T @ covariance @ self.turn

    @cached_property
    def _filters(self):
        """What flux without noise or gaps is multiplied with, what is added, and the
        covariance of the features."""
        models = self.matched._models
        everything = [model._everything for model in models]
        filters = np.mean([one[-2] for one in everything], axis=0) @ self.turn
        offset = -np.mean([one[-1] for one in everything], axis=0) @ self.turn
        covariance = (
            self.turn.T @ np.mean([one[3] for one in everything], 0) @ self.turn
        )
        return filters.astype(models[0].mean.dtype), offset + self.offset, covariance

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_filters"}


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
        See `MatchedFeatures.misfit`.
    """
    scores, misfit = np.empty((len(X), matched.n_components_)), np.empty(len(X))
    for model, test in zip(matched._models, parts):
        for rows, block in X[test].iter_blocks(BLOCK):
            found = model.posterior(perturb(block))
            scores[test[rows]], _, misfit[test[rows]] = found
    return scores, misfit
