"""Predictions that are made where they are asked for, never all at once."""

import numpy as np

from specxfer._compositions import predict_like

__all__ = ["Predictions"]

ROWS = 512  # predicted at a time


class Predictions:
    """What `predict_like` gives, for the rows that are asked for, and then forgotten.

    Metrics take it in place of an array: they read their predictions block by block.

    Parameters
    ----------
    model : estimator
        Fitted.
    X, y : Spectra of shape (n_spectra, n_features_in) and (n_spectra, n_pixels_out)
        As `predict_like` takes them, in memory or on disk.
    """

    def __init__(self, model, X, y):
        self.model, self.X, self.y = model, X, y
        self.shape = y.shape
        self._number = self._block = None

    def __getitem__(self, rows):
        start, stop, _ = rows.indices(self.shape[0])
        first = start // ROWS
        blocks = [self._predicted(k) for k in range(first, -(-stop // ROWS))]
        flux = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return flux[start - first * ROWS : stop - first * ROWS]

    def _predicted(self, number):
        """A block; the last one is kept, as metrics ask for smaller pieces."""
        if number != self._number:
            rows = slice(number * ROWS, (number + 1) * ROWS)
            self._block = predict_like(self.model, self.X[rows], self.y[rows])
            self._number = number
        return self._block
