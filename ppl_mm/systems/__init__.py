"""The papers' systems: a model, a guide and an objective, one function each.

    system = systems.mvae(modalities, latent_dim=16)
    system.model, system.guide, system.objective

Everything a system does, its three parts can do alone: mix them as you like and put your own
together with ``System(model, guide, objective)``.
"""

from ppl_mm.systems.canonical import vcca, vcca_private
from ppl_mm.systems.conditional import cmmd, cvae
from ppl_mm.systems.joint import bivcca, jmvae, jmvae_zero, telbo
from ppl_mm.systems.mixtures import dmvae, mmjsd, mmvae, mmvae_plus, mopoe
from ppl_mm.systems.mutual_supervision import meme
from ppl_mm.systems.paired import svae, svae_star, vaevae, vaevae_a, vaevae_star
from ppl_mm.systems.products import mvae, mvae_q, mvtcae, vae
from ppl_mm.systems.registry import about, available, build, options
from ppl_mm.systems.system import System

__all__ = [
    "System",
    "about",
    "available",
    "bivcca",
    "build",
    "cmmd",
    "cvae",
    "dmvae",
    "jmvae",
    "jmvae_zero",
    "meme",
    "mmjsd",
    "mmvae",
    "mmvae_plus",
    "mopoe",
    "mvae",
    "mvae_q",
    "mvtcae",
    "options",
    "svae",
    "svae_star",
    "telbo",
    "vae",
    "vaevae",
    "vaevae_a",
    "vaevae_star",
    "vcca",
    "vcca_private",
]
