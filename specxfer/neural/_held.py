"""`Held`: stated errors kept within those that are found, in each kind of star."""

from dataclasses import dataclass

import numpy as np

from specxfer.linear._star_kinds import StarKinds

__all__ = ["Held", "held_within"]

SMALL = 1e-6  # of the mean variance: directions of less are left alone
TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class Held:
    """Shrinks the covariance of coefficients where it is more than is found.

    How far a stated covariance is off hangs on the star: giants and dwarfs differ. Each
    of two kinds has a factor of its own, and stars in between one in between.

    Parameters
    ----------
    kinds : StarKinds
        Of the coefficients.
    factors : ndarray of shape (2, k, k)
        D, for which ``D spread Dᵀ`` is within what is found, of each kind.
    """

    kinds: StarKinds
    factors: np.ndarray

    @classmethod
    def of(cls, mean, weight, spread_of, found_of):
        """From what stars left out are found to miss.

        Parameters
        ----------
        mean : ndarray of shape (n, k)
            Coefficients of the training stars, by what has not seen them.
        weight : ndarray of shape (n,)
        spread_of : callable
            ``spread_of(weights)``: means of the stated covariance, (m, k, k), with m
            weights of the stars each, (m, n).
        found_of : callable
            ``found_of(weight)``: mean of what is found, (k, k).

        Returns
        -------
        held : Held
        spread : ndarray of shape (k, k)
            Mean of the stated covariance, so held.

        Notes
        -----
        What is found in a kind is taken together with what is found in all stars, as if
        k more were of that kind: a mean of fewer squares than coefficients is no more
        than noise.
        """
        kinds, k = StarKinds.of(mean, weight), mean.shape[1]
        second = kinds(mean)
        weights = weight * np.stack([1 - second, second])
        total = weights.sum(axis=1)
        number = total**2 / np.maximum(np.square(weights).sum(axis=1), TINY)
        spreads, of_all = spread_of(np.maximum(weights, TINY)), found_of(weight)
        factors = np.empty((2, k, k))
        for i, (own, n) in enumerate(zip(weights, number)):
            found = found_of(own) if n > 1 else of_all
            factors[i] = held_within(spreads[i], (n * found + k * of_all) / (n + k))
        held = factors @ spreads @ factors.transpose(0, 2, 1)
        return cls(kinds, factors), np.average(held, axis=0, weights=total)

    def __call__(self, mean, spread):
        """The covariance of each star, held.

        Parameters
        ----------
        mean : ndarray of shape (n, k)
        spread : ndarray of shape (n, k, k)

        Returns
        -------
        ndarray of shape (n, k, k)
        """
        second = self.kinds(mean)[:, None, None]
        first, other = self.factors
        factor = first + second * (other - first)
        return factor @ spread @ factor.transpose(0, 2, 1)


def held_within(spread, most):
    """What keeps a covariance within another, direction by direction.

    Parameters
    ----------
    spread, most : ndarray of shape (k, k)

    Returns
    -------
    ndarray of shape (k, k)
        D, for which ``D spread Dᵀ`` is `spread` where that is less than `most`, and
        `most` elsewhere, in the directions in which both are diagonal.
    """
    ridge = SMALL * np.trace(spread) / len(spread) + TINY
    root = np.linalg.cholesky(spread + ridge * np.eye(len(spread)))
    inverse = np.linalg.inv(root)
    values, vectors = np.linalg.eigh(inverse @ most @ inverse.T)
    kept = np.sqrt(np.clip(values, 0, 1))
    return root @ (vectors * kept) @ vectors.T @ inverse
