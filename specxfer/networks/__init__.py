"""Networks and losses in plain torch, which the neural translators are made of.

All take spectra as deviations from the mean spectrum of the training stars, with an
inverse variance that is 0 where the flux is unknown. Nothing here mixes stars: what a
network gives for a star does not depend on the batch it comes in. Initial weights are
drawn from torch's global generator, as those of any torch module are.
"""

from specxfer.networks._aligned_space import AlignedSpace
from specxfer.networks._alignment_loss import AlignmentLoss
from specxfer.networks._conv_decoder import ConvDecoder
from specxfer.networks._denoiser import Denoiser, DenoisingError
from specxfer.networks._gated_ensemble import GatedEnsemble
from specxfer.networks._gaussian_likelihood import GaussianLikelihood
from specxfer.networks._info_nce import InfoNCE
from specxfer.networks._linear_decoder import LinearDecoder
from specxfer.networks._log_variance_head import LogVarianceHead
from specxfer.networks._member_networks import MemberNetworks
from specxfer.networks._quadratic_error import QuadraticError
from specxfer.networks._score_encoder import ScoreEncoder
from specxfer.networks._spectrum_encoder import SpectrumEncoder
from specxfer.networks._translation import Translation
from specxfer.networks._unet import UNet
from specxfer.networks._weighted_basis import weighted_basis
from specxfer.networks._weighted_squared_error import WeightedSquaredError

__all__ = [
    "AlignedSpace",
    "AlignmentLoss",
    "ConvDecoder",
    "Denoiser",
    "DenoisingError",
    "GatedEnsemble",
    "GaussianLikelihood",
    "InfoNCE",
    "LinearDecoder",
    "LogVarianceHead",
    "MemberNetworks",
    "QuadraticError",
    "ScoreEncoder",
    "SpectrumEncoder",
    "Translation",
    "UNet",
    "WeightedSquaredError",
    "weighted_basis",
]
