"""The papers' joint networks: trunks of the presets, joined as published."""

import pytest
import torch

from ppl_mm import Modality, Observations, guides, likelihoods, systems
from ppl_mm.networks import presets
from ppl_mm.systems import System


def declared(name, preset, likelihood=None):
    parts = ("encoder", "decoder", "features")
    networks = {part: getattr(presets, f"{preset}_{part}") for part in parts}
    return Modality(name, likelihood or likelihoods.SoftBernoulli(), **networks)


def images(*event_shape):
    return lambda rows: torch.rand(rows, *event_shape)


def integers(high, *event_shape):
    return lambda rows: torch.randint(high, (rows, *event_shape))


SWISH = {"hidden": 512, "activation": "silu"}
SPLIT = {"hidden": 512, "activation": "relu", "scale": "softplus"}
SVHN = {"hidden": None, "scale": "softplus"}
LABEL = ("label", likelihoods.Categorical()), integers(10)
CAPTION = ("cub_caption", likelihoods.Tokens()), integers(1590, 32)

# name: latent size, options, number of parameters, modalities with values
NETWORKS = {
    # Wu & Goodman 2018, Table 1: JMVAE, less the two encoders
    "mnist": (64, SWISH, 997_504, [(("mnist_image",), images(1, 28, 28)), LABEL]),
    "fashion_mnist": (64, SWISH, 3_939_456, [(("fashion_image",), images(1, 28, 28)), LABEL]),
    "celeba": (
        100,
        SWISH,
        4_605_000,
        [(("celeba_image",), images(3, 64, 64)), (("celeba_attributes",), images(18))],
    ),
    # Kutuzova et al. 2021, release
    "mnist_split": (64, SPLIT, 2_165_376, 2 * [(("mnist_split",), images(1, 14, 28))]),
    "mnist_split_3, pair": (64, SPLIT, 2_165_376, 2 * [(("mnist_split_3",), images(1, 9, 28))]),
    "mnist_split_3": (64, SPLIT, 3_214_976, 3 * [(("mnist_split_3",), images(1, 9, 28))]),
    "mnist_svhn": (
        20,
        SVHN,
        1_331_240,
        [(("mnist_svhn_mnist",), images(1, 28, 28)), (("mnist_svhn_svhn",), images(3, 32, 32))],
    ),
    # layer by layer: words, convolutions and their normalisation, image, what joins them, head
    "cub": (
        64,
        SPLIT,
        (1590 * 128 + 128)
        + (16 * (32 + 32 * 64 + 64 * 128) + 2 * 4 * 128 * 128 + 2 * (32 + 64 + 3 * 128))
        + (2048 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 256 + 256)
        + (2304 * 512 + 512)
        + (512 * 128 + 128),
        [(("cub_features",), images(2048)), CAPTION],
    ),
    # by analogy: the paper's 2,233,128 are not reproduced
    "multimnist": (
        100,
        SWISH,
        2_166_792,
        [
            (("multimnist_image",), images(1, 50, 50)),
            (("multimnist_string", likelihoods.Tokens()), integers(12, 4)),
        ],
    ),
}


def pieces(name):
    """Modalities a, b, ..., rows of them by their number, latent size and options."""
    latent_dim, options, _, parts = NETWORKS[name]
    modalities = [declared(key, *which) for key, (which, _) in zip("abc", parts, strict=False)]
    draws = dict(zip("abc", (draw for _, draw in parts), strict=False))

    def rows(number):
        return Observations({key: draw(number) for key, draw in draws.items()})

    return modalities, rows, latent_dim, options


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_and_shapes(name):
    modalities, rows, latent_dim, options = pieces(name)
    guide = guides.JointNetwork(modalities, latent_dim, **options)
    (network,) = guide.joint_networks.values()
    assert sum(p.numel() for p in network.parameters()) == NETWORKS[name][2]
    for number in (1, 3):
        q = guide.posterior(rows(number))
        assert q.mean.shape == q.stddev.shape == (number, latent_dim)
        assert (q.stddev > 0).all()
    guide.posterior(rows(2)).mean.square().sum().backward()
    for path, parameter in network.named_parameters():
        # at the last position the backward GRU has made one step, from state 0
        if not path.endswith("gru.weight_hh_l0_reverse"):
            assert parameter.grad.abs().sum() > 0, path


def test_every_pair_and_the_triple_of_mnist_split_3():
    modalities, _, latent_dim, options = pieces("mnist_split_3")
    guide = guides.JointNetwork(modalities, latent_dim, "all", **options)
    sizes = [sum(p.numel() for p in n.parameters()) for n in guide.joint_networks.values()]
    assert sizes == 3 * [2_165_376] + [3_214_976]


@pytest.mark.parametrize("name", ["mnist", "mnist_svhn", "mnist_split", "cub"])
@pytest.mark.parametrize("system", ["jmvae", "vaevae"])
def test_saved_systems_are_rebuilt_from_their_files_alone(tmp_path, system, name):
    modalities, rows, _, options = pieces(name)
    options = {**options, "hidden": options["hidden"] and 8}
    saved = systems.build(system, modalities, 20, **options)
    saved.save(tmp_path / "system.safetensors")
    loaded = System.load(tmp_path / "system.safetensors").eval()
    assert loaded.recipe == saved.recipe
    assert [m.features for m in loaded.modalities] != [None] * len(modalities)
    obs = rows(2)
    one, other = (s.eval().posterior(obs) for s in (saved, loaded))
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.stddev, other.stddev)
