"""Distributions of joint encoders: products, quotients and mixtures of experts."""

from ppl_mm.distributions.decoded import Decoded
from ppl_mm.distributions.experts import (
    normal_quotient,
    product_of_experts,
    quotient_of_experts,
)
from ppl_mm.distributions.kl import kl
from ppl_mm.distributions.mixture import RandomMixture, StratifiedMixture
from ppl_mm.distributions.observed_prior import ObservedPrior
from ppl_mm.distributions.prior import DiagonalPrior, LearnedScale
from ppl_mm.distributions.pseudo_inputs import EncodedMixture, PseudoInputPrior
from ppl_mm.distributions.reference import RowwiseReference

__all__ = [
    "Decoded",
    "DiagonalPrior",
    "EncodedMixture",
    "LearnedScale",
    "ObservedPrior",
    "PseudoInputPrior",
    "RandomMixture",
    "RowwiseReference",
    "StratifiedMixture",
    "kl",
    "normal_quotient",
    "product_of_experts",
    "quotient_of_experts",
]
