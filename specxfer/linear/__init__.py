"""Linear translators."""

from specxfer.linear._pca_ridge import PCARidge

__all__ = ["PCARidge"]
