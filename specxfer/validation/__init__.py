"""Is it real? Tests that make a result publishable."""

from specxfer.validation._compare_translators import Comparison, compare_translators
from specxfer.validation._markdown import to_markdown
from specxfer.validation._sensitivity import (
    attenuation_curve,
    continuum_sensitivity,
    resolution_sensitivity,
    velocity_sensitivity,
)

__all__ = [
    "Comparison",
    "attenuation_curve",
    "compare_translators",
    "continuum_sensitivity",
    "resolution_sensitivity",
    "to_markdown",
    "velocity_sensitivity",
]
