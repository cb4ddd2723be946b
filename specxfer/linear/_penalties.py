"""Ridge penalties: learnt from the coefficients, or chosen from several."""

import numpy as np
from scipy import linalg

from specxfer._threads import in_parallel
from specxfer.linear._residuals import few_stars, leave_one_star_out

STARS_PER_PRODUCT = 12  # at least
FAVOUR = 10.0  # how much more pixels that matter most count than all others together


def turned(u, star_weight, coef, deviation, first=None):
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
    first : ndarray of bool of shape (n_pixels,), optional
        Pixels that matter most: the turn is theirs, `FAVOUR` times as much as that of
        all others.

    Returns
    -------
    ndarray of shape (k, k)
    """
    total = star_weight.sum()
    mean = star_weight @ u[:, :-1] / total
    v = u[:, :-1] - mean
    gram = (v * star_weight[:, None]).T @ v
    # a star's worth, so that features that hang together have a root
    own = np.trace(gram) / (total * len(gram)) or 1.0
    root = np.linalg.cholesky(gram + own * np.eye(len(gram)))
    deviation = np.where(deviation > 0, deviation, np.inf)
    heard = root.T @ coef[:-1] / deviation
    loud = heard @ heard.T
    if first is not None:
        of_first = heard[:, first] @ heard[:, first].T
        others = max(np.trace(loud) - np.trace(of_first), 0)
        loud += FAVOUR * others / (np.trace(of_first) or 1.0) * of_first
    # what no pixel listens to stays in order
    tie = 1e-6 * np.trace(loud) / len(loud) * np.linspace(1, 0, len(loud))
    axes = np.linalg.eigh(loud + np.diag(tie))[1][:, ::-1]
    turn = np.zeros((len(gram) + 1, len(gram) + 1))
    turn[:-1, :-1] = np.sqrt(total) * linalg.solve_triangular(
        root, axes, trans="T", lower=True
    )
    turn[-1, :-1] = -mean @ turn[:-1, :-1]
    turn[-1, -1] = 1
    return turn


def rotated(u, star_weight):
    """The features centred and rotated to their principal axes, (k, k).

    A ridge penalty does not see a rotation, but leverages do: products of different
    columns of ``u @ turn`` average out over the stars, as they must where leverages are
    worked out from the diagonal alone.

    Parameters
    ----------
    u : ndarray of shape (n, k)
    star_weight : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (k, k)
    """
    mean = star_weight @ u[:, :-1] / star_weight.sum()
    v = u[:, :-1] - mean
    axes = np.linalg.eigh((v * star_weight[:, None]).T @ v)[1][:, ::-1]
    turn = np.eye(u.shape[1])
    turn[:-1, :-1] = axes
    turn[-1, :-1] = -mean @ axes
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
    share = np.maximum(share / max(share.max(), np.finfo(float).tiny), 1e-6)
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


def listened_axes(u, star_weight, coef, deviation, n_axes):
    """Directions among the scores that the target pixels listen to most.

    Those of `turned`, made orthonormal in the scores' own units: along each a star
    without information has mean 0 and variance 1, as for the scores.

    Parameters
    ----------
    u : ndarray of shape (n, k + 1)
        Scores; the last column is 1.
    star_weight : ndarray of shape (n,)
    coef : ndarray of shape (k + 1, n_pixels)
    deviation : ndarray of shape (n_pixels,)
    n_axes : int

    Returns
    -------
    ndarray of shape (k, q), q = min(n_axes, k)
    """
    axes = turned(u, star_weight, coef, deviation)[:-1, :-1]
    return np.linalg.qr(axes[:, :n_axes])[0]


def affordable_axes(n_axes, n_components, n_stars):
    """How many axes are multiplied with each other, if stars are few.

    Penalties are learnt from coefficients that hardly have any: where stars are few
    for their number, products cost more than curvature is worth.

    Parameters
    ----------
    n_axes : int
        Asked for.
    n_components : int
    n_stars : int

    Returns
    -------
    int
        So many that there are `STARS_PER_PRODUCT` stars for each product, and two for
        each feature.
    """
    n_products = min(n_stars / STARS_PER_PRODUCT, n_stars / 2 - n_components)
    most = (np.sqrt(8 * max(n_products, 0) + 1) - 1) / 2
    return int(min(n_axes, n_components, most))


def free_intercept(k, alpha):
    """The same penalty for all features but the last, which is 1.

    Parameters
    ----------
    k : int
    alpha : float or ndarray of shape (n_pixels,)

    Returns
    -------
    ndarray of shape (k, 1) or (k, n_pixels)
    """
    penalty = np.repeat(np.atleast_1d(alpha)[None].astype(float), k, axis=0)
    penalty[-1] = 0
    return penalty


def chosen_alpha(
    alphas, select, per_pixel, u, y, star_weight, scatter, equations, stars
):
    """The penalty of least error, of stars left out or by generalised validation.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
    select : {"gcv", "loo"}
    per_pixel : bool
    u : ndarray of shape (n, k)
    y : Spectra of shape (n, n_pixels)
    star_weight : ndarray of shape (n,)
    scatter : ndarray of shape (n_pixels,)
    equations : NormalEquations
    stars : ndarray of int of shape (n,)

    Returns
    -------
    float or ndarray of shape (n_pixels,)
    """
    k = u.shape[1]
    exact = few_stars(equations, k) if select == "loo" else None
    rows_per_star = np.average(np.bincount(stars)[stars], weights=star_weight)
    errors = np.empty((len(alphas), y.shape[1]))
    for i, alpha in enumerate(alphas):
        penalty = free_intercept(k, alpha)
        solution = equations.solve(penalty, exact)
        if select == "gcv":
            errors[i] = _gcv(equations, penalty, solution, rows_per_star)
        else:
            errors[i] = leave_one_star_out(
                u, y, star_weight, scatter, equations, solution, exact, stars
            ).raw
    if per_pixel:
        return alphas[errors.argmin(axis=0)]
    known = equations.scale > 0
    weight = equations.count[known] / equations.scale[known]
    return float(alphas[(errors[:, known] @ weight).argmin()])


def _gcv(equations, penalty, solution, rows_per_star):
    """Generalised cross-validation: mean squared residual over (1 − tr H / n)²."""
    coef, diagonal, _ = solution
    coef = coef.copy()
    coef[-1] -= equations.mean
    # (G + Λ) b = r, so the sum of squared residuals is y² − b·r − bᵀ Λ b
    left = equations.square - (coef * equations.right).sum(axis=0)
    left = np.maximum(left - (penalty * coef**2).sum(axis=0), 0)
    count = np.maximum(equations.count, 1)
    trace = len(coef) - (penalty * diagonal).sum(axis=0)
    free = np.maximum(1 - rows_per_star * trace / count, 1e-3)
    return left / count / free**2
