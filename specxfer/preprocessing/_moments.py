"""Mean and scatter of training spectra, read block by block."""

import numpy as np

BLOCK_ROWS = 256  # fixed, so that sums do not depend on how the rows are stored


def moments(X):
    """Mean and standard deviation of each pixel over the stars that have it."""
    count, total, square = np.zeros((3, X.shape[1]))
    for _, block in X.iter_blocks(BLOCK_ROWS):
        valid = block.valid()
        flux = np.where(valid, block.flux, 0).astype(float)
        count += valid.sum(axis=0)
        total += flux.sum(axis=0)
        square += (flux**2).sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = total / count
        return mean, np.sqrt(np.maximum(square / count - mean**2, 0))
