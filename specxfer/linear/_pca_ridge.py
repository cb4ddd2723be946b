"""`PCARidge`: principal components of the source, ridge to every target pixel."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from specxfer._stars import star_codes
from specxfer.base import Translator
from specxfer.linear._pixel_ridge import fit_pixel_ridge
from specxfer.linear._products import with_products
from specxfer.linear._scores import fit_scores


class PCARidge(Translator):
    """PCA of the source, then a ridge to each target pixel.

    A star's scores on the source's principal components are their posterior mean
    given that star's own noise and masks; each target pixel is a ridge regression on
    the scores, weighted by that pixel's inverse variance. The baseline every other
    translator has to beat, with an uncertainty that knows its three parts: the
    coefficients', the source noise carried through, and what the source cannot tell.
    Products of the leading scores, penalised like the rest, follow the curvature of
    saturated lines.

    Parameters
    ----------
    n_components : int, default=50
        Principal components of the source, at most; fewer where there are fewer
        stars (less one) or pixels. Stars without a target, and those of `source` in
        `fit`, help to find them.
    alpha : "auto" or float, default="auto"
        Ridge penalty on whitened scores, with weights of mean 1 per pixel. "auto"
        learns a penalty for each pixel and component from all coefficients
        together (empirical Bayes): a pixel without signal keeps to its mean, a strong
        line is not held back.
    n_products : int, default=6
        How many leading scores are multiplied with each other for further features;
        0 for a purely linear translator.
    n_factors : int, default=20
        Directions, at most, in which residuals of different pixels are found to vary
        together.
    max_iter : int, default=20
        Passes over the source, at most, to find its components.
    tol : float, default=3e-4
        Relative change of the variance captured that ends them.
    random_state : int, RandomState instance or None, default=0
        Starts the search for components. The result depends on it by less than
        `tol`.

    Attributes
    ----------
    n_components_ : int
        Components found.
    n_iter_ : int
        Passes made over the source.
    components_ : ndarray of shape (n_components_, n_features_in_)
        Components times the square root of their variance, continuum units.
    mean_ : ndarray of shape (n_features_in_,)
        Mean source spectrum.
    coef_ : ndarray of shape (n_terms, n_pixels_out_)
        Ridge coefficients of the whitened scores, then of their products.
    intercept_ : ndarray of shape (n_pixels_out_,)
    scatter_ : ndarray of shape (n_pixels_out_,)
        Intrinsic standard deviation of each target pixel in the mean star: what the
        source cannot tell.
    resolution_, max_resolution_ : ndarray of shape (n_chips_out,) or None
        Resolving power of what is predicted unless another is asked for, and the
        highest that may be; None if the training targets carry none.

    See Also
    --------
    specxfer.baselines.NullTranslator : What any translator must beat.

    Notes
    -----
    The posterior mean undoes what noise does to a regression: a noisy star's scores
    shrink to the mean and their covariance S passes on as ``bᵀ S b``, so one model
    serves every signal-to-noise ratio.

    What the source cannot tell, mostly the strength of single elements' lines, scatters
    a star's flux as strongly as that star's lines are: intrinsic scatter is a constant
    plus a multiple of (f ln f)², f the predicted flux. Pixels err together along the
    directions that residuals do, and within each line by a share that is measured too.

    Where y carries its `resolution`, every target is learnt at one resolving power,
    `resolution_`, and written at any: a first, quick ridge says what each star's
    spectrum looks like, and what the difference of resolving power does to *that* is
    taken off the observed flux. Knowing it needs no more coefficients, and neither
    sharpens nor smooths noise.

    References
    ----------
    Tipping & Bishop 1999, J. R. Stat. Soc. B 61, 611; Hoerl & Kennard 1970,
    Technometrics 12, 55; Efron & Morris 1973, JASA 68, 117.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> depth = rng.uniform(0.1, 0.5, (200, 1))
    >>> X = 1 - depth * [[0.2, 1.0, 0.2]] + rng.normal(0, 0.01, (200, 3))
    >>> y = 1 - depth * [[0.0, 0.5]]
    >>> model = PCARidge(n_components=1, alpha=0.1).fit(X, y)
    >>> flux, std = model.predict([[0.94, 0.70, 0.94]], return_std=True)
    >>> flux.round(2)
    array([[1.  , 0.85]])
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "n_products": [Interval(Integral, 0, None, closed="left")],
        "n_factors": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=50,
        alpha="auto",
        *,
        n_products=6,
        n_factors=20,
        max_iter=20,
        tol=3e-4,
        random_state=0,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.n_products = n_products
        self.n_factors = n_factors
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _fit_source(self, source, sample_weight, given):
        rng = check_random_state(self.random_state)
        self._source, self.n_iter_ = fit_scores(
            source, sample_weight, self.n_components, self.max_iter, self.tol, rng
        )
        # components fit some of their own stars' noise, and add theirs to other stars
        self._own_noise = 0 if given else min(self.n_components_ / len(source), 0.5)
        self._other_source = given

    def _fit(self, X, y, sample_weight):
        if self._other_source:
            self._source = self._source.with_noise_of(X, sample_weight)
        features, spread, chi2, distance = [], 0.0, [], []
        for rows, block in X.iter_blocks(self._block_rows):
            scores, covariance = self._source.posterior(block)
            chi2.append(self._source.chi2(block, scores))
            distance.append((scores**2).sum(axis=1))
            u, s = with_products(scores, covariance, self.n_products)
            features.append(u)
            spread += np.tensordot(sample_weight[rows], s, axes=1)
        self._ridge = fit_pixel_ridge(
            np.concatenate(features),
            spread / sample_weight.sum(),
            y,
            sample_weight,
            star_codes(X, y),
            self.alpha,
            self.n_factors,
            check_random_state(self.random_state),
            self._change,
        )
        share = self._own_noise
        self._limits = (
            _limit(np.concatenate(chi2)) * (1 + share) / (1 - share),
            _limit(np.concatenate(distance)),
        )
        return self

    def _features(self, X):
        return with_products(*self._source.posterior(X), self.n_products)

    def _predict_block(self, X):
        return self._ridge.predict(self._features(X)[0])

    def _covariance_block(self, X):
        return self._ridge.covariance(*self._features(X))

    def _support_block(self, X):
        scores, _ = self._source.posterior(X)
        chi2 = self._source.chi2(X, scores) / self._limits[0]
        return np.maximum(chi2, (scores**2).sum(axis=1) / self._limits[1])

    @property
    def n_components_(self):
        return len(self._source.loadings)

    @property
    def components_(self):
        return self._source.loadings

    @property
    def mean_(self):
        return self._source.mean

    @property
    def coef_(self):
        return self._ridge.coef

    @property
    def intercept_(self):
        return self._ridge.intercept

    @property
    def scatter_(self):
        return np.sqrt(self._ridge.scatter)


def _limit(score):
    """What 99.9% of the training stars stay within."""
    return max(float(np.quantile(score, 0.999, method="higher")), 1e-12)
