"""The systems that the benchmarks time, declared with the library."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ppl_mm import Modality, likelihoods, networks, systems
from ppl_mm.systems import System

__all__ = ["CLASSES", "OPTIONS", "SYSTEMS", "data", "declared", "image_and_label", "latents"]

CLASSES = 10
OPTIONS: dict[str, dict[str, Any]] = {
    "mvae": {},
    "jmvae": {},
    "mopoe": {},
    "mopoe strata=1": {"strata": 1},
    "mmvae iwae": {"objective": "iwae"},
    "mmvae dreg": {"objective": "dreg"},
    "mmvae_plus iwae": {"objective": "iwae"},
    "mmvae_plus dreg": {"objective": "dreg"},
    "cmmd": {},
    "meme": {"num_pseudo_inputs": 100},
    "svae": {},
}
SYSTEMS = tuple(OPTIONS)
"""A system, and what else it is given. MMVAE and MMVAE+ draw K = 10 particles, MEME 11."""


def data(num_modalities: int, batch: int, pixels: int) -> dict[str, Tensor]:
    """Return random binary images for the given number of modalities."""
    width = len(str(num_modalities - 1))
    names = [f"x{m:0{width}}" for m in range(num_modalities)]
    return {name: (torch.rand(batch, pixels) > 0.5).float() for name in names}


def image_and_label(batch: int, pixels: int) -> dict[str, Tensor]:
    """Return a random binary image and label for each row."""
    image = (torch.rand(batch, pixels) > 0.5).float()
    return {"image": image, "label": torch.randint(CLASSES, (batch,))}


def latents(system: str, latent_dim: int) -> int:
    """Return the shared latent size: Z, or half of it for MMVAE+, whose w_m has the other half."""
    return latent_dim // 2 if system.startswith("mmvae_plus") else latent_dim


def declared(
    system: str, values: dict[str, Tensor], layers: tuple[int, ...], latent_dim: int, **options: Any
) -> System:
    """Return a system for these values, all of whose networks have these hidden layers."""
    laplace = system.startswith("mmvae")
    scale = "softmax" if laplace else "exp"
    modalities = []
    for name, x in values.items():
        shape = (CLASSES,) if x.dim() == 1 else tuple(x.shape[1:])
        encoder = (
            partial(networks.LabelEncoder, num_classes=CLASSES)
            if x.dim() == 1
            else partial(networks.MLPEncoder, event_shape=shape)
        )
        modalities.append(
            Modality(
                name,
                likelihoods.Categorical() if x.dim() == 1 else likelihoods.Bernoulli(),
                encoder=partial(encoder, hidden=layers, scale=scale),
                decoder=partial(networks.MLPDecoder, event_shape=shape, hidden=layers),
            )
        )
    options = {**OPTIONS.get(system, {}), **options}
    match system:
        case "cmmd":
            options |= {"observed": (modalities[0].name,), "hidden": layers, "prior_hidden": layers}
        case "jmvae" | "vaevae":
            options |= {"hidden": layers[-1]}
    build = system.split()[0]
    return systems.build(build, modalities, latents(system, latent_dim), **options)
