"""`Canonical`: coordinates in which prediction and observation agree one by one."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

__all__ = ["Canonical"]

LEAST = 1e-6  # variance of a coefficient's residual: those of stars have 1


@dataclass(frozen=True)
class Canonical:
    """Coordinates of coefficients, those first that are told best.

    Of coefficients c the coordinates are ``x = (c − mean) turn``. In them what is
    predicted varies on its own in each, and so does what the prediction misses.

    Parameters
    ----------
    mean : ndarray of shape (k,)
    turn, back : ndarray of shape (k, k)
        ``back`` is the inverse of ``turn``.
    size : ndarray of shape (k,)
        How far stars spread in each coordinate, in units of what predictions miss; the
        coordinates themselves have unit variance, misses included.

    References
    ----------
    Bach & Jordan 2005, technical report 688, Berkeley: the likeliest linear model of
    two sides with shared latents has canonical correlations for its coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.neural._canonical import Canonical
    >>> rng = np.random.default_rng(0)
    >>> predicted = rng.normal(size=(5000, 2)) * [1.0, 3.0]
    >>> observed = predicted + rng.normal(size=(5000, 2)) * [0.1, 1.0]
    >>> canonical = Canonical.of(predicted, observed, np.ones(5000))
    >>> canonical.size.round()
    array([10.,  3.])
    >>> canonical.coordinates(observed).std(axis=0).round(1)
    array([1., 1.])
    """

    mean: np.ndarray
    turn: np.ndarray
    back: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, predicted, observed, sample_weight):
        """From stars that the prediction has not seen.

        Parameters
        ----------
        predicted, observed : ndarray of shape (n, k)
        sample_weight : ndarray of shape (n,)

        Returns
        -------
        Canonical
        """
        weight = (sample_weight / sample_weight.sum())[:, None]
        mean = (weight * observed).sum(axis=0)
        center = (weight * predicted).sum(axis=0)
        of_predicted = (weight * (predicted - center)).T @ (predicted - center)
        left = observed - predicted
        missed = (weight * left).T @ left
        # as if k more stars had been seen, whose coefficients miss independently
        k, n = len(mean), sample_weight.sum() ** 2 / np.square(sample_weight).sum()
        diagonal = np.diag(missed).copy()
        missed *= n / (n + k)
        missed[np.diag_indices(k)] = diagonal + LEAST
        values, turn = eigh(of_predicted, missed)
        size = np.sqrt(np.maximum(values[::-1], 0) + 1)
        turn = turn[:, ::-1] / size
        return cls(mean, turn, np.linalg.inv(turn), size)

    def coordinates(self, coefficients):
        """x of coefficients, both of shape (n, k)."""
        return (coefficients - self.mean) @ self.turn
