"""`Mixture`: a few Gaussians, learnt from numbers that are only known through noise."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

__all__ = ["Mixture"]

MOST = 4  # Gaussians
STARS = 2500  # that are learnt from
ROUNDS = 100  # at most
STEADY = 3e-4  # gain in the log-likelihood of a star that is not worth a round
FEW = 800  # stars by which beginnings are tried
TRIED = 8  # rounds for each beginning of one more Gaussian
TAIL = 0.1  # of the stars, that it begins with
FAINT = 1e-6  # variance of what is not seen at all
SIDES = 4  # leading numbers whose tails are tried


class Mixture(NamedTuple):
    """A mixture of Gaussians.

    Attributes
    ----------
    share : ndarray of shape (k,)
    mean : ndarray of shape (k, d)
    covariance : ndarray of shape (k, d, d)

    Notes
    -----
    Its likeliest parameters given noisy numbers, each star with a precision matrix of
    its own, are found by expectation and maximisation (Bovy, Hogg & Roweis 2011, Ann.
    Appl. Stat. 5, 1657), here as if d more stars that are N(0, 1) were of each
    Gaussian.
    """

    share: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def standard(cls, d):
        """N(0, 1) of d numbers."""
        return cls(np.ones(1), np.zeros((1, d)), np.eye(d)[None])

    @classmethod
    def of(cls, information, weight, others):
        """As many Gaussians as other stars find better than one less.

        By more than the standard error of what they gain.

        Parameters
        ----------
        information : Information
            Of the stars to learn from; the numbers are about N(0, 1).
        weight : ndarray of shape (n,)
        others : Information
            Of stars that choose the number of Gaussians.

        Returns
        -------
        Mixture
            `standard`, if more than one do not pay.
        """
        some = every(len(weight), STARS)
        information, weight = information[some], weight[some]
        d, n_few = information.eta.shape[1], len(weight[every(len(weight), FEW)])
        best = cls.standard(d)
        reached = best.log_likelihood(others)
        most = min(MOST, (n_few - 1) // d)  # each has more stars than numbers
        while len(best.share) < most:
            more = best._with_one_more(information, weight)
            likelihood = more.log_likelihood(others)
            gain = likelihood - reached
            if gain.mean() <= gain.std() / np.sqrt(len(gain)):
                break
            best, reached = more, likelihood
        return best

    def log_likelihood(self, information):
        """Of what is seen of each star, but for a constant of its own, (n,)."""
        return logsumexp(self._posterior(information)[0], axis=0)

    def draws(self, information, n_draws, rng):
        """Of the numbers behind what is seen of each star.

        Parameters
        ----------
        information : Information of n stars
        n_draws : int
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of shape (n, n_draws, d)
        """
        logs, means, covariances = self._posterior(information)
        n, d = information.eta.shape
        below = np.exp(logs - logsumexp(logs, axis=0)).cumsum(axis=0)[:-1]
        roots, rows = np.linalg.cholesky(covariances), np.arange(n)
        draws = np.empty((n, n_draws, d))
        for i in range(n_draws):
            which = (rng.random(n) > below).sum(axis=0)
            white = rng.standard_normal((n, d, 1))
            draws[:, i] = means[which, rows] + (roots[which, rows] @ white)[:, :, 0]
        return draws

    def axes(self, heard):
        """Axes along which what is seen of the numbers tells the Gaussians apart.

        Parameters
        ----------
        heard : ndarray of shape (d, d)
            By what numbers N(0, 1) are shrunk, on average, to their posterior means.

        Returns
        -------
        ndarray of shape (d, d)
            Columns, along which posterior means are uncorrelated; those first in which
            means and covariances of the Gaussians differ most.
        """
        d = len(heard)
        apart = (self.mean - self.share @ self.mean) @ heard.T
        between = (self.share * apart.T) @ apart
        usual = np.tensordot(self.share, self.covariance, axes=1)
        wider = heard @ (self.covariance - usual) @ heard.T
        white = np.linalg.inv(np.linalg.cholesky(heard + between + FAINT * np.eye(d)))
        wider = white @ wider @ white.T
        matters = white @ between @ white.T
        matters += np.tensordot(self.share, wider @ wider, axes=1)
        return white.T @ np.linalg.eigh(matters)[1][:, ::-1]

    def state(self):
        """The buffers of a `networks.MixtureScore`.

        Returns
        -------
        dict of str to ndarray
        """
        values, axes = np.linalg.eigh(self.covariance)
        return {
            "share": self.share,
            "mean": self.mean,
            "stretch": values - 1,
            "axes": axes,
        }

    def _posterior(self, information):
        """Log-weight, mean and covariance of each star's numbers, for each Gaussian."""
        eta, precision = information
        logs, means, covariances = [], [], []
        for share, mean, prior in zip(*self):
            inverse = np.linalg.inv(prior)
            covariance = np.linalg.inv(inverse + precision)
            sums = eta + inverse @ mean
            found = (covariance @ sums[:, :, None])[:, :, 0]
            log = np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(prior)[1]
            log += (sums * found).sum(axis=1) - mean @ inverse @ mean
            logs.append(np.log(share) + log / 2)
            means.append(found)
            covariances.append(covariance)
        return np.stack(logs), np.stack(means), np.stack(covariances)

    def _with_one_more(self, information, weight):
        """The likeliest of several that begin with one more Gaussian, in some tail."""
        some = every(len(weight), FEW)
        few, of_few = information[some], weight[some]
        logs, means, covariances = self._posterior(few)
        member = np.exp(logs - logsumexp(logs, axis=0))
        usual = (member[:, :, None] * means).sum(axis=0)
        each = [np.concatenate([a, a[:1]]) for a in (means, covariances)]
        tried = []
        for along in usual.T[:SIDES]:
            for side in (along, -along):
                tail = 0.8 * (side > np.quantile(side, 1 - TAIL)) + 0.1
                shares = np.concatenate([member * (1 - tail), tail[None]])
                begun = self._maximised(shares * of_few, *each)
                tried.append(begun._improved(few, of_few, TRIED))
        likelihood = [of_few @ m.log_likelihood(few) for m in tried]
        return tried[np.argmax(likelihood)]._improved(information, weight, ROUNDS)

    def _improved(self, information, weight, rounds):
        """Likelier, by so many rounds or until they hardly change it."""
        found, before, (n, d) = self, -np.inf, information.eta.shape
        for _ in range(rounds):
            logs, *each = found._posterior(information)
            reached = logsumexp(logs, axis=0)
            now = np.average(reached, weights=weight)
            if now < before + STEADY:
                break
            before, member = now, np.exp(logs - reached) * weight
            held = member.sum(axis=1) * n / weight.sum() > d
            found = found._maximised(*(a[held] for a in (member, *each)))
        return found

    @staticmethod
    def _maximised(member, means, covariances):
        """The likeliest, if stars are of each Gaussian so much, and there."""
        n, d = means.shape[1:]
        member = member * n / member.sum()
        total = member.sum(axis=1)
        mean = (member[:, :, None] * means).sum(axis=1) / (total[:, None] + d)
        covariance = np.empty((len(total), d, d))
        for k, held in enumerate(mean):
            left = means[k] - held
            square = (member[k, :, None] * left).T @ left
            square += np.tensordot(member[k], covariances[k], axes=1)
            square += d * (np.eye(d) + np.outer(held, held))
            covariance[k] = square / (total[k] + d)
        return Mixture(total / total.sum(), mean, covariance)


def every(n, most):
    """Every so many-th of n stars, at most so many."""
    return slice(None, None, -(-n // most))
