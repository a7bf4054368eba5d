"""The networks of CMMD: layers, activations and dropout as published."""

import pytest
import torch
from torch.nn import functional as F

from ppl_mm.networks import presets


@pytest.mark.parametrize(
    ("name", "depth", "width"),
    [("view", 3, 1024), ("articulatory", 3, 1500), ("tags", 4, 1024)],
)
def test_dense_networks_of_cmmd(name, depth, width):
    with torch.device("meta"):
        trunk = getattr(presets, f"cmmd_{name}_encoder")(7).features
        decoder = getattr(presets, f"cmmd_{name}_decoder")(7)
    assert trunk.out_features == width
    for hidden in (trunk.hidden, decoder.hidden):
        layers = [torch.nn.Linear, torch.nn.Softplus, torch.nn.Dropout]
        assert [type(m) for m in hidden] == depth * layers
        assert {m.p for m in hidden if isinstance(m, torch.nn.Dropout)} == {0.2}
        assert [m.out_features for m in hidden if isinstance(m, torch.nn.Linear)] == depth * [width]


@pytest.mark.parametrize(("name", "width"), [("digit", 50), ("phone", 100), ("topics", 1550)])
def test_classifiers_of_cmmd(name, width):
    with torch.device("meta"):
        hidden = getattr(presets, f"cmmd_{name}_decoder")(7).hidden
    layers = [torch.nn.Linear, torch.nn.Softplus, torch.nn.Dropout]
    assert [type(m) for m in hidden] == 2 * layers
    assert {m.p for m in hidden if isinstance(m, torch.nn.Dropout)} == {0.2}
    assert [m.out_features for m in hidden if isinstance(m, torch.nn.Linear)] == 2 * [width]


@pytest.mark.parametrize(
    ("name", "features", "shape"),
    [
        ("svhn", 128, (3, 32, 32)),
        ("fashion", 128, (1, 28, 28)),
        ("mnist", 400, (1, 28, 28)),
        ("text", 128, (8, 71)),
    ],
)
def test_networks_of_mnist_svhn_text(name, features, shape):
    # Mancisidor et al. 2023 (CMMD), tables H.3 to H.5
    trunk = getattr(presets, f"cmmd_{name}_features")()
    values = torch.randint(71, (2, 8)) if name == "text" else torch.rand(2, *shape)
    assert trunk.double()(values).shape == (2, features)
    decoder = getattr(presets, f"cmmd_{name}_decoder")(20).double()
    assert decoder(torch.randn(2, 20)).shape == (2, *shape)
    for network in (trunk, decoder):
        kinds = {type(m) for m in network.modules()}
        assert torch.nn.ReLU in kinds
        assert kinds.isdisjoint({torch.nn.Softplus, torch.nn.SiLU, torch.nn.ELU, torch.nn.Dropout})
    sizes = [m.weight.shape for m in trunk.modules() if hasattr(m, "weight")]
    if features == 128 and name != "text":
        assert [s[0] for s in sizes] == [32, 64, 64, 128]


def test_a_picture_in_place_of_svhn_is_the_middle_of_one_of_its_size():
    trunk, layers = presets.cmmd_fashion_features(), presets.cmmd_svhn_features.keywords["layers"]
    large = presets.cmmd_fashion_features(event_shape=(1, 32, 32), layers=layers)
    large.load_state_dict(trunk.state_dict())
    x = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(trunk(x), large(F.pad(x, (2, 2, 2, 2))), atol=1e-12, rtol=0)
    small = presets.cmmd_rotated_decoder(20)
    layers = ((64, 4, 2, 0), (64, 4, 2, 1), (32, 4, 2, 1), (1, 4, 2, 1))  # 32 x 32
    large = presets.cmmd_rotated_decoder(20, layers=layers)
    large.load_state_dict(small.state_dict())
    z = torch.randn(3, 20)
    torch.testing.assert_close(small(z), large(z)[..., 2:30, 2:30], atol=1e-12, rtol=0)
