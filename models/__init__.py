"""The generative stories, one file each."""

from ppl_mm.models.shared_latent import SharedLatent
from ppl_mm.models.shared_private import SharedPrivate

__all__ = ["SharedLatent", "SharedPrivate"]
