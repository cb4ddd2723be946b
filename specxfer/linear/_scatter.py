"""Intrinsic scatter that follows the strength of a star's lines."""

from dataclasses import dataclass

import numpy as np

#: Flat parts that are tried, as the response of a line that scatters as much.
FLAT = np.array([0.003, np.inf])
#: Sizes that are tried: so many, from this part of the usual error on, to so many
#: errors beyond the largest that is found.
SIZES, FINEST, MARGIN = 100, 0.02, 2
ROUNDS = 100
#: Before any pixel is seen: how likely there is no scatter, any size being as likely as
#: another; and how many pixels that is worth, lest few tell too much.
NONE, VAGUE = 0.9, 30
SAMPLE = 4000  # pixels that are enough to tell how sizes are distributed


@dataclass(frozen=True)
class LineScatter:
    r"""Variance of what the source cannot tell, for each pixel of each star.

    Two stars of equal source spectra differ in the abundances that the source does
    not show. An absorption :math:`f = \exp(-\tau)` of which
    :math:`\ln\tau` scatters by :math:`\sigma` scatters itself by
    :math:`\sigma |f \ln f|`: much where the line is strong, not at all where the star
    has none. What scatters alike in all stars, such as errors of the continuum, is
    added:

    .. math:: \sigma^2_{ij} = a_j + b_j (f_{ij} \ln f_{ij})^2

    with the predicted flux :math:`f_{ij}`, so that one model holds in giants and in
    dwarfs. Beyond f = 1/e the response stays what it is there; it is 0 for f above 1.
    So no star has more than the strongest of lines, and one far from the training
    stars no less than the flat part.

    Parameters
    ----------
    flat, line : ndarray of shape (n_pixels,)
        a and b.
    """

    flat: np.ndarray
    line: np.ndarray

    def astype(self, dtype):
        """The same in another number format."""
        return LineScatter(self.flat.astype(dtype), self.line.astype(dtype))

    def __getitem__(self, pixels):
        return LineScatter(self.flat[pixels], self.line[pixels])

    def variance(self, flux):
        """Variance of each star and pixel.

        Parameters
        ----------
        flux : ndarray of shape (n, n_pixels)
            Predicted.

        Returns
        -------
        ndarray of shape (n, n_pixels)
        """
        return self.flat + self.line * response(flux)


def response(flux):
    """``(f ln f)²``, (n, n_pixels), of the predicted flux."""
    flux = np.clip(flux, np.exp(-1, dtype=flux.dtype), 1)
    flux *= np.log(flux)
    flux *= flux
    return flux


class ScatterSums:
    """Sums over stars that a `LineScatter` follows from, in one pass over blocks.

    Parameters
    ----------
    n_pixels : int
    """

    def __init__(self, n_pixels):
        # of weight times 1, h and h²; of weight times excess times 1 and h
        self.moments = np.zeros((3, n_pixels))
        self.excess = np.zeros((2, n_pixels))

    def add(self, flux, excess, weight, pixels=slice(None)):
        """Add a block of stars.

        Parameters
        ----------
        flux : ndarray of shape (n, n_pixels)
            Predicted.
        excess : ndarray of shape (n, n_pixels)
            Leave-one-star-out residual² less all variance that is not scatter.
        weight : ndarray of shape (n, n_pixels)
            Inverse variance of `excess`, but for a factor; 0 where masked.
        pixels : slice, optional
            Which pixels these are.
        """
        h, one = response(flux), np.ones(len(flux), flux.dtype)
        weighted = weight * excess
        self.excess[0, pixels] += one @ weighted
        weighted *= h
        self.excess[1, pixels] += one @ weighted
        self.moments[0, pixels] += one @ weight
        np.multiply(weight, h, out=weighted)
        self.moments[1, pixels] += one @ weighted
        weighted *= h
        self.moments[2, pixels] += one @ weighted

    def take_off(self, variance):
        """Take off a variance that is alike in all stars, (n_pixels,)."""
        self.excess -= variance * self.moments[:2]

    def solve(self, unit):
        """The scatter to be expected.

        Each pixel has the posterior mean over the flat parts of `FLAT` (relative to the
        line's) and over sizes, of which the prior is how the sizes of all pixels are
        distributed: the nonparametric maximum-likelihood estimate of Kiefer & Wolfowitz
        1956 (Ann. Math. Stat. 27, 887), found as by Koenker & Mizera 2014 (JASA 109,
        674) on a grid. The scatter of most pixels is less than the error to which some
        thousand noisy stars tell it. Were only sizes below 0 cut off, what noise adds
        would stay where it is taken for scatter, and be lost where it is not.

        Parameters
        ----------
        unit : ndarray of shape (n_pixels,)
            What `weight` is multiplied with to be the inverse variance of `excess`.

        Returns
        -------
        LineScatter
        """
        flat, line = _shapes()
        s0, s1, s2 = self.moments
        top = flat[:, None] * self.excess[0] + line[:, None] * self.excess[1]
        bottom = (
            flat[:, None] ** 2 * s0
            + 2 * (flat * line)[:, None] * s1
            + line[:, None] ** 2 * s2
        )
        size = _expected_sizes(unit * top, unit * bottom)
        return LineScatter(
            (size * flat[:, None]).sum(axis=0), (size * line[:, None]).sum(axis=0)
        )

    def mean(self, scatter):
        """Mean variance of each pixel, (n_pixels,)."""
        s0 = np.where(self.moments[0] > 0, self.moments[0], 1)
        return scatter.flat + scatter.line * self.moments[1] / s0


def _shapes():
    """Flat and line part of each shape, the larger of which is 1."""
    flat = np.minimum(FLAT, 1e3) ** 2
    line = np.where(np.isfinite(FLAT), 1.0, 0.0)
    return np.where(line > 0, flat, 1.0), line


def _expected_sizes(top, bottom):
    """Posterior mean of the size of each shape, (n_shapes, n_pixels).

    Parameters
    ----------
    top, bottom : ndarray of shape (n_shapes, n_pixels)
        The log-likelihood of a size is ``size top − size² bottom / 2``.
    """
    told = bottom > 0
    found = np.divide(top, bottom, out=np.zeros_like(top), where=told)
    error = np.divide(1, np.sqrt(bottom), out=np.zeros_like(top), where=told)
    grids, gains = [], []
    for i in range(len(top)):
        high = (found[i] + MARGIN * error[i]).max(initial=0)
        low = FINEST * np.median(error[i][told[i]]) if told[i].any() else 0
        grid = np.geomspace(low, high, SIZES) if high > low > 0 else np.array([high])
        grids.append(np.r_[0, grid])
        gains.append(np.outer(grids[-1], top[i]))
        gains[-1] -= 0.5 * np.outer(grids[-1] ** 2, bottom[i])
    likelihood = np.concatenate(gains)
    likelihood = np.exp(likelihood - likelihood.max(axis=0))
    start = np.cumsum([0, *map(len, grids)])
    vague = np.full(len(likelihood), (1 - NONE) / (len(likelihood) - len(grids)))
    vague[start[:-1]] = NONE / len(grids)
    share = likelihood * _prior(likelihood[:, told.any(axis=0)], vague)[:, None]
    share /= share.sum(axis=0)
    return np.stack([g @ share[a:b] for g, a, b in zip(grids, start, start[1:])]) * told


def _prior(likelihood, vague):
    """How often each cell occurs, from likelihoods (n_cells, n_pixels) and a guess."""
    n_all = likelihood.shape[1]
    likelihood = likelihood[:, :: max(1, n_all // SAMPLE)]
    n_pixels = likelihood.shape[1]
    guessed = VAGUE * n_pixels / max(n_all, 1)
    prior = vague
    for _ in range(ROUNDS if n_pixels else 0):
        counts = prior * (likelihood @ (1 / (prior @ likelihood)))
        prior = (counts + guessed * vague) / (n_pixels + guessed)
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
