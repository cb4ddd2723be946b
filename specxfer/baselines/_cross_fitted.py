"""Labels read from source spectra, each star's by a model that never saw it."""

from dataclasses import dataclass

import numpy as np

from specxfer._rows import by_index
from specxfer.linear import PCARidge
from specxfer.model_selection import StarKFold

__all__ = ["LabelModel"]

FOLDS = 5
BLOCK_ROWS = 512


@dataclass
class LabelModel:
    """A regression of labels on source spectra.

    Parameters
    ----------
    translator : PCARidge
        Whose targets are standardised labels.
    mean, scale : ndarray of shape (n_labels,)
        What they are standardised with.
    """

    translator: PCARidge
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fitted(cls, X, labels, weight):
        """To all spectra; NaN labels carry no weight."""
        known = np.isfinite(labels)
        w = known * weight[:, None]
        total = np.maximum(w.sum(axis=0), np.finfo(float).tiny)
        values = np.where(known, labels, 0)
        mean = (w * values).sum(axis=0) / total
        spread = (w * (values - mean) ** 2).sum(axis=0) / total
        scale = np.where(spread > 0, np.sqrt(spread), 1)
        some = known.any(axis=1) & (weight > 0)
        standard = (labels[some] - mean) / scale
        translator = PCARidge(n_factors=0)
        source = X if some.all() else by_index(X)[some]
        return cls(translator.fit(source, standard, weight[some]), mean, scale)

    @classmethod
    def cross_fitted(cls, X, labels, weight, stars):
        """The model of all stars, and the labels of each from one that lacked it.

        Parameters
        ----------
        X : Spectra of shape (n, n_pixels)
        labels : ndarray of shape (n, n_labels)
            NaN where unknown.
        weight : ndarray of shape (n,)
        stars : ndarray of int of shape (n,)

        Returns
        -------
        model : LabelModel
        labels : ndarray of shape (n, n_labels)
        """
        X = by_index(X)
        out = np.empty(labels.shape)
        folds = min(FOLDS, int(stars.max()) + 1)
        for train, test in StarKFold(folds).split(labels, groups=stars):
            model = cls.fitted(X[train], labels[train], weight[train])
            out[test] = model.predict(X[test])
        return cls.fitted(X, labels, weight), out

    def predict(self, X):
        """Labels of spectra, (n, n_labels)."""
        out = np.empty((len(X), len(self.mean)))
        for rows, block in X.iter_blocks(BLOCK_ROWS):
            out[rows] = self.translator.predict(block) * self.scale + self.mean
        return out
