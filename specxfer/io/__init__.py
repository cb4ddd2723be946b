"""Readers and writers of survey files, and which stars two surveys share."""

from specxfer._grids import apogee_chips, apogee_wave, galah_wave
from specxfer.io._apogee import apogee_from_pixels, read_apogee
from specxfer.io._crossmatch import crossmatch
from specxfer.io._errors import ReadError, ReadWarning, StoreError
from specxfer.io._galah import read_galah
from specxfer.io._match_report import MatchReport
from specxfer.io._multimodal import read_multimodal
from specxfer.io._pair_files import PairedFiles, pair_files
from specxfer.io._paired_store import PairedStore
from specxfer.io._quality_cuts import default_cuts
from specxfer.io._specutils import from_specutils, to_specutils
from specxfer.io._write_galah import write_galah

__all__ = [
    "MatchReport",
    "PairedFiles",
    "PairedStore",
    "ReadError",
    "ReadWarning",
    "StoreError",
    "apogee_chips",
    "apogee_from_pixels",
    "apogee_wave",
    "crossmatch",
    "default_cuts",
    "from_specutils",
    "galah_wave",
    "pair_files",
    "read_apogee",
    "read_galah",
    "read_multimodal",
    "to_specutils",
    "write_galah",
]
