"""`StarKinds`: how far each star is from one kind of star to another."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.cluster import KMeans

from specxfer._exact import exact_matmul

LEADING = 10  # features that tell kinds apart
ALIKE = 1e-3  # of the variance, that kinds have within them at least


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
    def of(cls, features, star_weight):
        """The two kinds of which the leading features differ most.

        Two means (Lloyd 1982, IEEE Trans. Inf. Theory 28, 129), the best that are found
        from the halves of any one feature, and between them the linear discriminant of
        Fisher 1936 (Ann. Eugenics 7, 179), of which the logistic function is how likely
        each kind is where both are Gaussian and equally wide.

        Parameters
        ----------
        features : ndarray of shape (n, n_features)
            Those that tell most come first.
        star_weight : ndarray of shape (n,)

        Returns
        -------
        StarKinds
        """
        direction = np.zeros(features.shape[1])
        some = star_weight > 0
        x, weight = np.asarray(features[some, :LEADING], float), star_weight[some]
        starts = [_halves(x, column, weight) for column in x.T if np.ptp(column) > 0]
        if not starts:
            return cls(direction, 0.0)
        found = (KMeans(2, init=m, n_init=1).fit(x, None, weight) for m in starts)
        means = min(found, key=lambda one: one.inertia_)
        kind, centres = means.labels_, means.cluster_centers_
        within, total = x - centres[kind], x - np.average(x, axis=0, weights=weight)
        covariance = (within.T * weight) @ within / weight.sum()
        least = ALIKE * np.average(total**2, axis=0, weights=weight).mean()
        covariance[np.diag_indices_from(covariance)] += least
        apart = np.linalg.solve(covariance, centres[1] - centres[0])
        direction[: x.shape[1]] = apart
        share = np.average(kind, weights=weight)
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


def _halves(x, column, weight):
    """Means of the stars below and above the mean of one feature."""
    above = column > np.average(column, weights=weight)
    return np.stack(
        [np.average(x[k], axis=0, weights=weight[k]) for k in (~above, above)]
    )
