"""`PCARidgeCV`: a whole grid of `PCARidge` models from one decomposition per fold."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid
from sklearn.utils._param_validation import Interval, StrOptions
from tqdm import tqdm

from specxfer._plausible import inside_a_fit, warn_if_implausible
from specxfer._rows import check_rows
from specxfer.base import Translator
from specxfer.linear._grid_search import GridSearch
from specxfer.linear._held_out import GridPoint
from specxfer.linear._pca_ridge import PCARidge
from specxfer.linear._search_results import metric_to_refit, search_results
from specxfer.model_selection import check_star_cv

OF_A_FIT = [  # what the best translator knows, and this one too
    *("n_features_in_", "feature_names_in_", "wave_in_", "medium_in_", "dtype_"),
    *("wave_out_", "medium_out_", "chip_out_", "n_pixels_out_", "noise_known_"),
    *("y_mean_", "seen_", "resolution_", "max_resolution_", "_change", "version_"),
]


class PCARidgeCV(Translator):
    """`PCARidge` whose components, penalty and products are chosen by cross-validation.

    The same as ``GridSearchCV(PCARidge(), grid, cv=StarKFold())``, for a small part of
    the cost: a fold's components are found once, at the largest number asked for; the
    normal equations serve all penalties; and the error of the stars left out follows
    from their own normal equations, without a prediction. All spectra of a star are in
    one fold.

    Parameters
    ----------
    n_components : int or sequence of int, default=(10, 20, 30, 50, 80)
    alpha : "auto", float or sequence of these, default=("auto", 1.0, 10.0, 100.0)
    n_products : int or sequence of int, default=(0, 10)
        The values to try of each parameter of `PCARidge`; all combinations are.
    cv : int, splitter or iterable of (train, test), default=5
        See `specxfer.model_selection.check_star_cv`.
    scoring : str, callable, list or dict, optional
        As for scikit-learn's searches. By default `score`, the fraction of variance
        explained, which needs no predictions; any other scorer gets them.
    refit : bool, str or callable, default=True
        Whether to fit the best on all stars; of several metrics, the name of the one
        that it is the best by; or a function of `cv_results_` that gives its index.
    n_factors, max_iter, tol, random_state
        See `PCARidge`.
    verbose : int, default=0
        Above 0: shows a progress bar.

    Attributes
    ----------
    best_estimator_ : PCARidge
        The best, fitted to all stars; only with `refit`.
    best_params_ : dict
    best_index_ : int
        Its row in `cv_results_`.
    best_score_ : float
        Mean score on the stars left out; not where `refit` is a function.
    cv_results_ : dict of ndarray
        As that of `sklearn.model_selection.GridSearchCV`. Times are shares of what
        the points of a fold cost together.
    n_splits_ : int
    n_iter_ : int
        Passes that `best_estimator_` made over the source.
    resolution_, max_resolution_ : ndarray of shape (n_chips_out,) or None
        See `Translator`.

    See Also
    --------
    PCARidge : With one set of parameters.

    Notes
    -----
    For coefficients b the weighted squared error of the test stars at a pixel is
    ``Σ w y² − 2 b·r + bᵀ G b``, with r and G sums over these stars. On targets without
    noise and gaps the sum over all pixels depends on products of small matrices only,
    whatever the penalty.

    Scores differ from those of separate fits by the tolerance of the components, and
    where y has noise because weights allow for one first guess of the scatter, with
    the median of all `alpha`. A fold's rows are selected by index and read block by
    block, so nothing of size is copied. Spectra given as `source` in `fit` show
    their components to every fold. Where `sample_weight` is given it weighs the test
    stars, too, if the scorer takes it.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.linear import PCARidgeCV
    >>> rng = np.random.default_rng(0)
    >>> u = rng.normal(0, 0.1, (200, 3))
    >>> X = 1 + u @ rng.normal(size=(3, 20)) + rng.normal(0, 0.01, (200, 20))
    >>> y = 1 + u @ rng.normal(size=(3, 10)) + rng.normal(0, 0.01, (200, 10))
    >>> model = PCARidgeCV(n_components=(1, 3), alpha=(0.1, 1e4), n_products=0)
    >>> model.fit(X, y).best_params_
    {'alpha': 0.1, 'n_components': 3, 'n_products': 0}
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "alpha": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"auto"}),
            "array-like",
        ],
        "n_products": [Interval(Integral, 0, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [str, callable, list, tuple, dict, None],
        "refit": ["boolean", str, callable],
        "n_factors": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=(10, 20, 30, 50, 80),
        alpha=("auto", 1.0, 10.0, 100.0),
        *,
        n_products=(0, 10),
        cv=5,
        scoring=None,
        refit=True,
        n_factors=20,
        max_iter=20,
        tol=1e-4,
        random_state=0,
        verbose=0,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.n_products = n_products
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.n_factors = n_factors
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        groups=None,
        source=None,
        source_weight=None,
    ):
        """Evaluate the grid, and fit the best point to all stars.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
        sample_weight : array-like of shape (n_spectra,), optional
        groups : array-like of shape (n_spectra,), optional
            The star of each row, where X and y carry no ids.
        source : Spectra or array-like of shape (n_source, n_features_in), optional
        source_weight : array-like of shape (n_source,), optional
            As for `PCARidge`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If rows, stars or grids disagree, or a fold has no stars to learn from.
        """
        grid = self._grid()
        for name in ("best_estimator_", "best_params_", "best_index_", "best_score_"):
            self.__dict__.pop(name, None)  # of an earlier fit
        spectra = self._check_source(X, reset=True), self._check_target(y)
        check_rows(*spectra)
        warn_if_implausible(*spectra)
        prototype = self._made(GridPoint, n_components=max(grid["n_components"]))
        prototype._check_source(X, reset=True)
        search = GridSearch(
            grid, (X, y), spectra, sample_weight, self._scorers(), prototype
        )
        if source is not None:
            search.use(prototype._check_source(source, reset=False), source_weight)
        splits = list(check_star_cv(self.cv).split(*spectra, groups))
        self.n_splits_ = len(splits)
        points = list(ParameterGrid(grid))
        progress = tqdm(
            total=len(points) * len(splits), disable=not self.verbose, unit="point"
        )
        with progress:
            folds = [search.evaluate(*split, progress) for split in splits]
        scores, *times = zip(*folds)
        scores = {
            name: np.stack([of_fold[name] for of_fold in scores], axis=1)
            for name in scores[0]
        }
        times = [np.stack(of_folds, axis=1) for of_folds in times]
        metric = metric_to_refit(list(scores), self.refit)
        self.cv_results_ = search_results(points, scores, *times)
        self._choose(points, metric)
        if self.refit:
            best = self._made(PCARidge, **self.best_params_)
            with inside_a_fit():
                best.fit(
                    X, y, sample_weight, source=source, source_weight=source_weight
                )
            self._take(best)
        return self

    def _grid(self):
        """The values of each parameter, as lists."""
        grid = {}
        for name, least in (("alpha", 0), ("n_components", 1), ("n_products", 0)):
            values = getattr(self, name)
            values = [values] if isinstance(values, (str, Real)) else list(values)
            kind = Real if name == "alpha" else Integral
            for value in values:
                auto = name == "alpha" and isinstance(value, str) and value == "auto"
                if not auto and not (isinstance(value, kind) and value >= least):
                    raise ValueError(
                        f"{name} holds {value!r}; expected "
                        f"{kind.__name__.lower()} numbers of {least} or more"
                        f"{', or auto' if name == 'alpha' else ''}."
                    )
            if not values:
                raise ValueError(f"{name} is empty; expected one value or more to try.")
            grid[name] = values
        return grid

    def _made(self, kind, **params):
        own = {
            name: getattr(self, name)
            for name in ("n_factors", "max_iter", "tol", "random_state")
        }
        return kind(**{**own, **params})

    def _scorers(self):
        if self.scoring is None:
            return None
        scoring = self.scoring
        if isinstance(scoring, (list, tuple)):
            scoring = {name: name for name in scoring}
        if not isinstance(scoring, dict):
            scoring = {"score": scoring}
        return {
            name: check_scoring(self, scoring=scorer)
            for name, scorer in scoring.items()
        }

    def _choose(self, points, metric):
        if callable(self.refit):
            self.best_index_ = self.refit(self.cv_results_)
        elif metric is None:
            return
        else:
            self.best_index_ = int(self.cv_results_[f"rank_test_{metric}"].argmin())
            mean = self.cv_results_[f"mean_test_{metric}"]
            self.best_score_ = float(mean[self.best_index_])
        self.best_params_ = points[self.best_index_]

    def _take(self, best):
        self.best_estimator_ = best
        for name in OF_A_FIT:
            self.__dict__.pop(name, None)
            if hasattr(best, name):
                setattr(self, name, getattr(best, name))

    def _predict_into(self, X, out):
        self.best_estimator_._predict_into(X, out)

    def _covariance_block(self, X):
        return self.best_estimator_._covariance_block(X)

    def _flux_and_covariance(self, X, out):
        return self.best_estimator_._flux_and_covariance(X, out)

    def _support_block(self, X):
        return self.best_estimator_._support_block(X)

    @property
    def n_iter_(self):
        return self.best_estimator_.n_iter_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "best_estimator_")
