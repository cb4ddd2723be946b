"""The mean of the stars that are nearest in labels."""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from specxfer.baselines._label_terms import PolynomialTerms
from specxfer.linear._pixel_ridge import Problem, fit_pixel_ridge

__all__ = ["Neighbors"]


@dataclass
class Neighbors:
    """Training targets, found by their labels.

    Parameters
    ----------
    tree : NearestNeighbors
    stars : ndarray of int of shape (n,)
        The star of each training row.
    y : Spectra or AtReference of shape (n, n_pixels)
        The training targets, as they are or at one resolving power.
    n_neighbors : int
        Rows that are averaged.
    fallback : ndarray of shape (n_pixels,)
        Where none of them has the pixel.
    weight : ndarray of shape (n,)
        Of each training row.
    scatter : ndarray of shape (n_pixels,)
        Variance between stars of equal labels: however little its noise, a neighbour
        is another star.
    """

    tree: NearestNeighbors
    stars: np.ndarray
    y: object
    n_neighbors: int
    fallback: np.ndarray
    weight: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, z, y, weight, stars, n_neighbors, mean, change):
        """From standardised labels (n, n_labels) and targets."""
        scatter = np.zeros(y.shape[1], y.dtype)
        if y.has_noise or change is not None:
            # what labels say of the spectra, and of their resolution's part in them
            problem = Problem.of(PolynomialTerms(2)(z), y, weight, 1.0, change)
            y, scatter = problem.y, problem.scatter
        tree = NearestNeighbors().fit(z)
        return cls(tree, stars, y, n_neighbors, mean, weight, scatter)

    def mean(self, z, own=None):
        """Mean flux of the nearest rows, weighted by noise and scatter, (n, n_pixels).

        Parameters
        ----------
        z : ndarray of shape (n, n_labels)
        own : ndarray of int of shape (n,), optional
            Stars that are not their own neighbours.
        """
        most = 1 if own is None else int(np.bincount(self.stars).max())
        k = min(self.n_neighbors + (0 if own is None else most), len(self.stars))
        near = self.tree.kneighbors(z, k, return_distance=False)
        out = np.empty((len(z), self.y.shape[1]), self.y.dtype)
        for i, rows in enumerate(near):
            if own is not None:
                rows = rows[self.stars[rows] != own[i]]
            out[i] = self._average(rows[: self.n_neighbors])
        return out

    def _average(self, rows):
        top, bottom = np.zeros((2, self.y.shape[1]))
        rows = np.sort(rows)
        for part, block in self.y[rows].iter_blocks():
            weight = block.weights()
            if block.has_noise:
                weight = weight / (1 + self.scatter * weight)
            weight = weight * self.weight[rows[part], None]
            bottom += weight.sum(axis=0)
            top += (weight * np.where(weight > 0, block.flux, 0)).sum(axis=0)
        known = bottom > 0
        return np.where(known, top / np.where(known, bottom, 1), self.fallback)

    def errors(self, z, weight, n_factors, rng):
        """What the neighbours of training stars leave of them, as a `PixelRidge`."""
        left = _Residuals(self, z, np.arange(len(z)))
        none = np.zeros((len(z), 0))
        return fit_pixel_ridge(
            none, np.zeros((0, 0)), left, weight, self.stars, 0.0, n_factors, rng
        )[0]


class _Residuals:
    """Training targets less the mean of their neighbours, made as they are read."""

    def __init__(self, neighbors, z, rows):
        self._neighbors, self._z, self._rows = neighbors, z, rows
        y = neighbors.y
        self.shape = (len(rows), y.shape[1])
        self.dtype, self.has_noise = y.dtype, y.has_noise
        self.wave, self.chip = y.wave, y.chip

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, rows):
        return _Residuals(self._neighbors, self._z, self._rows[rows])

    def load(self):
        """As `Spectra`, in memory."""
        ((_, block),) = self.iter_blocks(len(self))
        return block

    def iter_blocks(self, n_rows=None):
        """As `Spectra.iter_blocks`."""
        near = self._neighbors
        for rows, block in near.y[self._rows].iter_blocks(n_rows):
            mine = self._rows[rows]
            block._flux = block.flux - near.mean(self._z[mine], near.stars[mine])
            yield rows, block
