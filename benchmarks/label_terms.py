"""All that is known of a simulated star but its heavy elements, as terms of a fit."""

import numpy as np
from sklearn.preprocessing import PolynomialFeatures

from specxfer.datasets._population import TRENDS

MAIN = ["teff", "logg", "fe_h", "alpha", "vmic", "vmac"]
LABELS = MAIN + [f"{element.lower()}_fe" for element in TRENDS]  # the light elements


def label_terms(X):
    """Terms of a regression: quadratic in the main labels, giants and dwarfs apart."""
    labels = np.column_stack([X.meta[name] for name in LABELS]).astype(float)
    labels[:, 0] /= 1000  # K
    terms = PolynomialFeatures(2, include_bias=False).fit_transform(
        labels[:, : len(MAIN)]
    )
    terms = np.hstack([terms, labels[:, len(MAIN) :]])
    giant = np.asarray(X.meta["giant"])[:, None]
    return np.hstack([np.where(giant, terms, 0), np.where(giant, 0, terms), giant])
