"""The options of the systems: each is documented, listed and taken; unknown ones are refused."""

import inspect

import numpy as np
import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of, modalities, options_of
from typer.testing import CliRunner

from ppl_mm import systems
from ppl_mm.cli.app import app


def defaults(name):
    """The options that have a default, at it."""
    parameters = inspect.signature(getattr(systems, name)).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.kind == p.KEYWORD_ONLY and p.default is not p.empty and p.default is not None
    }


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_option_is_documented_and_taken_at_its_default(name):
    listed = {o.name: o for o in systems.options(name)}
    assert all(option.what for option in listed.values())
    needed = options_of(name, modalities(*kinds_of(name)))
    given = {n: value for n, value in defaults(name).items() if n not in needed}
    assert set(given) <= set(listed)
    plain, explicit = build(name), build(name, **given)
    explicit.load_state_dict(plain.state_dict())
    rows = complete(4, *kinds_of(name))
    losses = []
    for system in (plain, explicit):
        torch.manual_seed(1)
        losses.append(system(rows).item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_unknown_option_is_refused_with_the_nearest(name):
    option = "vectorized" if name == "cmmd" else "num_particle"
    nearest = "vectorised" if name == "cmmd" else "num_particles"
    with pytest.raises(TypeError, match=f"{name}: unknown argument .*Did you mean '{nearest}'"):
        build(name, **{option: 2})


def test_options_of_the_objective_are_checked_by_the_system():
    with pytest.raises(TypeError, match=r"mvae, argument beta: expected a finite number.*'2'"):
        build("mvae", beta="2")
    with pytest.raises(ValueError, match=r"mopoe, argument strata: .*at least 1 or None, got 0"):
        build("mopoe", strata=0)
    system = build("mvae", beta=np.float32(0.5), num_particles=np.int64(2))
    assert system.recipe["options"] == {"beta": 0.5, "num_particles": 2}


def test_a_wrong_option_of_a_dict_or_a_list_is_found_inside():
    with pytest.raises(TypeError, match=r"telbo, argument gammas\['bernoulli'\]: .*got 'a'"):
        build("telbo", gammas={"bernoulli": "a"})
    with pytest.raises(TypeError, match=r"mopoe, argument subsets: expected a sequence.*got 'y'"):
        build("mopoe", subsets="y")


def test_the_command_lists_them():
    found = CliRunner().invoke(app, ["systems", "mvae"], env={"COLUMNS": "120"})
    assert found.exit_code == 0
    lines = found.output.splitlines()
    place = lines.index("  beta = 1.0")
    assert lines[place + 1] == "      The factor of the KL."
    wrong = CliRunner().invoke(app, ["systems", "mvea"])
    assert wrong.exit_code == 2
    assert "Did you mean 'mvae'" in wrong.output
