"""Predictors that know less than the source spectrum: what a translator must beat."""

from specxfer.baselines._null_translator import NullTranslator

__all__ = ["NullTranslator"]
