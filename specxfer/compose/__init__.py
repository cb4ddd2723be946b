"""Meta-estimators: translators built around other estimators."""

from specxfer.compose._augmented import Augmented
from specxfer.compose._target_window import TargetWindow

__all__ = ["Augmented", "TargetWindow"]
