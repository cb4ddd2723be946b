"""Pairs of stars whose labels agree, and that are not the same."""

import numpy as np

__all__ = ["label_bins", "shuffled_rows"]


def label_bins(z, size):
    """Bins of stars with like labels, by halving along the widest label.

    Parameters
    ----------
    z : ndarray of shape (n, n_labels)
    size : int
        Stars in a bin, at least; fewer than twice as many at most.

    Returns
    -------
    list of ndarray of int
        The stars of each bin.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.baselines._shuffle import label_bins
    >>> label_bins(np.array([[3.0], [1.0], [2.0], [9.0]]), 2)
    [array([1, 2]), array([0, 3])]
    """
    found, left = [], [np.arange(len(z))]
    while left:
        rows = left.pop()
        if len(rows) < 2 * size or not z.shape[1]:
            found.append(rows)
            continue
        widest = int(np.ptp(z[rows], axis=0).argmax())
        order = rows[np.argsort(z[rows, widest], kind="stable")]
        half = len(order) // 2
        left += [order[half:], order[:half]]
    return found


def shuffled_rows(z, stars, size, rng):
    """For every row, a row of another star whose labels are alike.

    Parameters
    ----------
    z : ndarray of shape (n, n_labels)
        Standardised labels.
    stars : ndarray of int of shape (n,)
        The star of each row, counted from 0.
    size : int
        Stars in a bin of labels, at least.
    rng : numpy.random.RandomState

    Returns
    -------
    ndarray of int of shape (n,)

    Raises
    ------
    ValueError
        If there is one star only.
    """
    n_stars = int(stars.max()) + 1
    if n_stars < 2:
        raise ValueError("one star cannot be given the target of another.")
    order = np.argsort(stars, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(stars))[:-1])
    first = np.array([rows[0] for rows in rows_of])
    given = np.empty(len(stars), int)
    for members in label_bins(z[first], size):
        ring = rng.permutation(members)
        for star, other in zip(ring, np.roll(ring, 1)):  # the next one in a ring
            mine, its = rows_of[star], rows_of[other]
            given[mine] = its[np.arange(len(mine)) % len(its)]
    return given
