"""`StarKinds`: how far each star is from one kind of star to another."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.cluster import KMeans

from specxfer._exact import exact_matmul

LEADING = 10  # features that tell kinds apart
ALIKE = 1e-3  # of the variance within kinds, that keeps it from being singular


@dataclass(frozen=True)
class StarKinds:
    """Membership of one of two kinds of star, from features; in between are both.

    Parameters
    ----------
    direction : ndarray of shape (n_features,)
    offset : float
    """

    direction: np.ndarray
    offset: float

    @classmethod
    def of(cls, features, star_weight, rng):
        """The two kinds of which the leading features differ most.

        Two means (Lloyd 1982), and between them the linear discriminant of Fisher 1936,
        of which the logistic function is how likely each kind is where both are
        Gaussian and equally wide.

        Parameters
        ----------
        features : ndarray of shape (n, n_features)
            Those that tell most come first.
        star_weight : ndarray of shape (n,)
        rng : numpy.random.RandomState

        Returns
        -------
        StarKinds
        """
        direction = np.zeros(features.shape[1])
        x = np.asarray(features[:, :LEADING], float)
        if not x.shape[1] or (x == x[0]).all():
            return cls(direction, 0.0)
        means = KMeans(2, n_init=3, random_state=rng).fit(x, sample_weight=star_weight)
        kind, centres = means.labels_, means.cluster_centers_
        within = x - centres[kind]
        covariance = (within.T * star_weight) @ within / star_weight.sum()
        usual = np.trace(covariance) / len(covariance)
        covariance[np.diag_indices_from(covariance)] += ALIKE * usual + 1e-300
        apart = np.linalg.solve(covariance, centres[1] - centres[0])
        direction[: x.shape[1]] = apart
        share = np.average(kind, weights=star_weight)
        offset = np.log(share / (1 - share)) - apart @ centres.mean(axis=0)
        return cls(direction, float(offset))

    def __call__(self, features):
        """How much each star is of the second kind, 0 to 1.

        Parameters
        ----------
        features : ndarray of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n,)
        """
        along = exact_matmul(np.asarray(features, float), self.direction[:, None], 2)
        return expit(along[:, 0] + self.offset)
