"""K-fold cross-validation over stars."""

from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import check_random_state

from specxfer._stars import star_codes

__all__ = ["StarKFold", "check_star_cv"]


class StarKFold(BaseCrossValidator):
    """K folds that never split a star.

    Surveys observe some stars repeatedly. A model tested on a second spectrum of a
    star it was trained on looks better than it is, so the star is the unit of every
    split. Stars are named by `groups` if given, else by the ``ids`` of X, else those
    of y; without any, each row is a star. So plain ``cv=StarKFold()`` does in
    `GridSearchCV` and `cross_validate`, with nothing to route.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2 and at most the number of stars.
    shuffle : bool, default=True
        Whether stars are dealt out at random, or in the order of their names. Unlike
        that of `GroupKFold`, the default is True: names may go by field or by date.
    random_state : int, RandomState or None, default=0
        Which stars come together. The default gives the same folds every time; None
        gives new ones. Not used without `shuffle`.

    Notes
    -----
    Stars are dealt out, those with most spectra first, each to the fold that has
    fewest spectra so far: without repeats, folds differ by one spectrum at most. The
    flux is never read.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.model_selection import StarKFold
    >>> X = Spectra(np.ones((6, 3)), wave=[1, 2, 3], medium="air",
    ...             ids=["a", "b", "a", "c", "d", "b"])
    >>> for train, test in StarKFold(2).split(X):
    ...     print(X.ids[train], X.ids[test])
    ['a' 'a' 'd'] ['b' 'c' 'b']
    ['b' 'c' 'b'] ['a' 'a' 'd']
    """

    def __init__(self, n_splits=5, *, shuffle=True, random_state=0):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """The number of folds; the arguments are not used.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(self, X, y=None, groups=None):
        """Indices of the training and test rows of each fold.

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
            If X and y name different stars, or there are fewer stars than folds.
        """
        return super().split(X, y, star_codes(X, y, groups, n=_n_rows(X)))

    def _iter_test_masks(self, X=None, y=None, groups=None):
        fold_of_row = self._fold_of_star(np.bincount(groups))[groups]
        for fold in range(self.n_splits):
            yield fold_of_row == fold

    def _fold_of_star(self, n_spectra):
        """The fold of each star, given how many spectra each has."""
        if not isinstance(self.n_splits, Integral) or self.n_splits < 2:
            raise ValueError(f"n_splits is {self.n_splits!r}; expected an integer > 1.")
        if len(n_spectra) < self.n_splits:
            raise ValueError(
                f"{len(n_spectra)} star(s) cannot make {self.n_splits} folds: lower "
                "n_splits, or check ids (one name per star)."
            )
        order = np.arange(len(n_spectra))
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(order)
        order = order[np.argsort(-n_spectra[order], kind="stable")]
        fold_of_star = np.empty(len(n_spectra), dtype=int)
        filled = np.zeros(self.n_splits, dtype=int)
        for star in order:
            fold = filled.argmin()
            fold_of_star[star] = fold
            filled[fold] += n_spectra[star]
        return fold_of_star


def check_star_cv(cv=5):
    """A splitter for any usual `cv`, over stars where the choice is ours.

    Parameters
    ----------
    cv : int, splitter, iterable of (train, test) or None, default=5
        None and integers mean `StarKFold`; all else is used as it is.

    Returns
    -------
    splitter
        With ``split`` and ``get_n_splits``.

    Examples
    --------
    >>> from specxfer.model_selection import check_star_cv
    >>> check_star_cv(3)
    StarKFold(n_splits=3, random_state=0, shuffle=True)
    """
    if cv is None:
        return StarKFold()
    if isinstance(cv, Integral):
        return StarKFold(int(cv))
    return check_cv(cv)


def _n_rows(X):
    return X.shape[0] if hasattr(X, "shape") else len(X)
