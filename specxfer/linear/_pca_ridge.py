"""`PCARidge`: principal components of the source, ridge to every target pixel."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from specxfer._pixel_sums import PixelSums
from specxfer._rows import by_index
from specxfer._stars import number_of_stars, star_codes
from specxfer._threads import in_parallel
from specxfer.base import Translator
from specxfer.linear._normal_equations import first_fit
from specxfer.linear._penalties import (
    affordable_axes,
    free_intercept,
    listened_axes,
)
from specxfer.linear._pixel_ridge import OfPixelRidge
from specxfer.linear._products import gradient_of, spread_of, with_products
from specxfer.linear._scores import BLOCK
from specxfer.linear._spectral_pca import SpectralPCA
from specxfer.linear._spectral_ridge import ALPHA, SpectralRidge

AXES_STARS = 6000  # that are enough to tell what the target listens to


class PCARidge(OfPixelRidge, Translator):
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
    alpha : "auto", float or array-like of float, default="auto"
        Ridge penalty on whitened scores, with weights of mean 1 per pixel. "auto"
        learns a penalty for each pixel and component from all coefficients
        together (empirical Bayes): a pixel without signal keeps to its mean, a strong
        line is not held back, and where the target has wavelengths, neighbouring
        pixels tell of each other. Of several the best is taken, as `select` says.
    select : {"gcv", "loo"}, default="gcv"
        By generalised cross-validation or by the error of stars left out.
    alpha_per_pixel : bool, default=False
        Whether every pixel has its own choice among several.
    n_products : int, default=10
        How many combinations of scores are multiplied with each other for further
        features: those that the target's pixels listen to most; fewer where a product
        would have fewer than 12 training stars, or a feature fewer than 2. 0 for a
        purely linear translator.
    n_factors : int, default=20
        Directions, at most, in which residuals of different pixels are found to vary
        together.
    max_iter : int, default=20
        Passes over the source, at most, to find its components.
    tol : float, default=1e-4
        Relative change of the variance captured that ends them.
    random_state : int, RandomState instance or None, default=0
        Starts the search for components. The result depends on it by less than
        `tol`.
    device : str or torch.device, default="cpu"
        Where the products of the fit are computed: "cpu" by numpy, anything else by
        torch, for instance "cuda". Predictions always are on the CPU.

    Attributes
    ----------
    pca_ : SpectralPCA
        The components of the source.
    alpha_ : float, ndarray of shape (n_pixels_out_,) or None
        The penalty taken; None where it was learnt.
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
    plus a multiple of (1 − exp(−d / 0.3))², d the predicted depth, and that multiple is
    between those of two kinds of star, mostly giants and dwarfs. Pixels err together
    along the directions that residuals do, and within each line by a share that is
    measured too.

    Where y carries its `resolution`, every target is learnt at one resolving power,
    `resolution_`, and written at any: a first, quick ridge says what each star's
    spectrum looks like, and what the difference of resolving power does to *that* is
    taken off the observed flux. Knowing it needs no more coefficients, and neither
    sharpens nor smooths noise.

    `support` is the largest of three measures, each over what 99.9% of the training
    stars stay within: the misfit of the source's components over all pixels, that in
    the worst four pixels side by side, where emission shows, and the distance of the
    scores from the mean star's.

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
        "alpha": ALPHA,
        "select": [StrOptions({"loo", "gcv"})],
        "alpha_per_pixel": ["boolean"],
        "n_products": [Interval(Integral, 0, None, closed="left")],
        "n_factors": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "device": [str, object],
    }

    def __init__(
        self,
        n_components=50,
        alpha="auto",
        *,
        select="gcv",
        alpha_per_pixel=False,
        n_products=10,
        n_factors=20,
        max_iter=20,
        tol=1e-4,
        random_state=0,
        device="cpu",
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.select = select
        self.alpha_per_pixel = alpha_per_pixel
        self.n_products = n_products
        self.n_factors = n_factors
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.device = device

    def _fit_source(self, source, sample_weight, given):
        self.pca_ = SpectralPCA(
            self.n_components,
            max_iter=self.max_iter,
            tol=self.tol,
            random_state=self.random_state,
            device=self.device,
        )
        self.pca_._check_X(source, reset=True)
        self.pca_._fit(source, sample_weight)
        # components fit some of their own stars' noise, and add theirs to other stars
        self._own_noise = 0 if given else min(self.n_components_ / len(source), 0.5)
        self._other_source = given

    def _fit(self, X, y, sample_weight):
        if self._other_source:
            self.pca_._model = self._source.with_noise_of(X, sample_weight)
        stars = star_codes(X, y)
        n_stars = number_of_stars(X, y, sample_weight)
        n_axes = affordable_axes(self.n_products, self.n_components_, n_stars)
        self._axes = np.zeros((self.n_components_, 0))
        if n_axes:
            self._axes = self._listened(X, y, sample_weight, n_axes)
        features, spread, misfits = self._training_features(X, sample_weight)
        ridge = SpectralRidge(
            self.alpha,
            select=self.select,
            alpha_per_pixel=self.alpha_per_pixel,
            n_factors=self.n_factors,
            random_state=self.random_state,
            device=self.device,
        )
        ridge._fit_features(
            features, spread, y, sample_weight, stars, self._change, self._sums
        )
        self._ridge, self.alpha_ = ridge._ridge, ridge.alpha_
        share = self._own_noise
        distance = (features[:, : self.n_components_] ** 2).sum(axis=1)
        others = (1 + share) / (1 - share)  # what does not fit its own noise
        some = next(iter(by_index(X).iter_blocks(BLOCK)))[1]
        typical = np.median(self._source.misfit_share(some))
        self._misfit_share = max(float(typical), 1e-12)
        self._limits = (*(_limit(m) * others for m in misfits), _limit(distance))
        return self

    def _listened(self, X, y, sample_weight, n_axes):
        """The combinations of scores that are multiplied, from a sample of stars."""
        some = slice(None, None, -(-len(X) // AXES_STARS))
        X, y, weight = X[some], y[some], sample_weight[some]
        u = np.ones((len(X), self.n_components_ + 1))
        for rows, block in X.iter_blocks(BLOCK):
            u[rows, :-1] = self._source.scores(block)
        penalty = free_intercept(u.shape[1], 1.0)[:, 0]
        sums = PixelSums.of(y, weight)
        _, coef, deviation = first_fit(u, y, sums, weight, penalty)
        return listened_axes(u, weight, coef, deviation, n_axes)

    def _training_features(self, X, sample_weight):
        """Features, the mean of their covariance, and how badly they fit the source.

        The latter on average and in the worst few pixels, of shape (2, n).
        """
        q = self._axes.shape[1]
        k = self.n_components_ + q * (q + 1) // 2
        features, spread, misfits = np.empty((len(X), k)), 0.0, np.empty((2, len(X)))
        for rows, block in X.iter_blocks(BLOCK):
            scores, covariance, misfits[0, rows] = self._source.posterior(block)
            misfits[1, rows] = self._source.worst_run(block, scores)
            weight = sample_weight[rows]
            features[rows] = with_products(scores, covariance, self._axes)

            def one(start, u=scores, s=covariance, w=weight):
                part = slice(start, start + 64)
                some = spread_of(u[part], s[part], self._axes)
                return np.tensordot(w[part], some, axes=1)

            spread += sum(in_parallel(one, range(0, len(block), 64)))
        return features, spread / sample_weight.sum(), misfits

    def _features(self, X, with_spread=True):
        scores, covariance = self._source.moments(X)
        features = with_products(scores, covariance, self._axes)
        if not with_spread:
            return features, None
        return features, spread_of(scores, covariance, self._axes)

    def _gradient_block(self, X, weights):
        used = weights.any(axis=1)
        coef = self.coef_[:, used].astype(float) @ weights[used]
        by_scores = gradient_of(coef, self._source.scores(X), self._axes)
        return self._source.gradient(X, by_scores)

    def _support_block(self, X):
        scores, _, chi2 = self._source.posterior(X)
        worst = self._source.worst_run(X, scores)
        distance = (scores**2).sum(axis=1)
        # where noise hides less of the misfit than in training, more of it is seen
        seen = np.maximum(self._source.misfit_share(X) / self._misfit_share, 1)
        *limits, farthest = self._limits
        limits = [1 + (limit - 1) * np.where(limit > 1, seen, 1) for limit in limits]
        parts = chi2 / limits[0], worst / limits[1], distance / farthest
        return np.max(parts, axis=0)

    @property
    def _source(self):
        return self.pca_._model

    @property
    def n_components_(self):
        return self.pca_.n_components_

    @property
    def n_iter_(self):
        return self.pca_.n_iter_

    @property
    def components_(self):
        return self._source.loadings

    @property
    def mean_(self):
        return self._source.mean


def _limit(score):
    """What 99.9% of the training stars stay within."""
    return max(float(np.quantile(score, 0.999, method="higher")), 1e-12)
