"""Products of leading scores: the curvature a linear translator misses."""

import numpy as np

from specxfer._rowwise import rowwise_matmul

REACH = 4.0  # scores beyond this many deviations are taken as this in products


def with_products(scores, covariance, axes):
    """Scores, and products of their leading combinations.

    Given a star's spectrum its scores are Gaussian, so are ``t = axesᵀ u``, and the
    mean and covariance of their products are known in closed form (Isserlis 1918,
    Biometrika 12, 134): ``E[t_a t_b] = m_a m_b + S_ab``. The axes are orthonormal, so
    the products have the mean 0 or 1 over the stars: it is taken off, and a star
    without information has only zeros.

    Parameters
    ----------
    scores : ndarray of shape (n, k)
        Posterior means.
    covariance : ndarray of shape (n, k, k)
        Posterior covariances.
    axes : ndarray of shape (k, q)
        Orthonormal columns; none for no products.

    Returns
    -------
    ndarray of shape (n, k + q (q + 1) / 2)
    """
    if not axes.shape[1]:
        return scores
    a, b = np.triu_indices(axes.shape[1])
    m = leading(scores, axes)
    s = np.matmul(axes.T, np.matmul(covariance, axes))
    return np.column_stack([scores, m[:, a] * m[:, b] + s[:, a, b] - (a == b)])


def spread_of(scores, covariance, axes):
    """Covariance of what `with_products` gives.

    Parameters
    ----------
    scores : ndarray of shape (n, k)
    covariance : ndarray of shape (n, k, k)
    axes : ndarray of shape (k, q)

    Returns
    -------
    ndarray of shape (n, k + q (q + 1) / 2, k + q (q + 1) / 2)
    """
    if not axes.shape[1]:
        return covariance
    n, k = scores.shape
    a, b = np.triu_indices(axes.shape[1])
    m = leading(scores, axes)
    ma, mb = m[:, a], m[:, b]
    to = np.matmul(covariance, axes)  # of scores with combinations
    s = np.matmul(axes.T, to)  # of combinations with each other
    spread = np.empty((n, k + len(a), k + len(a)))
    spread[:, :k, :k] = covariance
    with_scores = ma[:, None] * to[:, :, b] + mb[:, None] * to[:, :, a]
    spread[:, :k, k:] = with_scores
    spread[:, k:, :k] = with_scores.transpose(0, 2, 1)
    aa, ab = s[:, a[:, None], a], s[:, a[:, None], b]
    ba, bb = s[:, b[:, None], a], s[:, b[:, None], b]
    spread[:, k:, k:] = (
        ma[:, :, None] * (ma[:, None] * bb + mb[:, None] * ba)
        + mb[:, :, None] * (ma[:, None] * ab + mb[:, None] * aa)
        + aa * bb
        + ab * ba
    )
    return spread


def gradient_of(coef, scores, axes):
    """Gradients by the scores of ``with_products(...) @ coef``.

    Parameters
    ----------
    coef : ndarray of shape (k + q (q + 1) / 2, m)
    scores : ndarray of shape (n, k)
    axes : ndarray of shape (k, q)

    Returns
    -------
    ndarray of shape (n, m, k)
    """
    (n, k), q = scores.shape, axes.shape[1]
    of_scores = np.broadcast_to(coef[:k].T, (n, coef.shape[1], k))
    if not q:
        return of_scores
    a, b = np.triu_indices(q)
    square = np.zeros((q, q, coef.shape[1]))
    square[a, b] = coef[k:]
    square += square.transpose(1, 0, 2)  # t_a t_b by t_a and by t_b
    m = leading(scores, axes)
    held = np.abs(m) < REACH  # beyond their reach combinations stay as they are
    by_leading = np.einsum("abj,nb->nja", square, m) * held[:, None]
    return of_scores + by_leading @ axes.T


def leading(scores, axes):
    """The combinations of scores that are multiplied, held within their reach."""
    return np.clip(rowwise_matmul(scores, np.ascontiguousarray(axes)), -REACH, REACH)
