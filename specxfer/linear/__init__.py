"""Linear translators."""

from specxfer.linear._matched_scores import MatchedScores
from specxfer.linear._pca_ridge import PCARidge
from specxfer.linear._pca_ridge_cv import PCARidgeCV
from specxfer.linear._spectral_pca import SpectralPCA
from specxfer.linear._spectral_ridge import SpectralRidge
from specxfer.linear._unattenuated import unattenuated

__all__ = [
    "MatchedScores",
    "PCARidge",
    "PCARidgeCV",
    "SpectralPCA",
    "SpectralRidge",
    "unattenuated",
]
