"""The joint encoders, one file each."""

from ppl_mm.guides.conditional_network import ConditionalNetwork
from ppl_mm.guides.conditional_posterior import ConditionalPosterior
from ppl_mm.guides.experts import Experts
from ppl_mm.guides.flow import Flow
from ppl_mm.guides.joint_network import JointNetwork
from ppl_mm.guides.mixture import Mixture, MixtureOfExperts, MixtureOfProducts
from ppl_mm.guides.product_of_experts import ProductOfExperts
from ppl_mm.guides.quotient_of_experts import QuotientOfExperts
from ppl_mm.guides.replacement_experts import ReplacementExperts
from ppl_mm.guides.shared_private import SharedPrivate
from ppl_mm.guides.single_expert import SingleExpert
from ppl_mm.guides.zero_filled import ZeroFilledNetwork

__all__ = [
    "ConditionalNetwork",
    "ConditionalPosterior",
    "Experts",
    "Flow",
    "JointNetwork",
    "Mixture",
    "MixtureOfExperts",
    "MixtureOfProducts",
    "ProductOfExperts",
    "QuotientOfExperts",
    "ReplacementExperts",
    "SharedPrivate",
    "SingleExpert",
    "ZeroFilledNetwork",
]
