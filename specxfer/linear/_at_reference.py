"""Target spectra brought to one resolving power, by what a model says of them."""

from copy import copy

import numpy as np


class AtReference:
    """Rows of a target as they would be at the reference resolving power.

    What a change of resolving power does to a spectrum is computed from a model's
    noise-free prediction of it, and taken off the observed flux: so noise is neither
    sharpened nor smoothed, and the error made is the change of the model's error, a
    product of two small numbers. Blocks are corrected as they are read; nothing is
    copied.

    Parameters
    ----------
    y : Spectra of shape (n, n_pixels)
        With a `resolution`; rows where it is NaN stay as they are.
    features : ndarray of shape (n, k)
    coef : ndarray of shape (k, n_pixels)
        ``features @ coef`` is the model's flux at the reference.
    change : ResolutionChange
    """

    def __init__(self, y, features, coef, change):
        self._y, self._features, self._chip = y, features, change.chip
        nodes, self._weights = change.nodes(change.alike(y))
        coef = np.where(change.seen, coef, 0)
        self._effect = np.stack([change.at(node, coef) - coef for node in nodes])
        self._effect = self._effect.astype(y.dtype)
        self.shape, self.dtype, self.has_noise = y.shape, y.dtype, y.has_noise
        self.wave, self.chip = y.wave, y.chip

    def __len__(self):
        return len(self._y)

    def __getitem__(self, rows):
        some = copy(self)
        some._y, some._features = self._y[rows], self._features[rows]
        some._weights = self._weights[:, rows]
        some.shape = some._y.shape
        return some

    def iter_blocks(self, n_rows=None):
        """As `Spectra.iter_blocks`.

        Yields
        ------
        rows : slice
        block : Spectra
        """
        for rows, block in self._y.iter_blocks(n_rows):
            block._flux = block.flux - self._offset(rows)
            yield rows, block

    def _offset(self, rows):
        """What the spectra differ by from those at the reference."""
        offset = np.empty((rows.stop - rows.start, self.shape[1]), self.dtype)
        u = self._features[rows].astype(self.dtype)
        for number in np.unique(self._chip):
            pixels = self._chip == number
            weights = self._weights[:, rows, number].T.astype(self.dtype)
            terms = (weights[:, :, None] * u[:, None, :]).reshape(len(u), -1)
            effect = self._effect[:, :, pixels]
            offset[:, pixels] = terms @ effect.reshape(terms.shape[1], -1)
        return offset
