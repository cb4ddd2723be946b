"""Points of a search as fitted translators, and the rows they are scored on."""

import numpy as np

from specxfer._lazy import as_index, split_key
from specxfer.linear._pca_ridge import PCARidge
from specxfer.spectra import Spectra


class HeldOut(Spectra):
    """Spectra that know which rows of the test set they are, however sliced."""

    @classmethod
    def of(cls, spectra):
        """All rows of a test set.

        Parameters
        ----------
        spectra : Spectra

        Returns
        -------
        HeldOut
        """
        new = object.__new__(cls)
        new.__dict__.update(spectra.__dict__)
        new.row = np.arange(len(spectra))
        return new

    def __getitem__(self, key):
        new = super().__getitem__(key)
        rows, _ = split_key(key)
        new.row = self.row[as_index(rows, len(self), "row")]
        return new


class GridPoint(PCARidge):
    """A `PCARidge` that predicts, with the features of the test set at hand.

    Its coefficients are all it has of a fit: it does not know its errors.
    """

    given = features = None  # the test set as a scorer gets it, and its features

    def predict(self, X, return_std=False, *, resolution=None):
        if X is self.given:
            X = HeldOut.of(self._check_source(X, reset=False))
        return super().predict(X, return_std, resolution=resolution)

    def _features(self, X, with_spread=True):
        if isinstance(X, HeldOut):
            return self.features[X.row], None
        return super()._features(X, with_spread)

    def _covariance_block(self, X, out=None):
        raise NotImplementedError(
            "the points of a PCARidgeCV grid do not know their errors: use a scorer "
            "that calls predict alone, or GridSearchCV(PCARidge(), ...)."
        )

    _flux_and_covariance = _support_block = _covariance_block
