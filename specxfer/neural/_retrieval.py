"""`mean_of_nearest`: a spectrum from spectra that were observed."""

import numpy as np

from specxfer._rows import by_index

__all__ = ["mean_of_nearest"]

QUERIES = 64  # whose neighbours are read together


def mean_of_nearest(library, indices, flux, std):
    """Means of the nearest spectra, weighted by their noise, and their spread.

    Parameters
    ----------
    library : Spectra of shape (m, n_pixels)
    indices : ndarray of int of shape (n, k)
        The nearest of each star.
    flux : ndarray of shape (n, n_pixels)
        Where the means are written; NaN where no neighbour has a pixel.
    std : ndarray of the same shape, or None
        Where the standard deviation of the noise-free flux is written: how neighbours
        spread beyond their noise, and the noise of the mean. With one neighbour
        spread is unknown: NaN, as where there are fewer than two.
    """
    library = by_index(library)
    for start in range(0, len(indices), QUERIES):
        rows = slice(start, start + QUERIES)
        needed, at = np.unique(indices[rows], return_inverse=True)
        spectra = library[needed]
        found, weights = np.asarray(spectra.flux), spectra.weights()
        found = np.where(weights > 0, found, 0).astype(float)
        for i, some in enumerate(at.reshape(indices[rows].shape)):
            w, f = weights[some].astype(float), found[some]
            total, count = w.sum(axis=0), (w > 0).sum(axis=0)
            known = np.where(total > 0, total, np.nan)
            mean = (w * f).sum(axis=0) / known
            flux[start + i] = mean
            if std is None:
                continue
            free = np.where(count > 1, count - 1, np.nan)
            spread = (w * (f - mean) ** 2).sum(axis=0) / known * count / free
            noise, of_mean = 0.0, spread / np.maximum(count, 1)
            if library.has_noise:
                noise, of_mean = count / known, 1 / known
            std[start + i] = np.sqrt(np.maximum(spread - noise, 0) + of_mean)
