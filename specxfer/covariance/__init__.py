"""The covariance of spectra: errors that run together along a line."""

from specxfer.covariance._banded import BandedCovariance
from specxfer.covariance._low_rank import LowRankCovariance

__all__ = ["BandedCovariance", "LowRankCovariance"]
