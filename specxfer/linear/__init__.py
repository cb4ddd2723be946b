"""Linear translators."""

from specxfer.linear._pca_ridge import PCARidge
from specxfer.linear._unattenuated import unattenuated

__all__ = ["PCARidge", "unattenuated"]
