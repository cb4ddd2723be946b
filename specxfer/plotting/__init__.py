"""Pictures in the scikit-learn manner: Display classes that draw with matplotlib."""

from specxfer.plotting._attribution_display import AttributionDisplay
from specxfer.plotting._calibration_display import CalibrationDisplay
from specxfer.plotting._comparison_display import ComparisonDisplay
from specxfer.plotting._coverage_map_display import CoverageMapDisplay
from specxfer.plotting._embedding_display import EmbeddingDisplay
from specxfer.plotting._history_display import HistoryDisplay, plot_history
from specxfer.plotting._line_gallery_display import LineGalleryDisplay
from specxfer.plotting._retrieval_display import RetrievalDisplay
from specxfer.plotting._skill_display import SkillDisplay
from specxfer.plotting._spectrum_display import SpectrumDisplay

__all__ = [
    "AttributionDisplay",
    "CalibrationDisplay",
    "ComparisonDisplay",
    "CoverageMapDisplay",
    "EmbeddingDisplay",
    "HistoryDisplay",
    "LineGalleryDisplay",
    "RetrievalDisplay",
    "SkillDisplay",
    "SpectrumDisplay",
    "plot_history",
]
