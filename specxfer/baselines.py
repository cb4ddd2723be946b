"""Predictors that know less than the source spectrum: what a translator must beat."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from specxfer._stars import star_codes
from specxfer.base import Translator
from specxfer.linear._pixel_ridge import fit_pixel_ridge

__all__ = ["NullTranslator"]


class NullTranslator(Translator):
    """Predict the target spectrum from less than the source spectrum.

    What a null predicts needs no spectrum, so a translator has learnt from the source
    only what it does better than its null. It is fitted with the same noise weights
    as a translator and knows its errors in the same way.

    Parameters
    ----------
    strategy : {"mean", "labels"}, default="mean"
        "mean": the weighted mean training spectrum for every star. "labels": a
        polynomial in columns of ``X.meta``, such as Teff, log g and [Fe/H].
    labels : sequence of str, default=None
        The columns; needed by "labels".
    degree : int, default=2
        Degree of the polynomial.
    alpha : float, default=0.01
        Ridge penalty on the terms of the standardised labels.
    n_factors : int, default=20
        See `PCARidge`.
    random_state : int, RandomState instance or None, default=0
        Starts the search for directions in which residuals vary together.

    Attributes
    ----------
    label_mean_, label_scale_ : ndarray of shape (n_labels,)
        What labels are standardised with.
    scatter_ : ndarray of shape (n_pixels_out_,)
        Standard deviation of the noise-free flux about the null, continuum units.

    Notes
    -----
    A star with an unknown label (NaN or masked) is left out of the fit, with a
    warning, and predicted as NaN.

    A null knows the spectrograph, if not the star: where y carries its `resolution` it
    learns and writes at resolving powers, as `PCARidge` does.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.baselines import NullTranslator
    >>> teff = np.linspace(4000, 6000, 50)
    >>> X = Spectra(np.ones((50, 2)), wave=[15000, 15001], medium="vacuum",
    ...             meta={"teff": teff})
    >>> y = 1 - (teff[:, None] / 1e4) ** 2
    >>> null = NullTranslator("labels", labels=["teff"], alpha=1e-6).fit(X, y)
    >>> float(null.predict(X)[0, 0]).__round__(3)
    0.84
    """

    _parameter_constraints = {
        "strategy": [StrOptions({"mean", "labels"})],
        "labels": ["array-like", None],
        "degree": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "n_factors": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        strategy="mean",
        *,
        labels=None,
        degree=2,
        alpha=0.01,
        n_factors=20,
        random_state=0,
    ):
        self.strategy = strategy
        self.labels = labels
        self.degree = degree
        self.alpha = alpha
        self.n_factors = n_factors
        self.random_state = random_state

    def _fit(self, X, y, sample_weight):
        labels = self._read_labels(X)
        known = np.isfinite(labels).all(axis=1)
        if not known.any():
            raise ValueError(f"no star has all of the labels {list(self.labels)}.")
        if not known.all():
            warnings.warn(
                f"{int((~known).sum())} of {len(X)} stars lack one of the labels "
                f"{list(self.labels)}; they are left out.",
                UserWarning,
                stacklevel=3,
            )
            X, y = X[known], y[known]
            labels, sample_weight = labels[known], sample_weight[known]
            self._sums = None  # were of all stars
        self.label_mean_ = np.average(labels, axis=0, weights=sample_weight)
        spread = np.average(
            (labels - self.label_mean_) ** 2, axis=0, weights=sample_weight
        )
        self.label_scale_ = np.where(spread > 0, np.sqrt(spread), 1)
        terms = self._terms(labels)
        self._ridge, _ = fit_pixel_ridge(
            terms,
            np.zeros((terms.shape[1], terms.shape[1])),
            y,
            sample_weight,
            star_codes(X, y),
            self.alpha,
            self.n_factors,
            check_random_state(self.random_state),
            self._change,
            sums=self._sums,
        )
        distance = self._distance(labels)
        self._limit = max(float(distance.max(initial=0)), 1e-12)

    def _read_labels(self, X):
        """Labels as floats of shape (n, n_labels); none for the mean."""
        if self.strategy == "mean":
            return np.zeros((len(X), 0))
        if self.labels is None or len(self.labels) == 0:
            raise ValueError(
                'strategy="labels" needs labels=[...]: names of columns of X.meta'
                + (f", which has {X.meta.colnames}." if X.meta is not None else ".")
            )
        if X.meta is None:
            raise ValueError(
                'strategy="labels" reads X.meta, and X has none: give '
                "Spectra(..., meta=table)."
            )
        missing = [name for name in self.labels if name not in X.meta.colnames]
        if missing:
            raise ValueError(f"X.meta lacks {missing}; it has {X.meta.colnames}.")
        columns = [np.ma.asarray(X.meta[name]).astype(float) for name in self.labels]
        return np.ma.filled(np.ma.column_stack(columns), np.nan)

    def _terms(self, labels):
        """Polynomial terms of the standardised labels, without the constant."""
        if not labels.shape[1]:
            return labels
        scaled = (labels - self.label_mean_) / self.label_scale_
        unknown = ~np.isfinite(scaled).all(axis=1)
        scaled[unknown] = 0
        terms = PolynomialFeatures(self.degree, include_bias=False).fit_transform(
            scaled
        )
        terms[unknown] = np.nan
        return terms

    def _distance(self, labels):
        return (((labels - self.label_mean_) / self.label_scale_) ** 2).sum(axis=1)

    def _predict_block(self, X):
        return self._ridge.predict(self._terms(self._read_labels(X)))

    def _covariance_block(self, X):
        return self._ridge.covariance(self._terms(self._read_labels(X)))

    def _support_block(self, X):
        return self._distance(self._read_labels(X)) / self._limit

    @property
    def scatter_(self):
        return np.sqrt(self._ridge.scatter)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # it does not look at the flux
        return tags
