"""`Judges`: stars left out, that choose what is learnt or judge what was chosen."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import t as student

__all__ = ["Judges"]

PARTS = 5  # one of which is left out
CHOOSING = 3  # of these one in so many choose, as a test needs the more stars
SURE = ndtr(2)  # of a one-sided test: two standard errors, where stars are many


@dataclass(frozen=True)
class Judges:
    """Stars that nothing is learnt from, in two groups that do not mix.

    The best of several rounds is partly the luckiest on the stars it was chosen
    by, so these say too much of it. Those that judge have had no say in the choice.

    Parameters
    ----------
    stars : ndarray of int of shape (n,)
        The star of each row.
    choosing, judging : ndarray of bool of shape (n,)
        Rows of the one group and of the other; none of a star is in both.
    """

    stars: np.ndarray
    choosing: np.ndarray
    judging: np.ndarray

    @classmethod
    def of(cls, stars, seed):
        """A fifth of the stars, a third of it to choose.

        Parameters
        ----------
        stars : ndarray of int of shape (n,)
        seed : int

        Returns
        -------
        Judges
        """
        names = np.unique(stars)
        chosen = np.random.default_rng(seed).permutation(names)[: len(names) // PARTS]
        groups = np.split(chosen, [-(-len(chosen) // CHOOSING)])
        return cls(stars, *(np.isin(stars, group) for group in groups))

    @property
    def left_out(self):
        """Rows of both groups."""
        return self.choosing | self.judging

    @property
    def can_judge(self):
        """Whether there are stars enough, two at least that judge."""
        return len(np.unique(self.stars[self.judging])) > 1

    def gain(self, gains, rows):
        """Mean gain over stars and its standard error.

        Parameters
        ----------
        gains : ndarray of shape (n_left_out,)
            Of the rows left out: by how much they are foretold better.
        rows : ndarray of bool of shape (n,)
            `choosing` or `judging`.

        Returns
        -------
        mean, error : float
        """
        gains = self._of_stars(gains, rows)
        return gains.mean(), gains.std(ddof=1) / np.sqrt(len(gains))

    def best(self, gains):
        """Index of the one of several lists of gains that is best for those choosing.

        Parameters
        ----------
        gains : list of ndarray of shape (n_left_out,)

        Returns
        -------
        int
        """
        return int(np.argmax([self._of_stars(g, self.choosing).mean() for g in gains]))

    def prove(self, gains):
        """Whether there is a gain by the stars that judge: a one-sided paired t-test.

        Parameters
        ----------
        gains : ndarray of shape (n_left_out,)

        Returns
        -------
        bool
        """
        mean, error = self.gain(gains, self.judging)
        n_stars = len(np.unique(self.stars[self.judging]))
        return bool(mean > student.ppf(SURE, n_stars - 1) * error)

    def _of_stars(self, gains, rows):
        """Mean over the rows of each star."""
        at = rows[self.left_out]
        _, star = np.unique(self.stars[rows], return_inverse=True)
        return np.bincount(star, gains[at]) / np.bincount(star)
