"""A damaged system file is one ValueError with its name; nothing absurd is built from it."""

import json
import re

import pytest
import torch
from every_system import build
from safetensors.torch import save

from ppl_mm import System
from ppl_mm.files import read_sealed, write_sealed


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "system"
    build("mvae").save(path)
    return path


def rewrite(path, change):
    """As someone would who writes a right checksum."""
    file = read_sealed(path, "system", "")
    recipe, tensors = json.loads(file.header["recipe"]), file.tensors()
    change(recipe, tensors)
    write_sealed(path, "system", tensors, {"recipe": json.dumps(recipe)})


def test_absurd_sizes_of_a_recipe_are_refused_before_memory_is_asked_for(saved):
    rewrite(saved, lambda recipe, _: recipe.update(latent_dim=10**9))
    with pytest.raises(ValueError, match=r"system: its recipe .* larger than all that is saved"):
        System.load(saved)


def test_parameters_that_are_nan_are_refused(saved):
    rewrite(saved, lambda _, tensors: next(iter(tensors.values())).fill_(float("nan")))
    with pytest.raises(ValueError, match=r"system: the parameter .* holds NaN"):
        System.load(saved)


def test_another_dtype_is_refused(saved):
    def whole_numbers(_, tensors):
        name = next(iter(tensors))
        tensors[name] = tensors[name].to(torch.int64)

    rewrite(saved, whole_numbers)
    with pytest.raises(ValueError, match=r"is of torch\.int64, the system's of torch\.float64"):
        System.load(saved)


@pytest.mark.parametrize("key", ["system", "names", "modalities", "options", "latent_dim"])
@pytest.mark.parametrize("value", [None, 3, "x", [], {}])
def test_a_recipe_of_any_kind_is_one_error(saved, key, value):
    rewrite(saved, lambda recipe, _: recipe.update({key: value}))
    if key == "options" and value in ([], {}):
        System.load(saved)
        return
    with pytest.raises(ValueError, match=re.escape(str(saved))):
        System.load(saved)


def test_a_file_of_the_earlier_version_loads_with_a_note(saved):
    file = read_sealed(saved, "system", "")
    header = {"format": "ppl_mm system 1", "recipe": file.header["recipe"]}
    tensors = file.tensors()
    saved.write_bytes(save(tensors, header))
    with pytest.warns(UserWarning, match="system: written by an earlier version"):
        found = System.load(saved)
    assert all(torch.equal(x, tensors[n]) for n, x in found.state_dict().items())
