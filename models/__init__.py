"""The generative stories, one file each."""

from ppl_mm.models.conditional_decoder import ConditionalDecoder
from ppl_mm.models.conditional_prior import ConditionalPrior
from ppl_mm.models.shared_latent import SharedLatent
from ppl_mm.models.shared_private import SharedPrivate

__all__ = ["ConditionalDecoder", "ConditionalPrior", "SharedLatent", "SharedPrivate"]
