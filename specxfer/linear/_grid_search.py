"""The folds of a search, one after the other."""

from inspect import signature
from time import perf_counter

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight

from specxfer._rows import by_index
from specxfer.base import _has_pixels, _weighted_rows
from specxfer.linear._grid_fold import GridFold
from specxfer.linear._held_out import HeldOut
from specxfer.linear._spectral_pca import SpectralPCA
from specxfer.spectra import Spectra


class GridSearch:
    """What the folds of a search have in common.

    Parameters
    ----------
    grid : dict of list
        The values of alpha, n_components and n_products.
    given : (Spectra or array, Spectra or array)
        X and y as the user gave them: what scorers get.
    spectra : (Spectra, Spectra)
        The same, checked.
    sample_weight : array-like of shape (n,) or None
    scorers : dict of callable or None
        None for `Translator.score`.
    prototype : GridPoint
        With all parameters that are not in the grid; knows the grid of the source.
    """

    def __init__(self, grid, given, spectra, sample_weight, scorers, prototype):
        X, y = spectra
        self._grid, self._given, self._prototype = grid, given, prototype
        self._X, self._y = by_index(X), by_index(y)
        self._weight = _check_sample_weight(
            sample_weight, X, ensure_non_negative=True, dtype=float
        )
        self._weighted, self._scorers = sample_weight is not None, scorers
        self._used = _has_pixels(X) & _has_pixels(y) & (self._weight > 0)
        self._shared = self._start = None

    def use(self, source, weight):
        """Learn the components of all folds from these spectra.

        Parameters
        ----------
        source : Spectra of shape (n_source, n_pixels)
        weight : array-like of shape (n_source,) or None
        """
        self._shared = self._components(source, weight)

    def _components(self, source, weight):
        """The components of spectra, as many as the grid asks for."""
        own = self._prototype
        pca = SpectralPCA(
            own.n_components,
            max_iter=own.max_iter,
            tol=own.tol,
            random_state=own.random_state,
        )
        pca._fit(*_weighted_rows(source, weight), self._start)
        own.pca_ = pca
        self._start = pca._model  # the next fold's are much the same
        return pca._model

    def evaluate(self, train, test, progress):
        """Scores of all points on one fold, by metric, and what they took.

        Parameters
        ----------
        train, test : ndarray of int or bool
        progress : tqdm

        Returns
        -------
        scores : dict of ndarray of shape (n_points,)
        fit_time, score_time : ndarray of shape (n_points,)
            Seconds.
        """
        start = perf_counter()
        fold = self._fold(train, test)
        cells = [
            (k, q) for k in self._grid["n_components"] for q in self._grid["n_products"]
        ]
        points = fold.points(*map(list, zip(*cells)))
        common = (perf_counter() - start) / len(cells)
        # components and products, alpha; what is common to all is shared out
        shape = len(cells), len(self._grid["alpha"])
        fit_time, score_time = np.full(shape, common / shape[1]), np.zeros(shape)
        if self._scorers is None and fold.point._change is None:
            scores = {"score": np.empty(shape)}
            start = perf_counter()
            for i, values in enumerate(fold.explained(points, self._grid["alpha"])):
                scores["score"][i] = values
                fit_time[i] += (perf_counter() - start) / shape[1]
                start = perf_counter()
                progress.update(shape[1])
        else:
            scores = self._predicted(fold, points, test, fit_time, score_time, progress)
        scores = {name: self._in_order(values) for name, values in scores.items()}
        return scores, self._in_order(fit_time), self._in_order(score_time)

    def _fold(self, train, test):
        train, test = (np.arange(len(self._X))[rows] for rows in (train, test))
        source, model = self._X[train], self._shared
        if model is None:
            model = self._components(source, self._weight[train])
        used = self._used[train]
        if not used.any():
            raise ValueError(
                "the training rows of a fold hold no star that has a weight and a "
                "valid pixel on both sides: use fewer folds, or check the masks."
            )
        if not used.all():
            train = train[used]
            source = self._X[train]
        return GridFold(
            (source, self._y[train], self._weight[train]),
            (self._X[test], self._y[test], self._test_weight(test)),
            model,
            self._shared is not None,
            self._prototype,
        )

    def _test_weight(self, test):
        return self._weight[test] if self._weighted else np.ones(len(test))

    def _predicted(self, fold, points, test, fit_time, score_time, progress):
        """Scores by metric, of models that predict the test rows."""
        X, y = (_safe_indexing(rows, test) for rows in self._given)
        if isinstance(X, Spectra):
            X = HeldOut.of(X)
        extra = {"sample_weight": self._test_weight(test)} if self._weighted else {}
        scores = {}
        for i, point in enumerate(points):
            start = perf_counter()
            for j, model in enumerate(fold.fitted(point, self._grid["alpha"], X)):
                fit_time[i, j] += perf_counter() - start
                start = perf_counter()
                for name, value in self._score(model, X, y, extra).items():
                    scores.setdefault(name, np.empty(fit_time.shape))[i, j] = value
                score_time[i, j] = perf_counter() - start
                start = perf_counter()
                progress.update()
        return scores

    def _score(self, model, X, y, extra):
        if self._scorers is None:
            return {"score": model.score(X, y, **extra)}
        scores = {}
        for name, scorer in self._scorers.items():
            takes = "sample_weight" in signature(scorer).parameters
            value = scorer(model, X, y, **(extra if takes else {}))
            scores |= value if isinstance(value, dict) else {name: float(value)}
        return scores

    def _in_order(self, values):
        """From components × products and alpha to the order of the grid."""
        n_alphas, n_components, n_products = map(len, self._grid.values())
        values = values.reshape(n_components, n_products, n_alphas)
        return values.transpose(2, 0, 1).ravel()
