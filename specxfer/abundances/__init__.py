"""Abundances of heavy elements from translated spectra."""

from specxfer.abundances._abundance_regressor import AbundanceRegressor
from specxfer.abundances._equivalent_widths import EquivalentWidths

__all__ = ["AbundanceRegressor", "EquivalentWidths"]
