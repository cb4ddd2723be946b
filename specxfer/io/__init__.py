"""Readers and writers of survey files."""

from specxfer._grids import apogee_chips, apogee_wave, galah_wave
from specxfer.io._apogee import apogee_from_pixels, read_apogee
from specxfer.io._errors import ReadError, StoreError
from specxfer.io._galah import read_galah
from specxfer.io._multimodal import read_multimodal
from specxfer.io._paired_store import PairedStore
from specxfer.io._write_galah import write_galah

__all__ = [
    "PairedStore",
    "ReadError",
    "StoreError",
    "apogee_chips",
    "apogee_from_pixels",
    "apogee_wave",
    "galah_wave",
    "read_apogee",
    "read_galah",
    "read_multimodal",
    "write_galah",
]
