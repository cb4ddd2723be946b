"""Scores that bring their errors."""

import numpy as np


class Scores(np.ndarray):
    """An array of scores that carries their covariance to the next step.

    What `SpectralPCA` hands to `SpectralRidge` in a Pipeline. Anything computed from
    it, and any selection of it, is a plain result without the covariance.

    Parameters
    ----------
    values : ndarray of shape (n, n_components)
    covariance : ndarray of shape (n, n_components, n_components) or None

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.linear._score_array import Scores
    >>> scores = Scores(np.zeros((3, 2)), np.ones((3, 1, 1)) * np.eye(2))
    >>> scores.covariance.shape, (2 * scores).covariance
    ((3, 2, 2), None)
    """

    def __new__(cls, values, covariance=None):
        """A view of `values` with a covariance."""
        scores = np.asarray(values).view(cls)
        scores.covariance = covariance
        return scores

    def __array_finalize__(self, source):
        """What numpy makes of it knows no covariance."""
        self.covariance = None

    def __reduce__(self):
        """Pickle with the covariance."""
        return Scores, (np.asarray(self), self.covariance)
