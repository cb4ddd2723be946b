"""Meta-estimators: translators built around other estimators."""

from specxfer.compose._augmented import Augmented
from specxfer.compose._calibrated import CalibrationWarning
from specxfer.compose._conformal import ConformalTranslator
from specxfer.compose._target_window import TargetWindow

__all__ = ["Augmented", "CalibrationWarning", "ConformalTranslator", "TargetWindow"]
