"""`NullTranslator`: predict the target spectrum from less than the source spectrum."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from specxfer._checks import known_labels
from specxfer._compositions import (
    parameter_of_last,
    predict_at,
    resolution_of,
    support,
    translate,
)
from specxfer._resolution import LSF_SHAPE
from specxfer._rows import by_index
from specxfer._stars import star_codes
from specxfer.base import Translator
from specxfer.baselines._cross_fitted import LabelModel
from specxfer.baselines._label_terms import (
    PolynomialTerms,
    chosen_terms,
    standardised,
)
from specxfer.baselines._neighbors import Neighbors
from specxfer.baselines._shuffle import shuffled_rows
from specxfer.linear import PCARidge
from specxfer.linear._pixel_ridge import fit_pixel_ridge
from specxfer.linear._spectral_ridge import ALPHA, checked_alpha

NEED_LABELS = ("labels", "neighbors")


class NullTranslator(Translator):
    """Predict the target spectrum from less than the source spectrum.

    A translator has learnt from the source only what it does better than a null. A null
    is fitted with the same noise weights as a translator and knows its errors in the
    same way; and it must be as good as what it may know allows, or it is beaten by
    chance.

    Parameters
    ----------
    strategy : {"mean", "labels", "neighbors", "shuffled"}, default="mean"
        "mean": the weighted mean training spectrum for every star. "labels": a flexible
        regression on columns of ``X.meta``, such as Teff, log g and [Fe/H].
        "neighbors": the mean of the training stars that are nearest in these labels.
        "shuffled": a translator trained on pairs in which every star has the target of
        another one with like labels.
    labels : sequence of str, default=None
        The columns. Needed by "labels" and "neighbors"; without any, "shuffled" pairs
        stars at random.
    cross_fit : bool, default=False
        Whether labels are read from the source spectra, each star's by a model that
        never saw it, instead of from ``X.meta``. Catalogue labels with errors know less
        than the spectrum does, and a null that uses them is too easily beaten.
    degree : int, default=None
        Of the polynomial that "labels" is. By default polynomials of degree 1 to 3 and
        Gaussian kernels of four lengths are tried by cross-validation over stars.
    alpha : "auto", float or array-like of float, default="auto"
        Ridge penalty of "labels", as in `specxfer.linear.SpectralRidge`.
    n_neighbors : int, default=20
        Spectra that "neighbors" averages.
    estimator : estimator, default=None
        What "shuffled" trains: any translator, or a Pipeline or search of one. By
        default `specxfer.linear.PCARidge`.
    bin_size : int, default=20
        Stars, at least, that share their targets in "shuffled".
    n_factors : int, default=20
        See `specxfer.linear.PCARidge`.
    random_state : int, RandomState instance or None, default=0
        Draws samples and pairs.

    Attributes
    ----------
    label_mean_, label_scale_ : ndarray of shape (n_labels,)
        What labels are standardised with.
    terms_ : object
        The functions of the labels that "labels" chose; its `str` tells.
    label_model_ : object
        What reads labels from source spectra; only with `cross_fit`.
    estimator_ : estimator
        The translator that "shuffled" trained.
    scatter_ : ndarray of shape (n_pixels_out_,)
        Standard deviation of the noise-free flux about the null in the mean star,
        continuum units. Not of "shuffled".

    See Also
    --------
    specxfer.validation.null_test : Tests a translator against a null, line by line.

    Notes
    -----
    A star with an unknown label (NaN or masked) is left out of the fit, with a
    warning, and predicted as NaN. With `cross_fit` it is left out of the label model
    alone.

    A null knows the spectrograph, if not the star: where y carries its `resolution` it
    learns and writes at resolving powers, as `PCARidge` does. "neighbors" averages
    spectra brought to one resolving power by what a quadratic in the labels says of the
    difference.

    "neighbors" holds on to its training targets, and so is as large as they are when it
    is pickled.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.baselines import NullTranslator
    >>> teff = np.linspace(4000, 6000, 50)
    >>> X = Spectra(np.ones((50, 2)), wave=[15000, 15001], medium="vacuum",
    ...             meta={"teff": teff})
    >>> y = 1 - (teff[:, None] / 1e4) ** 2
    >>> null = NullTranslator("labels", labels=["teff"]).fit(X, y)
    >>> float(null.predict(X)[0, 0]).__round__(3)
    0.84
    """

    _parameter_constraints = {
        "strategy": [StrOptions({"mean", "labels", "neighbors", "shuffled"})],
        "labels": ["array-like", None],
        "cross_fit": ["boolean"],
        "degree": [Interval(Integral, 1, None, closed="left"), None],
        "alpha": ALPHA,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "estimator": [HasMethods(["fit", "predict"]), None],
        "bin_size": [Interval(Integral, 2, None, closed="left")],
        "n_factors": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        strategy="mean",
        *,
        labels=None,
        cross_fit=False,
        degree=None,
        alpha="auto",
        n_neighbors=20,
        estimator=None,
        bin_size=20,
        n_factors=20,
        random_state=0,
    ):
        self.strategy = strategy
        self.labels = labels
        self.cross_fit = cross_fit
        self.degree = degree
        self.alpha = alpha
        self.n_neighbors = n_neighbors
        self.estimator = estimator
        self.bin_size = bin_size
        self.n_factors = n_factors
        self.random_state = random_state

    # ------------------------------------------------------------------ fitting
    def _fit(self, X, y, sample_weight):
        names = self._names(X)
        labels = read_labels(X, names)
        rng = check_random_state(self.random_state)
        if self.cross_fit and names:
            self.label_model_, labels = LabelModel.cross_fitted(
                X, labels, sample_weight, star_codes(X, y)
            )
        known = np.isfinite(labels).all(axis=1)
        if not known.any():
            raise ValueError(f"no star has all of the labels {names}.")
        if not known.all():
            warnings.warn(
                f"{int((~known).sum())} of {len(X)} stars lack one of the labels "
                f"{names}; they are left out.",
                UserWarning,
                stacklevel=3,
            )
            X, y = by_index(X)[known], by_index(y)[known]
            labels, sample_weight = labels[known], sample_weight[known]
            self._sums = None  # were of all stars
        self.label_mean_, self.label_scale_ = standardised(labels, sample_weight)
        z = self._standard(labels)
        stars = star_codes(X, y)
        distance = (z**2).sum(axis=1)
        self._limit = max(float(distance.max(initial=0)), 1e-12)
        fit = {
            "labels": self._fit_terms,
            "mean": self._fit_terms,
            "neighbors": self._fit_neighbors,
            "shuffled": self._fit_shuffled,
        }[self.strategy]
        fit(z, X, y, sample_weight, stars, rng)

    def _fit_terms(self, z, X, y, weight, stars, rng):
        if self.degree is not None:
            self.terms_ = PolynomialTerms(self.degree)
        elif z.shape[1]:
            self.terms_ = chosen_terms(z, y, weight, stars, rng)
        terms = self._terms(z)
        self._ridge, _ = fit_pixel_ridge(
            terms,
            np.zeros((terms.shape[1], terms.shape[1])),
            y,
            weight,
            stars,
            checked_alpha(self.alpha),
            self.n_factors,
            rng,
            self._change,
            sums=self._sums,
        )

    def _fit_neighbors(self, z, X, y, weight, stars, rng):
        self._neighbors = Neighbors.of(
            z, y, weight, stars, self.n_neighbors, self.y_mean_, self._change
        )
        self._ridge = self._neighbors.errors(z, weight, self.n_factors, rng)

    def _fit_shuffled(self, z, X, y, weight, stars, rng):
        given = shuffled_rows(z, stars, self.bin_size, rng)
        estimator = PCARidge() if self.estimator is None else self.estimator
        others = by_index(y)[given]
        shaped = others.meta is not None and LSF_SHAPE in others.meta.colnames
        meta = others.meta[[LSF_SHAPE]] if shaped else None
        others = others.replace(ids=X.ids, meta=meta)
        # a pair counts as much as the two stars that it is made of
        paired = np.sqrt(weight * weight[given])
        params = (
            {}
            if (paired == 1).all()
            else {parameter_of_last(estimator, "sample_weight"): paired}
        )
        self.estimator_ = clone(estimator).fit(X, others, **params)
        # the null's own reference, if its translator knows of resolving powers
        told = resolution_of(self.estimator_, others[:1]) is not None
        self._writes_at = self.resolution_ if told else None

    def _names(self, X=None):
        names = [] if self.labels is None else list(self.labels)
        if self.strategy == "mean":
            return []
        if not names and self.strategy in NEED_LABELS:
            raise ValueError(
                f'strategy="{self.strategy}" needs labels=[...]: names of columns of '
                "X.meta"
                + (f", which has {X.meta.colnames}." if X.meta is not None else ".")
            )
        return names

    # --------------------------------------------------------------- predicting
    def _labels_of(self, X):
        """Standardised labels of spectra, (n, n_labels)."""
        names = self._names()
        if names and self.cross_fit:
            return self._standard(self.label_model_.predict(X))
        return self._standard(read_labels(X, names))

    def _standard(self, labels):
        return (labels - self.label_mean_) / self.label_scale_

    def _terms(self, z):
        """Functions of standardised labels, NaN where one is unknown."""
        if not z.shape[1]:
            return z
        unknown = ~np.isfinite(z).all(axis=1)
        terms = self.terms_(np.where(unknown[:, None], 0, z))
        terms[unknown] = np.nan
        return terms

    def _predict_block(self, X):
        if self.strategy == "shuffled":
            return self._of_shuffled(X)
        z = self._labels_of(X)
        if self.strategy != "neighbors":
            return self._ridge.predict(self._terms(z))
        known = np.isfinite(z).all(axis=1)
        flux = np.full((len(z), self.n_pixels_out_), np.nan, self.dtype_)
        flux[known] = self._neighbors.mean(z[known])
        return flux

    def _of_shuffled(self, X):
        if self._writes_at is None:
            return np.asarray(self.estimator_.predict(X)).reshape(len(X), -1)
        return predict_at(self.estimator_, X, np.tile(self._writes_at, (len(X), 1)))

    def _covariance_block(self, X):
        if self.strategy == "shuffled":
            power = self._writes_at
            power = power if power is None else np.tile(power, (len(X), 1))
            return translate(self.estimator_, X, resolution=power).covariance
        z = self._labels_of(X)
        if self.strategy != "neighbors":
            return self._ridge.covariance(self._terms(z))
        none = np.where(np.isfinite(z).all(axis=1, keepdims=True), 0.0, np.nan)
        return self._ridge.covariance(none[:, :0])

    def _support_block(self, X):
        if self.strategy == "shuffled":
            return support(self.estimator_, X)
        return (self._labels_of(X) ** 2).sum(axis=1) / self._limit

    @property
    def scatter_(self):
        return np.sqrt(self._ridge.scatter)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # it knows less than there is to know
        return tags


def read_labels(X, names):
    """Columns of ``X.meta`` as floats of shape (n, n_labels); NaN where unknown."""
    if not names:
        return np.zeros((len(X), 0))
    if X.meta is None:
        raise ValueError(
            f"the null reads the labels {names} from X.meta, and X has none: give "
            "Spectra(..., meta=table)."
        )
    missing = [name for name in names if name not in X.meta.colnames]
    if missing:
        raise ValueError(f"X.meta lacks {missing}; it has {X.meta.colnames}.")
    return np.column_stack([known_labels(X.meta[name]) for name in names])
