"""`SpectralPCA`: principal components of noisy spectra with gaps."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from specxfer._rowwise import rowwise_matmul
from specxfer.linear._algebra import Algebra
from specxfer.linear._fit_scores import fit_scores
from specxfer.linear._score_array import Scores
from specxfer.linear._scores import BLOCK
from specxfer.preprocessing._transformer import SpectraTransformer
from specxfer.spectra import Spectra


class SpectralPCA(ClassNamePrefixFeaturesOutMixin, SpectraTransformer):
    """Principal components of noisy spectra with gaps.

    Each pixel of each star counts by its own inverse variance and masked pixels not
    at all. The scores of a star are their posterior mean given its spectrum, with a
    covariance, and exist however few pixels it has. On complete spectra of equal
    noise the components are those of scikit-learn's ``PCA(whiten=True)``.

    Parameters
    ----------
    n_components : int, default=50
        At most; fewer where there are fewer stars (less one) or pixels, or where the
        data have a lower rank.
    max_iter : int, default=30
        Passes over the data at most.
    tol : float, default=1e-6
        Relative change of the variance captured that ends them. The angle between
        components and their limit is about its square root.
    random_state : int, RandomState instance or None, default=0
        Starts the search for components.
    device : str or torch.device, default="cpu"
        Where the products of the fit are computed: "cpu" by numpy, anything else by
        torch, for instance "cuda". Predictions always are on the CPU.

    Attributes
    ----------
    components_ : ndarray of shape (n_components_, n_features_in_)
        Orthonormal components, in order of their variance; 0 at pixels no star has.
    explained_variance_ : ndarray of shape (n_components_,)
        Variance of the noise-free spectra along each.
    mean_ : ndarray of shape (n_features_in_,)
    noise_variance_ : ndarray of shape (n_features_in_,)
        Mean noise of the training spectra; what spectra without ivar are taken to
        have. 0 where they came without.
    misfit_ : ndarray of shape (n_features_in_,)
        Variance of the noise-free flux that the components leave.
    n_components_ : int
    n_iter_ : int
        Passes made over the data.
    n_features_in_ : int
    wave_, medium_, chip_ : ndarray or None
        Grid of the training spectra.

    See Also
    --------
    SpectralRidge : From scores to spectra.
    PCARidge : Both together.

    Notes
    -----
    With loadings L (components times the square root of their variance), and weights
    W = 1 / (noise + misfit), the scores u of a star have unit variance over the stars
    and the posterior ``N(S Lᵀ W (x − mean), S)``, ``S = (Lᵀ W L + 1)⁻¹`` (Tipping &
    Bishop 1999). Masked pixels are filled from the leading components while the
    components are sought, which is expectation-maximisation (Roweis 1998).

    References
    ----------
    Roweis 1998, NIPS 10, 626; Tipping & Bishop 1999, J. R. Stat. Soc. B 61, 611;
    Bailey 2012, PASP 124, 1015.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.linear import SpectralPCA
    >>> rng = np.random.default_rng(0)
    >>> X = 1 - rng.uniform(0.1, 0.5, (200, 1)) * [[0.2, 1.0, 0.2]]
    >>> X[::7, 1] = np.nan
    >>> pca = SpectralPCA(n_components=1).fit(X)
    >>> pca.components_.round(2)
    array([[0.19, 0.96, 0.19]])
    >>> star = [[0.94, np.nan, 0.94]]
    >>> pca.inverse_transform(pca.transform(star)).round(2)
    array([[0.94, 0.7 , 0.94]])
    """

    wave = medium = None  # of a plain array: unknown

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "device": [str, object],
    }

    def __init__(
        self, n_components=50, *, max_iter=30, tol=1e-6, random_state=0, device="cpu"
    ):
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.device = device

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Find the components.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            NaN or zero ivar: no information.
        y : ignored
        sample_weight : array-like of shape (n_spectra,), optional

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If fewer than two spectra have a valid pixel.
        """
        X = self._check_X(X, reset=True)
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        has_pixels = np.zeros(len(X), bool)
        for rows, block in X.iter_blocks():
            has_pixels[rows] = block.valid().any(axis=1)
        weight = weight * has_pixels
        if np.count_nonzero(weight) < 2:
            raise ValueError(
                f"X has {np.count_nonzero(weight)} sample(s) with a valid pixel and a "
                "weight (n_samples = 1 is too few): give two or more."
            )
        return self._fit(X, weight)

    def _fit(self, X, weight, start=None):
        rng = check_random_state(self.random_state)
        self._model, self.n_iter_ = fit_scores(
            X,
            weight,
            self.n_components,
            self.max_iter,
            self.tol,
            rng,
            Algebra(self.device),
            start,
        )
        return self

    def fit_transform(self, X, y=None, sample_weight=None):
        """Find the components, and the scores of the same spectra.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        y : ignored
        sample_weight : array-like of shape (n_spectra,), optional

        Returns
        -------
        ndarray of shape (n_spectra, n_components)
        """
        return self.fit(X, y, sample_weight).transform(X)

    def transform(self, X):
        """The scores of spectra, of unit variance over the training stars.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)

        Returns
        -------
        ndarray of shape (n_spectra, n_components)
            An array with an attribute ``covariance``, of shape (n_spectra,
            n_components, n_components).
        """
        check_is_fitted(self)
        X = self._check_X(X, reset=False)
        k = self.n_components_
        scores = np.empty((len(X), k), X.dtype)
        covariance = np.empty((len(X), k, k), X.dtype)
        for rows, block in X.iter_blocks(BLOCK):
            scores[rows], covariance[rows] = self._model.moments(block)
        return Scores(scores, covariance)

    def inverse_transform(self, X):
        """Spectra of the components, without noise or gaps.

        Parameters
        ----------
        X : array-like of shape (n_spectra, n_components_)
            Scores.

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_features_in_)
            `Spectra` if the fit was on them. NaN at pixels that no training star has.
        """
        check_is_fitted(self)
        scores = np.asarray(X)
        if scores.ndim != 2 or scores.shape[1] != self.n_components_:
            raise ValueError(
                f"X has the shape {scores.shape}; expected scores on "
                f"{self.n_components_} components, (n_spectra, {self.n_components_})."
            )
        flux = rowwise_matmul(scores, self._model.loadings)
        flux += self._model.mean
        flux[:, ~self._model.used] = np.nan
        if self.wave_ is None:
            return flux
        return Spectra(flux, wave=self.wave_, medium=self.medium_, chip=self.chip_)

    @property
    def n_components_(self):
        return len(self._model.loadings)

    @property
    def _n_features_out(self):
        return self.n_components_

    @property
    def components_(self):
        length = np.sqrt(self.explained_variance_)[:, None]
        return self._model.loadings / length

    @property
    def explained_variance_(self):
        return (self._model.loadings**2).sum(axis=1)

    @property
    def mean_(self):
        return self._model.mean

    @property
    def noise_variance_(self):
        return self._model.noise

    @property
    def misfit_(self):
        return self._model.misfit
