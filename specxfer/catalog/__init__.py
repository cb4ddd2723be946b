"""Catalogues: the translations of any number of stars, on disk."""

from specxfer.catalog._errors import CatalogError
from specxfer.catalog._translate_catalog import translate_catalog

__all__ = ["CatalogError", "translate_catalog"]
