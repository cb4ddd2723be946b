"""`MatchedScores`: the target's principal components, as the source shows them."""

from numbers import Integral

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from specxfer._noise_profile import NoiseProfile
from specxfer._pixel_sums import PixelSums
from specxfer._plausible import inside_a_fit
from specxfer._rows import by_index
from specxfer._stars import star_codes
from specxfer.base import _checked_target, _has_pixels, _seed
from specxfer.linear._score_array import Scores
from specxfer.linear._scores import BLOCK, ScoreModel, _brightness
from specxfer.linear._spectral_pca import SpectralPCA
from specxfer.linear._spectral_ridge import SpectralRidge
from specxfer.model_selection import StarKFold
from specxfer.preprocessing._transformer import SpectraTransformer


class MatchedScores(ClassNamePrefixFeaturesOutMixin, SpectraTransformer):
    """The target's principal components, as the source shows them.

    The components of the source are those of its largest variance, and what a weak
    line says of an element is lost among them. Here the *target* says what to look
    for: its spectra are reduced to scores, which show the element in strong lines;
    every source pixel is regressed on these; and the scores of a star seen by the
    source alone are their posterior mean given its spectrum, a matched filter for
    everything that the target tells apart.

    Parameters
    ----------
    n_components : int, default=40
        Components of the target, at most.
    cv : int, default=5
        Parts into which the stars are divided: filters are fitted without each.
    random_state : int, RandomState instance or None, default=0
        Starts the search for components, and divides the stars.
    device : str or torch.device, default="cpu"
        Where the products of the fit are computed: "cpu" by numpy, anything else by
        torch, for instance "cuda".

    Attributes
    ----------
    target_ : SpectralPCA
        The components of the target.
    loadings_ : ndarray of shape (n_components_, n_features_in_)
        What each component changes in the source, per standard deviation, in
        continuum units.
    misfit_ : ndarray of shape (n_features_in_,)
        Variance of the source's noise-free flux that they leave; where the source
        came without its noise, that too.
    mean_ : ndarray of shape (n_features_in_,)
    n_components_ : int
    n_features_in_ : int
    wave_, medium_, chip_ : ndarray or None
        Grid of the source.

    See Also
    --------
    SpectralPCA : The components of the source itself.

    Notes
    -----
    ``fit(X, y).transform(X)`` does not equal ``fit_transform(X, y)``: filters have
    learnt some of their training stars' own noise, and a regression on such scores
    would trust them too much. `fit_transform` gives every star scores from filters that
    were fitted without it, as `sklearn.preprocessing.TargetEncoder` does, so a Pipeline
    is right as it stands. `transform` averages over the same filters; one fitted to all
    stars would be better informed than those that the regression has met, and its
    scores larger.

    For a linear, Gaussian world with every covariance known this is the regression on
    the source (Bayes' rule from either side). The difference is in what has to be
    learnt from n stars. A component whose variance is below noise² √(n_pixels / n) is
    not found among the source's own at all (Baik, Ben Arous & Péché 2005, Ann. Probab.
    33, 1643); its template from a regression on the target has the noise of n stars in
    each pixel, and most pixels, which show nothing of it, are shrunk to 0.

    References
    ----------
    Krutchkoff 1967, Technometrics 9, 425 (inverse calibration); Ness et al. 2015, ApJ
    808, 16 (spectra as functions of labels, inverted by their noise).

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.linear import MatchedScores
    >>> rng = np.random.default_rng(0)
    >>> strong = rng.normal(size=(400, 1))
    >>> X = 0.9 + 0.01 * strong * [[0, 0, 1, 0]] + rng.normal(0, 0.005, (400, 4))
    >>> y = 0.8 + 0.1 * strong * [[1, 0.5]] + rng.normal(0, 0.01, (400, 2))
    >>> scores = MatchedScores(n_components=1).fit_transform(X, y)
    >>> float(np.abs(np.corrcoef(scores.T, strong.T)[0, 1]).round(1))
    0.9
    """

    wave = medium = None  # of a plain array: unknown

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
        "device": [str, object],
    }

    def __init__(self, n_components=40, *, cv=5, random_state=0, device="cpu"):
        self.n_components = n_components
        self.cv = cv
        self.random_state = random_state
        self.device = device

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Find the target's components and what each does to the source.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Source spectra. NaN or zero ivar: no information.
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
            Target spectra of the same stars.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If rows or stars disagree, or fewer than two stars have both spectra.
        """
        self._learnt(X, y)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y):
        """Fit, and the scores of the same stars from filters that never saw them.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)

        Returns
        -------
        ndarray of shape (n_spectra, n_components)
            As `transform` gives.
        """
        X, parts = self._learnt(X, y)
        if len(parts) < 2:
            raise ValueError(
                "all spectra are of 1 star; fit_transform needs at least 2, to leave "
                "each out of what its scores are from."
            )
        out = self._empty(X)
        for model, test in zip(self._models, parts):
            for rows, block in X[test].iter_blocks(BLOCK):
                out[0][test[rows]], out[1][test[rows]] = model.moments(block)
        return Scores(*out)

    def transform(self, X):
        """The scores of spectra, of unit variance over the training stars.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)

        Returns
        -------
        ndarray of shape (n_spectra, n_components)
            An array with an attribute ``covariance``, a matrix for each spectrum.
        """
        check_is_fitted(self)
        X = self._check_X(X, reset=False)
        out = self._empty(X)
        for rows, block in X.iter_blocks(BLOCK):
            found = [model.moments(block) for model in self._models]
            for values, of_models in zip(out, zip(*found)):
                values[rows] = np.mean(of_models, axis=0)
        return Scores(*out)

    def _empty(self, X):
        k = self.n_components_
        return np.empty((len(X), k), X.dtype), np.empty((len(X), k, k), X.dtype)

    def _learnt(self, X, y, spectra=None):
        """Filters fitted without each part of the stars; the source, and the parts.

        The target's components are those of `spectra`, if more is known than y.
        """
        X = self._check_X(X, reset=True)
        y = _checked_target(y, type(self).__name__)
        check_consistent_length(X, y)
        stars = star_codes(X, y)
        paired = _has_pixels(X) & _has_pixels(y)
        if paired.sum() < 2:
            raise ValueError(
                f"{int(paired.sum())} of {len(X)} sample(s) have a valid pixel in both "
                "X and y (n_samples = 1 is too few): give two or more such stars."
            )
        self.target_ = SpectralPCA(
            self.n_components, random_state=self.random_state, device=self.device
        )
        if spectra is None:
            self.target_.fit(y, sample_weight=paired.astype(float))
        else:
            self.target_.fit(spectra)
        X, scores = by_index(X), np.asarray(self.target_.transform(y))
        n_parts = min(self.cv, stars.max() + 1)
        if n_parts < 2:
            self._models, parts = [self._fitted(X, scores, paired)], [np.arange(len(X))]
            return X, parts
        splitter = StarKFold(n_parts, random_state=_seed(self.random_state))
        self._models, parts = [], []
        for train, test in splitter.split(scores, groups=stars):
            used = np.zeros(len(X), bool)
            used[train] = paired[train]
            enough = used if used.sum() > 1 else paired
            self._models.append(self._fitted(X, scores, enough))
            parts.append(test)
        return X, parts

    def _fitted(self, X, scores, rows):
        """A factor model of the source whose factors are the target's."""
        part, z = X[np.flatnonzero(rows)], scores[rows].astype(float)
        center = z.mean(axis=0)
        spread = np.cov(z.T, bias=True).reshape(z.shape[1], -1)
        spread[np.diag_indices_from(spread)] += 1e-9 * np.trace(spread) + 1e-12
        root = np.linalg.cholesky(spread)  # z = center + u @ root.T, u ~ N(0, 1)
        u = np.linalg.solve(root, (z - center).T).T
        ridge = SpectralRidge(n_factors=0, device=self.device)
        with inside_a_fit():  # what is its target is X here
            ridge.fit(u, part.replace(resolution=None, meta=None, covariance=None))
        seen = ridge.seen_
        misfit = np.where(seen, ridge.scatter_**2, 0)
        misfit = np.maximum(misfit, 1e-6 * max(misfit[seen].mean(), 1e-30))
        noise = np.zeros(len(seen))
        if part.has_noise:
            usual = PixelSums.of(part, np.ones(len(part))).usual
            noise = 1 / np.where(seen, usual, 1)
        parts = ridge.intercept_, ridge.coef_, misfit, noise
        mean, loadings, misfit, noise = (
            np.where(seen, values, 0).astype(part.dtype) for values in parts
        )
        profile = NoiseProfile.of(part) if part.has_noise else None
        if profile is None:
            return ScoreModel(mean, loadings, misfit, noise, seen)
        bright = _brightness(part, profile)
        return ScoreModel(mean, loadings, misfit, noise, seen, profile.pixel, bright)

    @property
    def n_components_(self):
        return len(self._models[0].loadings)

    @property
    def _n_features_out(self):
        return self.n_components_

    @property
    def loadings_(self):
        return np.mean([model.loadings for model in self._models], axis=0)

    @property
    def misfit_(self):
        return np.mean([model.misfit for model in self._models], axis=0)

    @property
    def mean_(self):
        return np.mean([model.mean for model in self._models], axis=0)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags
