"""Pictures in the scikit-learn manner: Display classes that draw with matplotlib."""

from specxfer.plotting._spectrum_display import SpectrumDisplay

__all__ = ["SpectrumDisplay"]
