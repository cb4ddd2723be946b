"""All that is known of a simulated star but its heavy elements, as terms of a fit."""

import numpy as np
from sklearn.preprocessing import PolynomialFeatures

from specxfer.datasets._population import TRENDS

MAIN = ["teff", "logg", "fe_h", "alpha", "vmic", "vmac"]
LIGHT = [f"{element.lower()}_fe" for element in TRENDS]
LTE_MAIN = ["teff", "logg", "feh", "alpha", "vmic", "vmac", "vsini"]
LTE_LIGHT = ["c12c13", "P_fe", "Zn_fe", *(f"{element}_fe" for element in TRENDS)]


def label_terms(X, main, light, degree):
    """Terms of a regression: powers of the main labels, giants and dwarfs apart."""
    first, rest = (
        np.column_stack([X.meta[name] for name in names]).astype(float)
        for names in (main, light)
    )
    first[:, 0] /= 1000  # Teff
    terms = PolynomialFeatures(degree, include_bias=False).fit_transform(first)
    terms = np.hstack([terms, rest])
    giant = np.asarray(X.meta["giant"], dtype=bool)[:, None]
    return np.hstack([np.where(giant, terms, 0), np.where(giant, 0, terms), giant])
