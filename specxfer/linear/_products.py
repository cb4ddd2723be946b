"""Products of leading scores: the curvature a linear translator misses."""

import numpy as np

REACH = 4.0  # scores beyond this many deviations are taken as this in products


def with_products(scores, covariance, n_leading):
    """Scores, and the products of the leading ones, with their covariance.

    Given a star's spectrum its scores are Gaussian, so the mean and covariance of
    their products are known in closed form (Isserlis 1918, Biometrika 12, 134):
    ``E[u_a u_b] = m_a m_b + S_ab``, and so on. Their mean over all stars is taken off,
    so that a star without information has only zeros.

    Parameters
    ----------
    scores : ndarray of shape (n, k)
        Posterior means m.
    covariance : ndarray of shape (n, k, k)
        Posterior covariances S.
    n_leading : int
        How many scores are multiplied with each other.

    Returns
    -------
    features : ndarray of shape (n, k + q), q = n_leading (n_leading + 1) / 2
    spread : ndarray of shape (n, k + q, k + q)
    """
    k = scores.shape[1]
    a, b = np.triu_indices(min(n_leading, k))
    if not len(a):
        return scores, covariance
    m = np.clip(scores, -REACH, REACH)
    ma, mb = m[:, a], m[:, b]
    s = covariance
    features = np.column_stack([scores, ma * mb + s[:, a, b] - (a == b)])
    spread = np.empty((len(scores), k + len(a), k + len(a)))
    spread[:, :k, :k] = s
    with_scores = ma[:, :, None] * s[:, b] + mb[:, :, None] * s[:, a]
    spread[:, k:, :k] = with_scores
    spread[:, :k, k:] = with_scores.transpose(0, 2, 1)
    aa, ab = s[:, a[:, None], a], s[:, a[:, None], b]
    ba, bb = s[:, b[:, None], a], s[:, b[:, None], b]
    spread[:, k:, k:] = (
        ma[:, :, None] * (ma[:, None] * bb + mb[:, None] * ba)
        + mb[:, :, None] * (ma[:, None] * ab + mb[:, None] * aa)
        + aa * bb
        + ab * ba
    )
    return features, spread
