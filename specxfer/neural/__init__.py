"""Neural translators, and the one core that trains them."""

from specxfer.neural._alignment_translator import AlignmentTranslator
from specxfer.neural._augmentation import Augmentation
from specxfer.neural._batches import Batches
from specxfer.neural._cnn_translator import CNNTranslator
from specxfer.neural._device import resolve_device
from specxfer.neural._diffusion_translator import DiffusionTranslator
from specxfer.neural._errors import CheckpointError, TrainingError, TrainingWarning
from specxfer.neural._line_intervals import LineIntervals
from specxfer.neural._number_format import NumberFormat, choose_format
from specxfer.neural._schedule import Schedule
from specxfer.neural._trained import Trained
from specxfer.neural._training import train
from specxfer.neural._weights import arrays_of, load_arrays

__all__ = [
    "AlignmentTranslator",
    "Augmentation",
    "Batches",
    "CNNTranslator",
    "CheckpointError",
    "DiffusionTranslator",
    "LineIntervals",
    "NumberFormat",
    "Schedule",
    "Trained",
    "TrainingError",
    "TrainingWarning",
    "arrays_of",
    "choose_format",
    "load_arrays",
    "resolve_device",
    "train",
]
