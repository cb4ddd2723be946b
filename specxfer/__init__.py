"""specxfer: translate the spectra of stars from one survey to another."""

import importlib

from specxfer._fingerprint import fingerprint
from specxfer._plausible import ImplausibleWarning
from specxfer._version import __version__
from specxfer.base import (
    Translator,
    UnpairedWarning,
    denoise,
    predict_like,
    predict_std,
    sample,
    support,
    translate,
)
from specxfer.catalog import translate_catalog
from specxfer.covariance import BandedCovariance, LowRankCovariance
from specxfer.model_files import ModelFileError, load, read_card, save
from specxfer.spectra import Spectra, as_spectra
from specxfer.wavelengths import air_to_vacuum, vacuum_to_air

__all__ = [
    "BandedCovariance",
    "ImplausibleWarning",
    "LowRankCovariance",
    "ModelFileError",
    "Spectra",
    "Translator",
    "UnpairedWarning",
    "__version__",
    "air_to_vacuum",
    "as_spectra",
    "denoise",
    "fingerprint",
    "load",
    "predict_like",
    "predict_std",
    "read_card",
    "sample",
    "save",
    "support",
    "translate",
    "translate_catalog",
    "vacuum_to_air",
]

_ROOMS = (
    "abundances", "baselines", "compose", "datasets", "io", "linear", "model_selection",
    "networks", "neural", "plotting", "preprocessing", "validation", "velocity",
)  # fmt: skip


def __getattr__(name):
    """Rooms are entered when they are named: ``specxfer.linear`` needs no import."""
    if name in _ROOMS:
        return importlib.import_module(f"specxfer.{name}")
    raise AttributeError(f"module 'specxfer' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_ROOMS})
