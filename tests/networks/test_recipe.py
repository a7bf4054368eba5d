import json
from functools import partial

import pytest
import torch

from ppl_mm import networks
from ppl_mm.networks import presets
from ppl_mm.networks.recipe import build, describe


@pytest.mark.parametrize("name", presets.__all__)
def test_presets_survive_json(name):
    factory = getattr(presets, name)
    recipe = describe(factory)
    assert recipe is not None
    stored = json.loads(json.dumps(recipe))
    assert stored == recipe
    rebuilt = build(stored)
    assert rebuilt.func is factory.func
    assert rebuilt.keywords == factory.keywords
    assert describe(rebuilt) == recipe


def test_rebuilt_network_takes_the_weights_and_gives_the_same_numbers():
    factory = partial(networks.ConvDecoder, start=(2, 3, 3), layers=((1, 4, 2, 1),), hidden=(5,))
    network, twin = factory(4), build(describe(factory))(4)
    twin.load_state_dict(network.state_dict())
    z = torch.randn(3, 4)
    assert torch.equal(network(z), twin(z))


def test_class_itself_and_nested_partials():
    assert describe(networks.StringEncoder) == {"network": "StringEncoder", "options": {}}
    inner = partial(networks.LabelEncoder, num_classes=3, hidden=(4, 4))
    inner.note = "a partial with attributes is not flattened by functools"
    outer = partial(inner, hidden=(8,))
    assert outer.func is inner
    assert describe(outer) == {
        "network": "LabelEncoder",
        "options": {"num_classes": 3, "hidden": [8]},
    }


def test_all_lists_the_classes_that_can_be_rebuilt():
    for name in networks.__all__:
        kind = getattr(networks, name)
        assert issubclass(kind, torch.nn.Module)
        assert describe(kind) == {"network": name, "options": {}}


class MLPEncoder(networks.MLPEncoder):
    """A user's class of the same name."""


@pytest.mark.parametrize(
    "factory",
    [
        lambda latent_dim: networks.StringEncoder(latent_dim),
        MLPEncoder,
        partial(MLPEncoder, event_shape=(2,)),
        torch.nn.Linear,
        partial(torch.nn.Linear, out_features=3),
        partial(networks.StringEncoder, 5),
        partial(networks.MLPEncoder, event_shape=torch.Size([2]), hidden=(torch.tensor(3),)),
        partial(networks.StringDecoder, dropout=float("nan")),
        networks.location_scale,
        networks.presets,
    ],
)
def test_no_recipe_for_anything_else(factory):
    assert describe(factory) is None


@pytest.mark.parametrize("name", ["Linear", "presets", "location_scale", "os.system", ""])
def test_unknown_network_is_refused_with_the_known_ones(name):
    with pytest.raises(
        ValueError, match=r"unknown network .*; known: BinaryEncoder, BinaryFeatures"
    ):
        build({"network": name, "options": {}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event_shape": [2], "depth": 3}, "depth"),
        ({}, "event_shape"),
        ({"event_shape": [2], "latent_dim": 3}, "latent_dim"),
    ],
)
@pytest.mark.parametrize("network", ["MLPEncoder", "MLPFeatures"])
def test_wrong_options_are_refused(network, options, message):
    with pytest.raises(ValueError, match=rf"network '{network}' with options .*{message}"):
        build({"network": network, "options": options})


@pytest.mark.parametrize(
    "recipe",
    [
        None,
        [],
        {},
        "MLPEncoder",
        {"network": "MLPEncoder"},
        {"network": ["MLPEncoder"], "options": {}},
        {"network": "StringEncoder", "options": []},
        {"network": "StringEncoder", "options": {}, "code": ""},
    ],
)
def test_other_forms_are_refused(recipe):
    with pytest.raises(ValueError, match="expected a recipe"):
        build(recipe)
