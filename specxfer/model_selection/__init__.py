"""Splitters that keep all spectra of a star on one side."""

from specxfer.model_selection._star_kfold import StarKFold, check_star_cv
from specxfer.model_selection._star_shuffle_split import StarShuffleSplit

__all__ = ["StarKFold", "StarShuffleSplit", "check_star_cv"]
