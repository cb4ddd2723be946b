"""Is it real? What a translator has learnt, from where, and whether it is chance."""

from specxfer.validation._attribution import Attribution, attribution
from specxfer.validation._counterfactual_test import counterfactual_test
from specxfer.validation._leakage_test import leakage_test
from specxfer.validation._null_test import null_test

__all__ = [
    "Attribution",
    "attribution",
    "counterfactual_test",
    "leakage_test",
    "null_test",
]
