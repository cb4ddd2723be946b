"""Simulated surveys, with the truth behind the data, and the archives of real ones."""

from specxfer.datasets._fetch_pairs import FetchReport, fetch_pairs
from specxfer.datasets._make_paired_spectra import make_paired_spectra

__all__ = ["FetchReport", "fetch_pairs", "make_paired_spectra"]
