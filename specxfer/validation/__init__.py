"""Is it real? What a translator has learnt, from where, and whether it is chance."""

from specxfer.validation._attribution import Attribution, attribution
from specxfer.validation._compare_translators import Comparison, compare_translators
from specxfer.validation._counterfactual_test import counterfactual_test
from specxfer.validation._leakage_test import leakage_test
from specxfer.validation._markdown import to_markdown
from specxfer.validation._null_test import null_test
from specxfer.validation._sensitivity import (
    attenuation_curve,
    continuum_sensitivity,
    resolution_sensitivity,
    velocity_sensitivity,
)
from specxfer.validation._twins_test import identical_twins, twins_test

__all__ = [
    "Attribution",
    "Comparison",
    "attenuation_curve",
    "attribution",
    "compare_translators",
    "continuum_sensitivity",
    "counterfactual_test",
    "identical_twins",
    "leakage_test",
    "null_test",
    "resolution_sensitivity",
    "to_markdown",
    "twins_test",
    "velocity_sensitivity",
]
