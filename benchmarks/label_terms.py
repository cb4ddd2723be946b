"""All that is known of a simulated star but its heavy elements, as terms of a fit."""

import numpy as np
from sklearn.preprocessing import PolynomialFeatures

from specxfer.datasets._population import TRENDS

MAIN = ["teff", "logg", "fe_h", "alpha_fe", "vmic", "vmac"]
LIGHT = [f"{element.lower()}_fe" for element in TRENDS]


def label_terms(X):
    """Terms of a regression: quadratic in the main labels, giants and dwarfs apart."""
    first, rest = (
        np.column_stack([X.meta[name] for name in names]).astype(float)
        for names in (MAIN, LIGHT)
    )
    first[:, 0] /= 1000  # Teff
    terms = PolynomialFeatures(2, include_bias=False).fit_transform(first)
    terms = np.hstack([terms, rest])
    giant = np.asarray(X.meta["giant"], dtype=bool)[:, None]
    return np.hstack([np.where(giant, terms, 0), np.where(giant, 0, terms), giant])
