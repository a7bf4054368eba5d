"""The joint encoders, one file each."""

from ppl_mm.guides.experts import Experts
from ppl_mm.guides.product_of_experts import ProductOfExperts
from ppl_mm.guides.quotient_of_experts import QuotientOfExperts

__all__ = ["Experts", "ProductOfExperts", "QuotientOfExperts"]
