"""Errors against noisy spectra: of pixels, of lines, and as scikit-learn scorers."""

from specxfer.metrics._calibration import coverage, interval_coverage, sharpness
from specxfer.metrics._compare import giants_and_dwarfs, line_table, paired_difference
from specxfer.metrics._continuum import match_continuum
from specxfer.metrics._equivalent_width import equivalent_width
from specxfer.metrics._errors import mse, mse_per_pixel, mse_per_star, signed_root
from specxfer.metrics._noise import NoiseScale, noise_scale
from specxfer.metrics._ranks import Ranks, pit_histogram, sbc_ranks
from specxfer.metrics._scorers import chi2_scorer, line_ew_scorer, line_flux_scorer
from specxfer.metrics._slopes import slope_table

__all__ = [
    "NoiseScale",
    "Ranks",
    "chi2_scorer",
    "coverage",
    "equivalent_width",
    "giants_and_dwarfs",
    "interval_coverage",
    "line_ew_scorer",
    "line_flux_scorer",
    "line_table",
    "match_continuum",
    "mse",
    "mse_per_pixel",
    "mse_per_star",
    "noise_scale",
    "paired_difference",
    "pit_histogram",
    "sbc_ranks",
    "sharpness",
    "signed_root",
    "slope_table",
]
