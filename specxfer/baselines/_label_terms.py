"""Flexible functions of a few labels, the flexibility chosen by cross-validation."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.preprocessing import PolynomialFeatures

from specxfer.linear._pixel_ridge import Problem
from specxfer.model_selection import StarKFold

__all__ = ["KernelTerms", "PolynomialTerms", "chosen_terms", "standardised"]

LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the kernel, over the norm of the relevances
DEGREES = (1, 2, 3)
MOST_TERMS = 150  # a long kernel holds the quadratic of many labels
N_LANDMARKS = 500
N_KERNEL = 120  # kernel components, at most
FAINT = 1e-8  # of the largest eigenvalue
CV_STARS, CV_PIXELS, CV_FOLDS = 2000, 100, 3
LEAST = 0.03  # relevance of a label, at least
REACH = 5.0  # deviations beyond which labels are taken as this


def standardised(labels, weight):
    """Mean and standard deviation of each label; 1 where it does not vary."""
    mean = np.average(labels, axis=0, weights=weight)
    spread = np.average((labels - mean) ** 2, axis=0, weights=weight)
    return mean, np.where(spread > 0, np.sqrt(spread), 1)


@dataclass(frozen=True)
class PolynomialTerms:
    """All products of labels up to a degree, but the constant.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.baselines._label_terms import PolynomialTerms
    >>> PolynomialTerms(2)(np.array([[2.0, 3.0]]))
    array([[2., 3., 4., 6., 9.]])
    """

    degree: int

    def __call__(self, z):
        """Terms of standardised labels (n, n_labels)."""
        terms = PolynomialFeatures(self.degree, include_bias=False)
        return terms.fit_transform(np.clip(z, -REACH, REACH))

    def __str__(self):
        return f"polynomial of degree {self.degree}"


@dataclass(frozen=True)
class KernelTerms:
    """The labels, and components of a Gaussian kernel on them.

    Ridge regression on these is kernel ridge regression in the approximation of
    Nyström: the kernel is known exactly between `landmarks` only.

    Parameters
    ----------
    landmarks : ndarray of shape (n_landmarks, n_labels)
        Times the relevance of each label.
    relevance : ndarray of shape (n_labels,)
        What standardised labels are multiplied with: those that change spectra little
        are far from making stars unlike.
    length : float
        Of the kernel.
    to_terms : ndarray of shape (n_landmarks, n_components)

    References
    ----------
    Williams & Seeger 2001, Advances in Neural Information Processing Systems 13, 682.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.baselines._label_terms import KernelTerms
    >>> z = np.linspace(-1, 1, 30)[:, None]
    >>> KernelTerms.of(z, np.ones(1), 0.5)(z).shape[0]
    30
    """

    landmarks: np.ndarray
    relevance: np.ndarray
    length: float
    to_terms: np.ndarray

    @classmethod
    def of(cls, landmarks, relevance, length):
        """With the components that landmarks, of standardised labels, have."""
        landmarks = np.clip(landmarks, -REACH, REACH) * relevance
        kernel = np.exp(-0.5 * cdist(landmarks, landmarks, "sqeuclidean") / length**2)
        values, vectors = np.linalg.eigh(kernel)
        kept = np.flatnonzero(values > FAINT * values[-1])[::-1][:N_KERNEL]
        return cls(
            landmarks, relevance, length, vectors[:, kept] / np.sqrt(values[kept])
        )

    def __call__(self, z):
        """Terms of standardised labels (n, n_labels)."""
        z = np.clip(z, -REACH, REACH)
        square = cdist(z * self.relevance, self.landmarks, "sqeuclidean")
        kernel = np.exp(-0.5 * square / self.length**2)
        components = kernel @ self.to_terms * np.sqrt(len(self.landmarks))
        return np.column_stack([z, components])

    def __str__(self):
        relevance = np.array2string(self.relevance, precision=2, suppress_small=True)
        return f"Gaussian kernel of length {self.length:.2g}, relevance {relevance}"


def chosen_terms(z, y, weight, stars, rng):
    """The terms that predict stars left out best, on a sample of stars and pixels.

    Parameters
    ----------
    z : ndarray of shape (n, n_labels)
        Standardised labels.
    y : Spectra of shape (n, n_pixels)
    weight : ndarray of shape (n,)
    stars : ndarray of int of shape (n,)
    rng : numpy.random.RandomState

    Returns
    -------
    PolynomialTerms or KernelTerms
    """
    order = rng.permutation(len(z))
    rows = np.sort(order[:CV_STARS])
    groups = np.unique(stars[rows], return_inverse=True)[1]
    n_folds = min(CV_FOLDS, groups.max() + 1)
    if n_folds < 2:
        return PolynomialTerms(1)
    some = y[rows].load()
    some = some[:, _telling_pixels(some, rng)]
    judge = _Judge(some, weight[rows])
    candidates = _candidates(z, z[order[:N_LANDMARKS]], judge.relevance(z[rows]))
    folds = [*StarKFold(n_folds).split(z[rows], groups=groups)]
    errors = np.array(
        [sum(judge(terms(z[rows]), *fold) for fold in folds) for terms in candidates]
    )
    typical = errors.mean(axis=0)
    errors = errors[:, typical > 0] / typical[typical > 0]
    return (
        candidates[int(errors.mean(axis=1).argmin())]
        if errors.size
        else (candidates[0])
    )


def _candidates(z, landmarks, relevance):
    n, n_labels = z.shape
    found = []
    for degree in DEGREES:
        terms = PolynomialTerms(degree)
        if degree == 1 or terms(z[:1]).shape[1] <= min(MOST_TERMS, n // 3):
            found.append(terms)
    alike = np.ones(n_labels)
    for weights in (alike, relevance) if n_labels > 1 else (alike,):
        size = np.sqrt((weights**2).sum())
        for length in LENGTHS:
            found.append(KernelTerms.of(landmarks, weights, length * size))
    return found


def _telling_pixels(y, rng):
    """A sample of the quarter of the pixels that vary most beyond their noise."""
    *_, variance = _moments(y)
    best = np.argsort(-variance, kind="stable")[: max(CV_PIXELS, y.shape[1] // 4)]
    return np.sort(rng.permutation(best)[:CV_PIXELS])


def _moments(y):
    """Weights, flux without NaN, and the variance of each pixel beyond its noise."""
    w = y.weights().astype(float)
    flux = np.where(w > 0, y.flux, 0)
    total = np.maximum(w.sum(axis=0), np.finfo(float).tiny)
    mean = (w * flux).sum(axis=0) / total
    noise = (w > 0).sum(axis=0) if y.has_noise else 0
    return w, flux, ((w * (flux - mean) ** 2).sum(axis=0) - noise) / total


class _Judge:
    """Squared errors of stars left out, with weights that are the same for all."""

    def __init__(self, y, weight):
        self.y, self.weight = y, weight
        w, self.flux, self.variance = _moments(y)
        if y.has_noise:  # stars of little noise must not rule
            w = w / (1 + w * np.maximum(self.variance, 0))
        self.w = w * weight[:, None]

    def relevance(self, z):
        """How much each label changes spectra, the most relevant 1."""
        coef = self._coef(z, np.arange(len(z)))[:-1]
        typical = np.sqrt(np.maximum(self.variance, 1e-12))
        effect = np.sqrt(((coef / typical) ** 2).mean(axis=1))
        return np.maximum(effect / max(effect.max(), 1e-12), LEAST)

    def __call__(self, u, train, test):
        """Of each pixel, for features u (n, k)."""
        coef = self._coef(u, train)
        left = self.flux[test] - u[test] @ coef[:-1] - coef[-1]
        return (self.w[test] * left**2).sum(axis=0)

    def _coef(self, u, train):
        """Coefficients of the features, and of 1, with learnt penalties."""
        problem = Problem.of(u[train], self.y[train], self.weight[train], "auto")
        return problem.turn @ problem.solve()[2]
