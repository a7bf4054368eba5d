"""The papers' joint networks: trunks of the presets, joined as published."""

import pytest
import torch

from ppl_mm import Modality, Observations, guides, systems
from ppl_mm.likelihoods import SoftBernoulli
from ppl_mm.networks import presets
from ppl_mm.systems import System


def declared(name, likelihood, preset):
    parts = ("encoder", "decoder", "features")
    return Modality(name, likelihood, **{p: getattr(presets, f"{preset}_{p}") for p in parts})


SPLIT = [declared(n, SoftBernoulli(), "mnist_split") for n in ("top", "bottom")]
SPLIT_3 = [declared(n, SoftBernoulli(), "mnist_split_3") for n in ("top", "middle", "bottom")]


def sizes(declared, latent_dim, subsets="full", **options):
    """Number of parameters of each joint network."""
    guide = guides.JointNetwork(declared, latent_dim, subsets, **options)
    networks = guide.joint_networks.values()
    return [sum(p.numel() for p in network.parameters()) for network in networks]


def test_sizes_of_mnist_split():
    # Kutuzova et al. 2021, release
    assert sizes(SPLIT, 64, scale="softplus") == [2_165_376]
    assert sizes(SPLIT_3, 64, "all", scale="softplus") == 3 * [2_165_376] + [3_214_976]


@pytest.mark.parametrize("rows", [1, 3])
def test_shapes_of_mnist_split(rows):
    guide = guides.JointNetwork(SPLIT_3, 64, scale="softplus")
    obs = Observations({m.name: torch.rand(rows, 1, 9, 28) for m in SPLIT_3})
    q = guide.posterior(obs)
    assert q.mean.shape == q.stddev.shape == (rows, 64)


def test_a_saved_system_is_rebuilt_from_its_file_alone(tmp_path):
    system = systems.vaevae(SPLIT, 8, scale="softplus")
    system.save(tmp_path / "system.safetensors")
    again = System.load(tmp_path / "system.safetensors")
    assert again.recipe == system.recipe
    obs = Observations({m.name: torch.rand(2, 1, 14, 28) for m in SPLIT})
    for key in ("mean", "stddev"):
        found = getattr(again.posterior(obs), key)
        assert torch.equal(found, getattr(system.posterior(obs), key))
