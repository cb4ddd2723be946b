"""`TargetComponents`: the components of a target's parts, to look at spectra with."""

from dataclasses import dataclass

import numpy as np

from specxfer.linear._scores import BLOCK
from specxfer.neural._target_scores import TargetScores

__all__ = ["TargetComponents"]


@dataclass(frozen=True)
class TargetComponents:
    """Components of all pixels, and of some of them.

    Parameters
    ----------
    parts : tuple of (ndarray of int or None, SpectralPCA)
        Pixels and the components fitted to them; None are all pixels.
    """

    parts: tuple

    def scores(self, y):
        """All that spectra say of their coefficients: `TargetScores` of all parts."""
        first, *rest = (TargetScores.of(_of(y, at), pca) for at, pca in self.parts)
        for other in rest:
            first = first.beside(other)
        return first

    def means(self, y):
        """The coefficients' posterior means, (n, k): ``scores(y).posterior``."""
        found = [
            np.concatenate(
                [pca._model.scores(block) for _, block in _of(y, at).iter_blocks(BLOCK)]
            )
            for at, pca in self.parts
        ]
        return np.concatenate(found, axis=1)


def _of(y, pixels):
    """Some pixels of spectra."""
    return y if pixels is None else y[:, pixels]
