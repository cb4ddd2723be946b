"""Ridge penalties learnt from the coefficients, on features turned for it."""

import numpy as np
from scipy import linalg

from specxfer._threads import in_parallel


def turned(u, star_weight, coef, deviation):
    """The features turned so that few of them tell the pixels most, (k, k).

    Centred and whitened, features have coefficients of equal sampling variance; the
    eigenvectors of these coefficients over their noise then are, in order, the
    combinations of features that pixels listen to (reduced-rank regression; Izenman
    1975, J. Multivar. Anal. 5, 248). ``u @ turn`` has unit variance in each column but
    the last, which stays 1.

    Parameters
    ----------
    u : ndarray of shape (n, k)
    star_weight : ndarray of shape (n,)
    coef : ndarray of shape (k, n_pixels)
    deviation : ndarray of shape (n_pixels,)

    Returns
    -------
    ndarray of shape (k, k)
    """
    total = star_weight.sum()
    mean = star_weight @ u[:, :-1] / total
    v = u[:, :-1] - mean
    gram = (v * star_weight[:, None]).T @ v
    root = np.linalg.cholesky(gram + np.eye(len(gram)))
    deviation = np.where(deviation > 0, deviation, np.inf)
    heard = root.T @ coef[:-1] / deviation
    axes = np.linalg.eigh(heard @ heard.T)[1][:, ::-1]
    turn = np.zeros((len(gram) + 1, len(gram) + 1))
    turn[:-1, :-1] = np.sqrt(total) * linalg.solve_triangular(
        root, axes, trans="T", lower=True
    )
    turn[-1, :-1] = -mean @ turn[:-1, :-1]
    turn[-1, -1] = 1
    return turn


def learnt_penalty(coef, diagonal, unit):
    """Penalties from the coefficients themselves, by empirical Bayes.

    Coefficient k of pixel j is taken to come from N(0, a_j π_k + c_j): how much the
    pixel follows what feature k tells all pixels, and how much it has to say of its
    own. π_k is the mean signal of the feature, from nearly unpenalised coefficients
    whose sampling variance is known; a_j and c_j are those of the highest marginal
    likelihood on a grid, c_j where it earns its keep (Akaike). The penalty is the
    ratio of noise to prior variance. A pixel without signal so falls back to its mean,
    and a line keeps its full strength (Efron & Morris 1973, JASA 68, 117).

    Parameters
    ----------
    coef : ndarray of shape (k, n_pixels)
        With a penalty of 1; the last is the intercept.
    diagonal : ndarray of shape (k, n_pixels) or (k, 1)
        Of the inverse of the normal equations.
    unit : ndarray of shape (n_pixels,)
        Variance that it is to be multiplied with.

    Returns
    -------
    ndarray of shape (k, n_pixels)
    """
    k, p = coef.shape
    variance = diagonal[:-1] * unit
    usual = np.maximum(variance.mean(axis=0), np.finfo(np.float32).tiny)
    variance = variance / usual  # from here in units of each pixel's usual variance
    square = np.minimum(coef[:-1] ** 2 / usual, 1e12)
    share = np.maximum((square - variance).mean(axis=1), 0)[:, None]
    share = np.maximum(share / max(share.max(), np.finfo(float).tiny), 1e-4)
    prior = np.zeros((k - 1, p))
    variance = np.broadcast_to(variance, square.shape)

    def one(start):
        pixels = slice(start, start + 512)
        common, own = _likeliest(square[:, pixels], variance[:, pixels], share)
        prior[:, pixels] = common * share + own

    in_parallel(one, range(0, p, 512))
    penalty = np.zeros((k, p))
    penalty[:-1] = unit / usual / np.maximum(prior, 1e-9)
    return penalty


def _likeliest(square, variance, share):
    """Where `square` / (variance + a share + c) is most like χ² of one: a and c."""
    top = np.log10(max(square.max(), 1.0) / share.max()) + 1
    common_levels = [0, *10 ** np.arange(-1.5, top, 0.5)]
    own_levels = [0, *10.0 ** np.arange(-1, top)]
    variance = np.maximum(variance, 1e-6)
    square, variance, share = (x.astype("f4") for x in (square, variance, share))
    p = square.shape[1]
    best, common, own = np.full(p, np.inf), np.zeros(p), np.zeros(p)
    for a in common_levels:
        for c in own_levels:
            total = variance + np.float32(a) * share + np.float32(c)
            misfit = (np.log(total) + square / total).sum(axis=0) + 2 * (c > 0)
            better = misfit < best
            best[better], common[better], own[better] = misfit[better], a, c
    return common, own
