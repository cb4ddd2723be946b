"""Random train/test splits over stars."""

from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseShuffleSplit
from sklearn.utils import check_random_state

from specxfer._stars import star_codes
from specxfer.model_selection._star_kfold import _n_rows

__all__ = ["StarShuffleSplit"]


class StarShuffleSplit(BaseShuffleSplit):
    """Random train/test splits that never split a star.

    Stars are named as in `StarKFold`: by `groups`, else by the ids of X, else those
    of y.

    Parameters
    ----------
    n_splits : int, default=10
        Number of independent splits.
    test_size : float or int, default=0.2
        Share of the *stars* to test on, or their number.
    train_size : float or int, optional
        Share or number of the stars to train on; by default all others.
    random_state : int, RandomState or None, default=0
        The default gives the same splits every time; None gives new ones.

    Examples
    --------
    One split of stars into a training and a test set:

    >>> import numpy as np
    >>> from specxfer.model_selection import StarShuffleSplit
    >>> stars = np.array(["a", "b", "a", "c", "d", "e"])
    >>> splitter = StarShuffleSplit(1, test_size=2)
    >>> train, test = next(splitter.split(stars, groups=stars))
    >>> stars[test]
    array(['a', 'a', 'c'], dtype='<U1')
    """

    def __init__(self, n_splits=10, *, test_size=0.2, train_size=None, random_state=0):
        super().__init__(
            n_splits,
            test_size=test_size,
            train_size=train_size,
            random_state=random_state,
        )

    def split(self, X, y=None, groups=None):
        """Indices of the training and test rows of each split.

        Parameters
        ----------
        X : Spectra or array of shape (n, n_pixels)
            Only its length and ids are used.
        y : Spectra or array of shape (n, n_pixels_out), optional
            Only its ids are used.
        groups : array-like of shape (n,), optional
            The star of each row; replaces the ids.

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError
            If X and y name different stars, or a side would be empty.
        """
        return super().split(X, y, star_codes(X, y, groups, n=_n_rows(X)))

    def _iter_indices(self, X, y=None, groups=None):
        n_stars = int(groups.max()) + 1 if len(groups) else 0
        n_test = _number(self.test_size, n_stars, "test_size", np.ceil)
        if self.train_size is None:
            n_train = n_stars - n_test
        else:
            n_train = _number(self.train_size, n_stars, "train_size", np.floor)
        if n_train < 1 or n_test < 1 or n_train + n_test > n_stars:
            raise ValueError(
                f"{n_stars} star(s) cannot give {n_train} to train and {n_test} to "
                "test on: change test_size or train_size."
            )
        random = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            order = random.permutation(n_stars)
            test, train = order[:n_test], order[n_test : n_test + n_train]
            yield (
                np.flatnonzero(np.isin(groups, train)),
                np.flatnonzero(np.isin(groups, test)),
            )


def _number(size, n_stars, name, rounded):
    if isinstance(size, Integral) and not isinstance(size, bool):
        return int(size)
    if isinstance(size, float) and 0 < size < 1:
        return int(rounded(size * n_stars))
    raise ValueError(
        f"{name} is {size!r}; expected a share of the stars between 0 and 1, or a "
        "number of stars."
    )
