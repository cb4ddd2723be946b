"""Transformers that choose, fill, bin and normalise the pixels of spectra."""

from specxfer.preprocessing._augment import augment
from specxfer.preprocessing._continuum_normalizer import ContinuumNormalizer
from specxfer.preprocessing._gap_masker import GapMasker
from specxfer.preprocessing._rebinner import Rebinner
from specxfer.preprocessing._resolution_matcher import (
    ResolutionMatcher,
    ResolutionWarning,
)
from specxfer.preprocessing._velocity_check import VelocityCheck
from specxfer.preprocessing._velocity_shifter import VelocityShifter
from specxfer.preprocessing._window_cropper import WindowCropper
from specxfer.preprocessing._window_masker import WindowMasker

__all__ = [
    "ContinuumNormalizer",
    "GapMasker",
    "Rebinner",
    "ResolutionMatcher",
    "ResolutionWarning",
    "VelocityCheck",
    "VelocityShifter",
    "WindowCropper",
    "WindowMasker",
    "augment",
]
