"""Is it real? Tests that make a result publishable."""

from specxfer.validation._compare_translators import Comparison, compare_translators
from specxfer.validation._markdown import to_markdown

__all__ = ["Comparison", "compare_translators", "to_markdown"]
