"""`CatalogError`: why a catalogue was not made."""

__all__ = ["CatalogError"]


class CatalogError(ValueError):
    """A catalogue that cannot be made, or not in this folder."""
