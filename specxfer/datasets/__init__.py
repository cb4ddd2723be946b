"""Simulated surveys, with the truth behind the data."""

from specxfer.datasets._make_paired_spectra import make_paired_spectra

__all__ = ["make_paired_spectra"]
