"""`SpectralRidge`: from features to every pixel, each with its own noise."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from specxfer._stars import star_codes
from specxfer.base import Translator
from specxfer.covariance import LowRankCovariance
from specxfer.linear._algebra import Algebra
from specxfer.linear._pixel_ridge import OfPixelRidge, fit_pixel_ridge
from specxfer.linear._score_array import Scores
from specxfer.spectra import Spectra, as_plain

ALPHA = [
    Interval(Real, 0, None, closed="left"),
    StrOptions({"auto"}),
    "array-like",
]


class SpectralRidge(OfPixelRidge, Translator):
    """Ridge regression from features to spectra, every pixel with its own noise.

    The last step behind any feature step: `SpectralPCA`, scikit-learn's PCA,
    PolynomialFeatures, Nystroem, labels of a catalogue. Masked pixels of the target
    carry no weight and noisy ones little, in exact normal equations for each pixel.
    What the features cannot tell is measured from stars left out, and how it runs
    together from pixel to pixel.

    Parameters
    ----------
    alpha : "auto", float or array-like of float, default="auto"
        Ridge penalty, with weights of mean 1 per pixel; the intercept is free. "auto"
        learns a penalty for each pixel and combination of features from all
        coefficients together (empirical Bayes), and where the target has wavelengths,
        coefficients from those of neighbouring pixels. Of several the best is taken,
        as `select` says.
    select : {"loo", "gcv"}, default="gcv"
        How: by the error of stars left out of the fit, or by generalised
        cross-validation (Golub, Heath & Wahba 1979), which takes no further pass
        over the data.
    alpha_per_pixel : bool, default=False
        Whether every pixel has its own choice among several.
    n_factors : int, default=20
        Directions, at most, in which residuals of different pixels are found to vary
        together.
    random_state : int, RandomState instance or None, default=0
        Starts the search for these.
    device : str or torch.device, default="cpu"
        Where the products of the fit are computed: "cpu" by numpy, anything else by
        torch, for instance "cuda". Predictions always are on the CPU.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features_in_, n_pixels_out_)
    intercept_ : ndarray of shape (n_pixels_out_,)
    scatter_ : ndarray of shape (n_pixels_out_,)
        Intrinsic standard deviation of each pixel: what the features cannot tell.
    alpha_ : float or ndarray of shape (n_pixels_out_,) or None
        The penalty taken; None where it was learnt.
    resolution_, max_resolution_ : ndarray of shape (n_chips_out,) or None
        See `Translator`.

    See Also
    --------
    PCARidge : With the features that suit spectra.

    Notes
    -----
    The scores of `SpectralPCA` bring their errors, which are carried through as
    ``bᵀ S b``; other features are taken as exact.

    A spectrograph blurs whatever changes a spectrum over a few pixels, but not photon
    noise. With learnt penalties, the coefficients of the pixels of a chip are therefore
    a Gaussian process: its reach, and the correlation that resampling has given to the
    noise of neighbours, are those that make the coefficients likeliest. The averaging
    takes noise off pixels rather than off lines, which the stated covariance knows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.kernel_approximation import Nystroem
    >>> from sklearn.pipeline import make_pipeline
    >>> from specxfer import predict_std
    >>> from specxfer.linear import SpectralRidge
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, (300, 2))
    >>> y = 1 - 0.3 * np.exp(-X[:, :1] ** 2) * [[1.0, 0.5]]
    >>> y += rng.normal(0, 0.01, y.shape)
    >>> model = make_pipeline(
    ...     Nystroem(n_components=30, random_state=0), SpectralRidge()
    ... ).fit(X, y)
    >>> flux, std = predict_std(model, [[0.0, 0.0]])
    >>> flux.round(1), std.round(2)
    (array([[0.7, 0.8]]), array([[0.01, 0.01]]))
    """

    _parameter_constraints = {
        "alpha": ALPHA,
        "select": [StrOptions({"loo", "gcv"})],
        "alpha_per_pixel": ["boolean"],
        "n_factors": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
        "device": [str, object],
    }

    def __init__(
        self,
        alpha="auto",
        *,
        select="gcv",
        alpha_per_pixel=False,
        n_factors=20,
        random_state=0,
        device="cpu",
    ):
        self.alpha = alpha
        self.select = select
        self.alpha_per_pixel = alpha_per_pixel
        self.n_factors = n_factors
        self.random_state = random_state
        self.device = device

    def _check_source(self, X, reset):
        """Features as nameless spectra, with their covariance where they bring it."""
        if isinstance(X, Spectra) and X.wave is None and X.covariance is not None:
            return X  # checked before
        if isinstance(X, Spectra) and not all(
            block.valid().all() for _, block in X.iter_blocks()
        ):
            raise ValueError(
                "X holds spectra with unknown pixels (NaN, or ivar 0); SpectralRidge "
                "works on features: put SpectralPCA before it, or use PCARidge."
            )
        covariance = X.covariance if isinstance(X, Scores) else None
        X = validate_data(
            self,
            as_plain(X),
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_min_samples=2 if reset else 1,
        )
        if reset:
            self.wave_in_ = self.medium_in_ = None
            self.dtype_ = X.dtype
        if covariance is not None:
            k = X.shape[1]
            covariance = LowRankCovariance(
                covariance, np.eye(k, dtype=X.dtype), np.zeros(k, X.dtype)
            )
        return Spectra(np.asarray(X), wave=None, medium=None, covariance=covariance)

    def _fit(self, X, y, sample_weight):
        k = X.shape[1]
        spread = np.zeros((k, k))
        if X.covariance is not None:
            spread = np.average(X.covariance.core, axis=0, weights=sample_weight)
        return self._fit_features(
            X.flux, spread, y, sample_weight, star_codes(X, y), self._change, self._sums
        )

    def _fit_features(
        self, features, spread, y, weight, stars, change, sums, first=None
    ):
        alpha = checked_alpha(self.alpha)
        self._ridge, self.alpha_ = fit_pixel_ridge(
            features,
            spread,
            y,
            weight,
            stars,
            alpha,
            self.n_factors,
            check_random_state(self.random_state),
            change,
            select=self.select,
            per_pixel=self.alpha_per_pixel,
            sums=sums,
            algebra=Algebra(self.device),
            first=first,
        )
        lever = self._ridge.leverage(features)
        self._limit = max(float(np.quantile(lever, 0.999, method="higher")), 1e-12)
        return self

    def _features(self, X, with_spread=True):
        known = with_spread and X.covariance is not None
        return X.flux, X.covariance.core if known else None

    def _support_block(self, X):
        return self._ridge.leverage(X.flux) / self._limit

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags


def checked_alpha(alpha):
    """ "auto", a number, or a sorted array of numbers."""
    if isinstance(alpha, (str, Real)):
        return alpha
    alpha = np.asarray(alpha, dtype=float)
    if alpha.ndim != 1 or not len(alpha) or (alpha < 0).any():
        raise ValueError(
            f"alpha={alpha!r}; expected a number, or a list of numbers of 0 or more."
        )
    return np.unique(alpha)
