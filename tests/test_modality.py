"""Modalities: what a declaration holds, and its recipe as plain JSON."""

import json
from dataclasses import FrozenInstanceError, replace
from functools import partial
from typing import Any

import pytest
import torch
from every_system import KINDS, modality
from torch import nn

from ppl_mm import likelihoods, models, networks
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.modality import check_modalities
from ppl_mm.systems import recipes

OWN = ("negative_binomial",)  # the kinds whose networks are not this library's


def sizes(module: nn.Module) -> list[torch.Size]:
    return [p.shape for p in module.parameters()]


def test_a_modality_is_a_value() -> None:
    x = modality("normal")
    assert (x.weight, x.features) == (1.0, None)
    with pytest.raises(FrozenInstanceError):
        x.weight = 2.0
    assert replace(x, weight=2.0).weight == 2.0


@pytest.mark.parametrize("name", ["x", "image_2", "Étiquette", "class", "_top"])
def test_identifiers_are_names(name: str) -> None:
    declared = modality("normal", name=name)
    assert nn.ModuleDict({name: declared.encoder(2)})[name] is not None


@pytest.mark.parametrize("name", ["", "2d", "a.b", "a-b", "my image"])
def test_other_things_are_not(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected a name like 'image'"):
        modality("normal", name=name)


@pytest.mark.parametrize("name", ["z", "u", "w_image", "data", "terms", "strata", "particles"])
def test_names_of_latents_and_plates_are_taken(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'.*taken by a latent site or a plate"):
        modality("normal", name=name)


@pytest.mark.parametrize("name", ["type", "values", "keys", "float", "forward", "training"])
def test_names_that_a_module_dict_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises((KeyError, TypeError), match=f"{name}"):
        nn.ModuleDict({name: nn.Identity()})
    with pytest.raises(ValueError, match=f"'{name}'.*attribute of this name"):
        modality("normal", name=name)


@pytest.mark.parametrize("weight", [-0.1, float("inf"), float("nan")])
def test_weights_are_finite_and_not_negative(weight: float) -> None:
    with pytest.raises(ValueError, match=r"'normal', argument weight: expected a finite"):
        modality("normal", weight=weight)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize("wrong", [nn.Identity(), 5, "MLP", None])
def test_networks_come_from_functions(part: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"'normal', argument {part}: expected a function that"):
        modality("normal", **{part: wrong})


def test_check_modalities_returns_a_tuple() -> None:
    declared = [modality("normal"), modality("categorical")]
    assert check_modalities(declared) == tuple(declared)
    assert check_modalities(iter(declared)) == tuple(declared)


@pytest.mark.parametrize("latent_dim", [0, -1, 2.0, True, "2", None])
def test_the_latent_size_is_a_positive_integer(latent_dim: Any) -> None:
    with pytest.raises(
        (ValueError, TypeError), match="latent_dim: expected an integer of at least 1"
    ):
        models.SharedLatent([modality("normal")], latent_dim)


def test_the_nearest_name_is_suggested() -> None:
    message = unknown_name("modality", "imgae", ["image", "label"])
    assert message == "unknown modality 'imgae'; known: image, label. Did you mean 'image'?"
    assert unknown_name("x", "q", []) == "unknown x 'q'; known: none."
    assert unknown_name("x", 3, ["image"]) == "unknown x 3; known: image."


# ------------------------------------------------------------------ recipes


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OWN])
def test_recipes_survive_json(kind: str) -> None:
    declared = modality(kind, weight=2.5)
    recipe = recipes.describe(declared)
    again = recipes.rebuild(json.loads(json.dumps(recipe)))
    assert recipes.describe(again) == recipe
    assert (again.name, again.weight, again.likelihood) == (kind, 2.5, declared.likelihood)
    for part in ("encoder", "decoder"):
        one, other = getattr(declared, part)(3), getattr(again, part)(3)
        assert type(one) is type(other)
        assert sizes(one) == sizes(other)
        other.load_state_dict(one.state_dict())


class Louder(likelihoods.Normal):
    """A likelihood that only the user's code knows."""


Louder.__name__ = "Normal"  # of the same name as one of the library's


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": lambda size: networks.MLPEncoder(size, event_shape=(3,))},
        {"decoder": partial(nn.Linear, out_features=3)},
        {"features": nn.Identity},
        {"likelihood": Louder(scale=1.0)},
    ],
    ids=["encoder", "decoder", "features", "likelihood"],
)
def test_ones_own_code_has_no_recipe(changes: dict[str, Any]) -> None:
    assert recipes.describe(modality("normal")) is not None
    assert recipes.describe(modality("normal", **changes)) is None


@pytest.mark.parametrize("name", ["Normall", "Any", "dataclass", "torch", "__builtins__"])
def test_a_recipe_names_only_what_the_library_has(name: str) -> None:
    recipe = recipes.describe(modality("normal"))
    recipe["likelihood"]["name"] = name
    with pytest.raises(ValueError, match=f"unknown likelihood '{name}'"):
        recipes.rebuild(recipe)


def test_a_recipe_with_an_unknown_network_is_refused() -> None:
    recipe = recipes.describe(modality("normal"))
    recipe["encoder"]["network"] = "eval"
    with pytest.raises(ValueError, match="unknown network 'eval'"):
        recipes.rebuild(recipe)
