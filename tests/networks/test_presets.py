"""The papers' networks: sizes as published, shapes, and rows that do not see each other."""

from functools import cache

import pytest
import torch
from torch.nn import functional as F

from ppl_mm.networks import presets


def images(*event_shape):
    return lambda *leading: torch.rand(*leading, *event_shape, dtype=torch.float64)


def integers(high, *event_shape):
    return lambda *leading: torch.randint(high, (*leading, *event_shape))


def bits(*event_shape):
    return lambda *leading: torch.randint(2, (*leading, *event_shape)).double()


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


# name: latent size, values, shape of the decoder's output, parameters of encoder and decoder
PRESETS = {
    "mnist_image": (64, images(1, 28, 28), (1, 28, 28), 730_240, 960_784),
    "label": (64, integers(10), (10,), 333_440, 563_722),
    "fashion_image": (64, images(1, 28, 28), (1, 28, 28), 3_409_536, 3_382_912),
    "multimnist_image": (100, images(1, 50, 50), (1, 50, 50), 1_316_936, 810_944),
    "multimnist_string": (100, integers(12, 4), (4, 12), 525_000, 568_612),
    "celeba_image": (100, images(3, 64, 64), (3, 64, 64), 4_070_472, 1_336_512),
    "celeba_attributes": (100, bits(18), (18,), 377_032, 589_330),
    "celeba19_attribute": (100, bits(), (), 366_280, 577_537),
    "vision_rgb": (250, images(3, 64, 64), (3, 64, 64), 4_224_372, 2_296_512),
    "vision_gray": (250, images(1, 64, 64), (1, 64, 64), 4_223_348, 2_295_488),
    "polymnist": (32, images(3, 28, 28), (3, 28, 28), 1_473_024, 1_485_251),
    "polymnist_conv": (512, images(3, 28, 28), (3, 28, 28), 1_667_648, 1_143_747),
    "mnist_svhn_mnist": (20, images(1, 28, 28), (1, 28, 28), 330_040, 322_784),
    "mnist_svhn_svhn": (20, images(3, 32, 32), (3, 32, 32), 247_560, 206_563),
    "mnist_svhn_dmvae_mnist": (10, images(1, 28, 28), (1, 28, 28), 206_100, 204_560),
    "mnist_svhn_dmvae_svhn": (10, images(3, 32, 32), (3, 32, 32), 1_224_724, 705_024),
    "mnist_split": (64, images(1, 14, 28), (1, 14, 28), 1_115_776, 208_645),
    "mnist_split_3": (64, images(1, 9, 28), (1, 9, 28), 1_115_776, 169_445),
    "cub_image": (48, images(3, 64, 64), (3, 64, 64), 4_309_024, 4_276_931),
    "cub_caption": (48, integers(1590, 32), (32, 1590), 1_811_872, 3_093_751),
    "cub_features": (64, images(2048), (2048,), 2_787_200, 2_772_736),
    "iwslt_en": (100, integers(17_191, 70), (70, 17_191), 6_080_456, 15_105_319),
    "iwslt_vi": (100, integers(7_709, 70), (70, 7_709), 3_653_064, 7_813_661),
    "cmmd_mnist": (20, images(1, 28, 28), (1, 28, 28), 330_040, 322_784),
    "cmmd_svhn": (20, images(3, 32, 32), (3, 32, 32), 236_360, 233_763),
    "cmmd_fashion": (20, images(1, 28, 28), (1, 28, 28), 235_336, 232_737),
    "cmmd_rotated": (20, images(1, 28, 28), (1, 28, 28), 330_040, 232_737),
    "cmmd_text": (20, integers(71, 8), (8, 71), 145_704, 143_175),
    "cmmd_view": (50, images(1, 28, 28), (1, 28, 28), 3_005_540, 3_758_624),
    "cmmd_digit": (50, integers(10), (10,), 8_150, 5_610),
    "cmmd_acoustic": (70, images(273), (273,), 5_124_140, 5_429_046),
    "cmmd_articulatory": (70, images(112), (112,), 4_882_640, 4_945_724),
    "cmmd_phone": (70, integers(40), (40,), 28_240, 21_240),
    "cmmd_flickr_image": (1024, images(3857), (3857,), 9_198_592, 12_105_250),
    "cmmd_tags": (1024, bits(2000), (2000,), 7_297_024, 6_248_400),
    "cmmd_topics": (1024, bits(38), (38,), 5_640_948, 4_051_738),
}
# decoders of a shared and a private latent take both
IN_FEATURES = {
    "polymnist": 64,
    "mnist_svhn_dmvae_mnist": 11,
    "mnist_svhn_dmvae_svhn": 14,
    "cub_image": 64,
    "cub_caption": 64,
}
COVERED = (  # by CelebA's, PolyMNIST's and other dense ones, the same classes
    *("vision_rgb", "cub_image", "cmmd_view", "cmmd_acoustic", "cmmd_articulatory"),
    *("cmmd_flickr_image", "cmmd_tags", "cmmd_topics"),
    *("iwslt_en", "iwslt_vi"),  # by test_sentence.py
)
every_preset = pytest.mark.parametrize("name", PRESETS)
every_shape = pytest.mark.parametrize("name", [n for n in PRESETS if n not in COVERED])


def sizes_of(name):
    latent_dim = PRESETS[name][0]
    return latent_dim, IN_FEATURES.get(name, latent_dim)


def networks_of(name):
    parts = (getattr(presets, f"{name}_{part}") for part in ("encoder", "decoder"))
    return [part(size) for part, size in zip(parts, sizes_of(name), strict=True)]


@cache
def evaluated(name):
    return [network.double().eval().requires_grad_(False) for network in networks_of(name)]


def size(name, latent_dim):
    with torch.device("meta"):
        network = getattr(presets, name)(latent_dim)
    return sum(p.numel() for p in network.parameters())


def test_every_preset_is_tested():
    pairs = {f"{n}_{p}" for n in PRESETS for p in ("encoder", "decoder")}
    features = {name for name in presets.__all__ if name.endswith("_features")}
    assert set(presets.__all__) == pairs | features | {"cub_caption_private_encoder"}
    assert len(presets.__all__) == len(set(presets.__all__))


@every_preset
def test_number_of_parameters(name):
    latent_dim, in_features = sizes_of(name)
    _, _, _, encoder, decoder = PRESETS[name]
    assert size(f"{name}_encoder", latent_dim) == encoder
    assert size(f"{name}_decoder", in_features) == decoder


def test_towers_of_a_shared_and_a_private_latent():
    # MMVAE+, release
    assert 2 * size("polymnist_encoder", 32) == 2_946_048
    assert size("cub_image_encoder", 16) + size("cub_image_encoder", 48) == 8_552_448
    assert size("cub_caption_private_encoder", 16) == 630_624


def test_maps_to_the_scale():
    # Laplace experts have scales that sum to D, Normal ones of MMVAE+ and SVAE softplus, others exp
    laplace = ["polymnist", "mnist_svhn_mnist", "mnist_svhn_svhn"]
    for name in PRESETS:
        scale = getattr(presets, f"{name}_encoder").keywords.get("scale", "exp")
        softplus = name.startswith(("cub_", "mnist_split"))
        assert scale == ("softmax" if name in laplace else "softplus" if softplus else "exp")


@pytest.mark.parametrize("name", [n for n in PRESETS if n.startswith("mnist_svhn")])
def test_decoders_of_mnist_and_svhn_give_locations_inside_the_unit_interval(name):
    _, decoder = evaluated(name)
    locations = decoder(1e4 * normal(3, sizes_of(name)[1]))
    low, high = locations.min(), locations.max()
    if name == "mnist_svhn_mnist":
        assert (low, high) == (1e-6, 1 - 1e-6)
    else:
        assert low < 1e-6
        assert 1 - 1e-6 < high <= 1


def test_an_image_of_cub():
    with torch.no_grad():
        loc, scale = presets.cub_image_encoder(48)(torch.rand(3, 64, 64))
        assert loc.shape == scale.shape == (48,)
        assert presets.cub_image_decoder(64)(torch.randn(64)).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("encoders", "latent_dim", "total"),
    [
        # Wu & Goodman 2018, Table 1: VAE, then BiVCCA, MVAE-Q and MVAE
        (["mnist_image"], 64, 730_240),
        (["mnist_image", "label"], 64, 1_063_680),
        (["fashion_image"], 64, 3_409_536),
        (["fashion_image", "label"], 64, 3_742_976),
        (["multimnist_image"], 100, 1_316_936),
        (["multimnist_image", "multimnist_string"], 100, 1_841_936),
        (["celeba_image"], 100, 4_070_472),
        (["celeba_image", "celeba_attributes"], 100, 4_447_504),
        # MVAE19: Table 1 has 18 copies of the 18-input encoder, the release 18 one-input encoders
        (["celeba_image"] + 18 * ["celeba_attributes"], 100, 10_857_048),
        (["celeba_image"] + 18 * ["celeba19_attribute"], 100, 10_663_512),
        # vision: 3-channel image, obscured, watermark; 1-channel gray, edge, mask
        (3 * ["vision_rgb"] + 3 * ["vision_gray"], 250, 25_343_160),
    ],
)
def test_inference_parameters_of_a_model(encoders, latent_dim, total):
    sizes = {name: size(f"{name}_encoder", latent_dim) for name in encoders}
    assert sum(sizes[name] for name in encoders) == total


@every_shape
@pytest.mark.parametrize("leading", [(), (1,), (3,), (2, 1), (2, 1, 2), (0,)])
def test_any_leading_dimensions(name, leading):
    _, values, event_shape, _, _ = PRESETS[name]
    latent_dim, in_features = sizes_of(name)
    encoder, decoder = evaluated(name)
    loc, scale = encoder(values(*leading))
    assert loc.shape == scale.shape == (*leading, latent_dim)
    assert (scale > 0).all()
    logits = decoder(normal(*leading, in_features))
    assert logits.shape == (*leading, *event_shape)


@every_shape
def test_leading_dimensions_are_rows_in_order(name):
    values = PRESETS[name][1]
    encoder, decoder = evaluated(name)
    x, z = values(2, 3), normal(2, 3, sizes_of(name)[1])
    for nested, flat in zip(encoder(x), encoder(x.flatten(0, 1)), strict=True):
        assert torch.equal(nested.flatten(0, 1), flat)
    assert torch.equal(decoder(z).flatten(0, 1), decoder(z.flatten(0, 1)))


@every_shape
def test_a_row_does_not_depend_on_the_others_in_evaluation(name):
    values = PRESETS[name][1]
    encoder, decoder = evaluated(name)
    x, z = values(4), normal(4, sizes_of(name)[1])
    order = torch.tensor([2, 0, 3, 1])
    together = (*encoder(x), decoder(z))
    for a, b in zip(together, (*encoder(x[order]), decoder(z[order])), strict=True):
        torch.testing.assert_close(a[order], b, atol=1e-12, rtol=0)
    for a, b in zip(together, (*encoder(x[:1]), decoder(z[:1])), strict=True):
        torch.testing.assert_close(a[:1], b, atol=1e-12, rtol=0)


@every_shape
def test_training_reaches_every_parameter(name):
    values = PRESETS[name][1]
    encoder, decoder = networks_of(name)
    x = values(2)
    loc, scale = encoder(x.to(torch.get_default_dtype()) if x.is_floating_point() else x)
    latent_dim, in_features = sizes_of(name)
    features = F.pad(loc + scale, (0, in_features - latent_dim), value=1.0)
    decoder(features).square().sum().backward()
    for network in (encoder, decoder):
        for path, parameter in network.named_parameters():
            assert parameter.grad is not None, path
            assert parameter.grad.isfinite().all(), path
            # at the last position the backward GRU has made one step, from state 0
            if path != "features.gru.weight_hh_l0_reverse":
                assert parameter.grad.abs().sum() > 0, path


@pytest.mark.parametrize("name", ["mnist_split", "mnist_split_3"])
def test_parts_of_mnist_have_768_features_and_biases_in_the_decoder_alone(name):
    encoder, decoder = evaluated(name)
    encoder = encoder.features
    assert encoder.hidden[0].in_features == 768
    assert all(m.bias is None for m in encoder.convolutions if hasattr(m, "bias"))
    assert all(m.bias is not None for m in decoder.convolutions if hasattr(m, "bias"))
    for network in (encoder, decoder):
        assert {type(m) for m in network.hidden} == {torch.nn.Linear, torch.nn.ReLU}
    assert decoder(1e4 * normal(3, 64)).abs().max() > 1  # logits


def test_features_of_cub_have_exponential_linear_units():
    encoder, decoder = evaluated("cub_features")
    for network in (encoder.features, decoder):
        assert {type(m) for m in network.hidden} == {torch.nn.Linear, torch.nn.ELU}


@pytest.mark.parametrize("name", [n for n in PRESETS if "svhn" in n or n == "polymnist_conv"])
def test_rectified_networks(name):
    for network in networks_of(name):
        kinds = {type(m) for m in network.modules()}
        assert torch.nn.ReLU in kinds
        assert torch.nn.SiLU not in kinds
        biases = [p for path, p in network.named_parameters() if path.endswith("bias")]
        assert all((b == 0).all() for b in biases) == ("dmvae" in name)  # Kaiming's


@pytest.mark.parametrize(
    "name", ["multimnist_image_encoder", "celeba_image_encoder", "mnist_svhn_dmvae_svhn_encoder"]
)
def test_dropout_of_one_tenth(name):
    with torch.device("meta"):
        network = getattr(presets, name)(100)
    rates = [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)]
    assert rates == [0.1]


def test_dropout_of_the_string_decoder():
    assert presets.multimnist_string_decoder(2).gru.dropout == 0.1
