"""Intrinsic scatter that follows the strength of a star's lines."""

from dataclasses import dataclass

import numpy as np

DEPTH = 0.3  # beyond which a line's response grows little more
LEAST = 1e-4  # of a line's scatter, that stars without the line have
#: Sizes that are tried for each kind of star, from this part of the usual error on, to
#: so many errors beyond the largest that stands out.
SIZES, FINEST, MARGIN = 24, 0.05, 2
ROUNDS = 100
#: Before any pixel is seen: how likely there is no scatter, any size being as likely as
#: another; and how many pixels that is worth, lest few tell too much.
NONE, VAGUE = 0.9, 30
GROUP = 2000  # pixels of similar depth, of which the sizes have one distribution


@dataclass(frozen=True)
class LineScatter:
    r"""Variance of what the source cannot tell, for each pixel of each star.

    Two stars of equal source spectra differ in the abundances that the source does
    not show, by so much as their kind of star has it; and spectra differ by so much as
    the line responds to abundances, which a star without the line does not:

    .. math::
        \sigma^2_{ij} = a_j + r(f_{ij}) [(1 - g_i) b_j + g_i c_j]

    with the predicted flux :math:`f_{ij}`, how much the star is of one kind or the
    other, :math:`g_i`, and the `response` :math:`r`. What scatters alike in all stars,
    such as errors of the continuum, is a. No star has more than the strongest of lines,
    and one far from the training stars no less than the flat part.

    Parameters
    ----------
    flat : ndarray of shape (n_pixels,)
        a.
    line : ndarray of shape (2, n_pixels)
        b and c.
    """

    flat: np.ndarray
    line: np.ndarray

    def astype(self, dtype):
        """The same in another number format."""
        return LineScatter(self.flat.astype(dtype), self.line.astype(dtype))

    def __getitem__(self, pixels):
        return LineScatter(self.flat[pixels], self.line[:, pixels])

    def variance(self, flux, kind):
        """Variance of each star and pixel.

        Parameters
        ----------
        flux : ndarray of shape (n, n_pixels)
            Predicted.
        kind : ndarray of shape (n,)
            How much each star is of the second kind, 0 to 1.

        Returns
        -------
        ndarray of shape (n, n_pixels)
        """
        kind = kind.astype(self.flat.dtype)[:, None]
        total = np.repeat(self.flat[None], len(flux), axis=0)
        size = kind * (self.line[1] - self.line[0])
        size += self.line[0]
        size *= response(flux)
        total += size
        return total


def response(flux):
    """How much the variance of a line responds to abundances, 0 to 1.

    The depth of a line grows in proportion to its absorbers while it is weak, and with
    their logarithm when it saturates, as ``DEPTH ln(1 + τ)`` does. With ln τ it changes
    by ``DEPTH (1 − exp(−depth / DEPTH))``, of which this is the square, but for DEPTH.
    It is 0 for a flux above 1.

    Parameters
    ----------
    flux : ndarray of shape (n, n_pixels)
        Predicted.

    Returns
    -------
    ndarray of shape (n, n_pixels)
    """
    r = np.clip(flux, 0, 1)
    r -= 1
    r /= r.dtype.type(DEPTH)
    np.expm1(r, out=r)
    r *= r
    return r


class ScatterSums:
    """Sums over stars that a `LineScatter` follows from, in one pass over blocks.

    Parameters
    ----------
    n_pixels : int
    """

    def __init__(self, n_pixels):
        # of weight, of the one kind and the other; times response; times its square
        self.weight, self.first = np.zeros((2, n_pixels)), np.zeros((2, n_pixels))
        self.second = np.zeros((3, n_pixels))
        # of weight times excess; times response
        self.flat, self.excess = np.zeros(n_pixels), np.zeros((2, n_pixels))

    def add(self, flux, excess, weight, kind, pixels=slice(None)):
        """Add a block of stars.

        Parameters
        ----------
        flux : ndarray of shape (n, n_pixels)
            Predicted.
        excess : ndarray of shape (n, n_pixels)
            Leave-one-star-out residual² less all variance that is not scatter.
        weight : ndarray of shape (n, n_pixels)
            Inverse variance of `excess`, but for a factor; 0 where masked.
        kind : ndarray of shape (n,)
            How much each star is of the second kind, 0 to 1.
        pixels : slice, optional
            Which pixels these are.
        """
        g = kind.astype(flux.dtype)
        kinds, squares = np.stack([1 - g, g]), np.stack([(1 - g) ** 2, g - g**2, g**2])
        product = weight * excess
        self.weight[:, pixels] += kinds @ weight
        self.flat[pixels] += np.ones(len(flux), flux.dtype) @ product
        r = response(flux)
        product *= r
        self.excess[:, pixels] += kinds @ product
        np.multiply(weight, r, out=product)
        self.first[:, pixels] += kinds @ product
        product *= r
        self.second[:, pixels] += squares @ product

    def take_off(self, variance):
        """Take off a variance that is alike in all stars, (n_pixels,)."""
        self.flat -= variance * self.weight.sum(axis=0)
        self.excess -= variance * self.first

    def scale(self, factor):
        """Multiply the excess, (n_pixels,) or a number."""
        self.flat *= factor
        self.excess *= factor

    def solve(self, unit):
        """The scatter to be expected.

        Each pixel has the posterior mean over sizes: of scatter that all stars have, or
        of that of lines, in both kinds of star. The prior is how the sizes of pixels of
        similar depth are distributed: the nonparametric maximum-likelihood estimate of
        Kiefer & Wolfowitz 1956 (Ann. Math. Stat. 27, 887), found as by Koenker & Mizera
        2014 (JASA 109, 674) on a grid. The scatter of most pixels is less than the
        error to which some thousand noisy stars tell it. Were only sizes below 0 cut
        off, what noise adds would stay where it is taken for scatter, and be lost where
        it is not.

        Parameters
        ----------
        unit : ndarray of shape (n_pixels,)
            What `weight` is multiplied with to be the inverse variance of `excess`.

        Returns
        -------
        LineScatter
        """
        flat, weight, first, second, excess = (
            unit * sums
            for sums in (self.flat, self.weight, self.first, self.second, self.excess)
        )
        total = weight.sum(axis=0)
        known = np.where(total > 0, total, 1)
        # lines, with the little that stars without them have
        least = LEAST * weight / known
        bottom = second.copy()
        bottom[::2] += least * (2 * first + total * least)
        bottom[1] += least[0] * first[1] + least[1] * first[0]
        bottom[1] += total * least[0] * least[1]
        told = flat, total, excess + least * flat, bottom
        found, line = np.zeros_like(flat), np.zeros_like(first)
        order = np.argsort(first.sum(axis=0) / known)
        order = order[total[order] > 0]
        for some in np.array_split(order, max(1, len(order) // GROUP)):
            found[some], line[:, some] = _expected(*(a[..., some] for a in told))
        return LineScatter(found + (least * line).sum(axis=0), line)

    def mean(self, scatter):
        """Mean variance of each pixel, (n_pixels,)."""
        total = self.weight.sum(axis=0)
        total = np.where(total > 0, total, 1)
        return scatter.flat + (scatter.line * self.first).sum(axis=0) / total


def _grid(top, bottom):
    """Sizes to try, 0 among them."""
    told = bottom > 0
    if not told.any():
        return np.zeros(1)
    error = 1 / np.sqrt(bottom[told])
    found = top[told] / bottom[told]
    low = FINEST * np.median(error)
    out = found > MARGIN * error
    high = (found + MARGIN * error).max(where=out, initial=MARGIN * np.median(error))
    return np.r_[0, np.geomspace(low, high, SIZES)]


def _expected(flat, weight, top, bottom):
    """Posterior means of the size of all stars (n_pixels,) and of lines (2, n_pixels).

    Parameters
    ----------
    flat, weight : ndarray of shape (n_pixels,)
        The log-likelihood of a size s that all stars have is
        ``flat s − weight s² / 2``.
    top : ndarray of shape (2, n_pixels)
    bottom : ndarray of shape (3, n_pixels)
        That of sizes of lines in either kind of star is
        ``Σ top s − Σ bottom s s' / 2``, with their product in the middle of `bottom`.
    """
    one = _grid(flat, weight)
    two = (_grid(t, b) for t, b in zip(top, bottom[::2]))
    two = np.stack(np.meshgrid(*two, indexing="ij")).reshape(2, -1)
    squares = np.stack([two[0] ** 2, 2 * two[0] * two[1], two[1] ** 2])
    likelihood = np.concatenate(
        [
            np.outer(one, flat) - np.outer(one**2 / 2, weight),
            two.T @ top - (squares / 2).T @ bottom,
        ]
    )
    likelihood -= likelihood.max(axis=0)
    np.exp(likelihood, out=likelihood)
    share = np.concatenate([_vague(one[None]), _vague(two)]) / 2
    share = likelihood * _prior(likelihood, share)[:, None]
    share /= share.sum(axis=0)
    return one @ share[: len(one)], two @ share[len(one) :]


def _vague(sizes):
    """How likely cells are before any pixel is seen."""
    none = (sizes == 0).all(axis=0)
    return np.where(none, NONE, (1 - NONE) / max(1, np.sum(~none)))


def _prior(likelihood, vague):
    """How often each cell occurs, from likelihoods (n_cells, n_pixels) and a guess."""
    n_pixels = likelihood.shape[1]
    prior = vague
    for _ in range(ROUNDS if n_pixels else 0):
        counts = prior * (likelihood @ (1 / (prior @ likelihood)))
        prior = (counts + VAGUE * vague) / (n_pixels + VAGUE)
    return prior


def lines_of(flux):
    """Which line each pixel belongs to: from one local maximum to the next.

    Parameters
    ----------
    flux : ndarray of shape (n_pixels,)
        Mean spectrum, free of noise.

    Returns
    -------
    ndarray of int of shape (n_pixels,)
        Counted from 0, never falling.
    """
    rises = np.diff(flux) > 0
    starts = np.zeros(len(flux), dtype=int)
    starts[1:-1] = rises[:-1] & ~rises[1:]
    return np.cumsum(starts)


def shared_in_lines(values, lines):
    """Sums over lines and rows of ``(Σ v)² − Σ v²``: what pixels of a line share.

    Parameters
    ----------
    values : ndarray of shape (n, n_pixels)
    lines : ndarray of int of shape (n_pixels,)

    Returns
    -------
    float
    """
    first = np.flatnonzero(np.diff(lines, prepend=-1))
    together = np.add.reduceat(values, first, axis=1).astype(float)
    return float((together**2).sum() - np.square(values, dtype=float).sum())


def relative(variance, mean):
    """A variance over its mean; 1 where that is 0."""
    return np.divide(variance, mean, out=np.ones_like(variance), where=mean > 0)
