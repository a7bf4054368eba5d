from functools import partial

import pytest
import torch
from torch import nn

from ppl_mm import networks
from ppl_mm.networks.layers import as_rows, dense, draw_kaiming
from ppl_mm.networks.recipe import build, describe
from ppl_mm.networks.scales import LocationScale, location_scale

MAPS = ("exp", "softplus", "softplus_variance", "softmax")


SMALL = {
    "BinaryEncoder": ({}, lambda *n: torch.randint(2, n)),
    "CaptionEncoder": (
        {"length": 8, "vocab_size": 5, "embedding": 32, "channels": 2},
        lambda *n: torch.randint(5, (*n, 8)),
    ),
    "CharacterEncoder": ({"vocab_size": 5}, lambda *n: torch.randint(5, (*n, 8))),
    "ConvEncoder": (
        {"event_shape": (1, 6, 6), "layers": ((3, 3, 1, 0),)},
        lambda *n: torch.rand(*n, 1, 6, 6),
    ),
    "CountsEncoder": ({"event_shape": (4,)}, lambda *n: torch.randint(9, (*n, 4))),
    "LabelEncoder": ({"num_classes": 4}, lambda *n: torch.randint(4, n)),
    "MLPEncoder": ({"event_shape": (3,)}, lambda *n: torch.rand(*n, 3)),
    "ResidualEncoder": (
        {"event_shape": (2, 6, 5), "channels": 2},
        lambda *n: torch.rand(*n, 2, 6, 5),
    ),
    "SentenceEncoder": (
        {"length": 6, "vocab_size": 9, "embedding": 4, "hidden": 5},
        lambda *n: torch.randint(9, (*n, 6)),
    ),
    "TableEncoder": (
        {"centre": (1.0, 2.0, 3.0), "spread": (1.0, 2.0, 0.5)},
        lambda *n: torch.rand(*n, 3),
    ),
    "StringEncoder": ({}, lambda *n: torch.randint(12, (*n, 4))),
}


@pytest.mark.parametrize("scale", MAPS)
@pytest.mark.parametrize("name", [n for n in networks.__all__ if n.endswith("Encoder")])
def test_every_encoder_takes_the_map_of_its_scale(name, scale):
    options, values = SMALL[name]
    recipe = describe(partial(getattr(networks, name), scale=scale, min_scale=0.25, **options))
    encoder = build(recipe)(3).eval()
    x = values(2, 5)
    with torch.no_grad():
        loc, found = encoder(x)
        assert loc.shape == found.shape == (2, 5, 3)
        assert (found > 0.25).all()
        if scale == "softmax":
            torch.testing.assert_close(found.sum(-1), torch.full((2, 5), 3 * 1.25))
        encoder.location_scale = LocationScale()
        log_variance = 2 * encoder(x)[1].log()
        expected = location_scale(torch.cat([loc, log_variance], -1), scale, 0.25)[1]
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("leading", [(), (1,), (2, 3), (0,)])
@pytest.mark.parametrize("name", [n for n in networks.__all__ if n.endswith("Features")])
def test_every_encoder_is_a_linear_layer_on_features(name, leading):
    options, values = SMALL[name.replace("Features", "Encoder")]
    recipe = describe(partial(getattr(networks, name), **options))
    features = build(recipe)().eval()
    encoder = getattr(networks, name.replace("Features", "Encoder"))(3, **options).eval()
    features.load_state_dict(encoder.features.state_dict())
    x = values(*leading)
    h = features(x)
    assert h.shape == (*leading, features.out_features)
    expected = nn.functional.linear(h, encoder.head.weight, encoder.head.bias)
    torch.testing.assert_close(encoder(x)[0], expected[..., :3], atol=1e-12, rtol=0)


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3), (2, 3, 4), (0,), (2, 0)])
def test_rows_keep_their_order(leading):
    values = torch.randn(*leading, 2, 5)
    rows, found = as_rows(values, (2, 5), "net")
    assert found == leading
    assert torch.equal(rows.reshape(values.shape), values)
    assert rows.dim() == 3


def test_wrong_event_shape_is_named():
    with pytest.raises(ValueError, match=r"net: expected shape \(..., 2, 5\), got \(3, 5, 2\)"):
        as_rows(torch.zeros(3, 5, 2), (2, 5), "net")
    with pytest.raises(ValueError, match=r"got \(5,\)"):
        as_rows(torch.zeros(5), (2, 5), "net")


def test_dense_order_of_layers():
    names = [type(m).__name__ for m in dense((4, 3, 2), batch_norm=True, dropout=0.1)]
    assert names == ["Linear", "BatchNorm1d", "SiLU", "Dropout"] * 2
    assert len(dense((4,))) == 0
    names = [type(m).__name__ for m in dense((4, 3, 2), activation="relu")]
    assert names == ["Linear", "ReLU"] * 2


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"'softplus' or 'tanh', got 'gelu'"):
        dense((2, 2), activation="gelu")


def test_kaiming_draws_weights_of_variance_two_over_fan_in():
    layers = [nn.Linear(300, 200), nn.Conv2d(30, 40, 5), nn.ConvTranspose2d(40, 30, 5)]
    draw_kaiming(nn.Sequential(*layers))
    for layer, fan_in in zip(layers, (300, 750, 750), strict=True):
        weight = layer.weight.detach()
        # the variance of n Normal draws has relative standard error sqrt(2 / n)
        error = weight.square().mean() * fan_in / 2 - 1
        assert error.abs() < 4 * (2 / weight.numel()) ** 0.5
        assert layer.bias.abs().max() == 0
