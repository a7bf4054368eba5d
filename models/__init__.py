"""The generative stories, one file each."""

from ppl_mm.models.shared_latent import SharedLatent

__all__ = ["SharedLatent"]
