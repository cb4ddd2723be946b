"""Is it real? What a translator has learnt, from where, and whether it is chance."""

from specxfer.validation._attribution import Attribution, attribution
from specxfer.validation._counterfactual_test import counterfactual_test
from specxfer.validation._leakage_test import leakage_test
from specxfer.validation._null_test import null_test
from specxfer.validation._twins_test import identical_twins, twins_test

__all__ = [
    "Attribution",
    "attribution",
    "counterfactual_test",
    "identical_twins",
    "leakage_test",
    "null_test",
    "twins_test",
]
