"""Neural translators, and the one core that trains them."""

from specxfer.neural._augmentation import Augmentation
from specxfer.neural._batches import Batches
from specxfer.neural._number_format import NumberFormat, choose_format

__all__ = ["Augmentation", "Batches", "NumberFormat", "choose_format"]
