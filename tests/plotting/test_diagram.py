"""Diagrams: every site, its family, its plate, and an arrow for each dependence and no other."""

import re
import shutil
from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import SYSTEMS, build, complete, conditioned_on, kinds_of, mixed, targets
from typer.testing import CliRunner

from ppl_mm import Observations, plotting
from ppl_mm.cli.app import app

SHARED = {"dmvae", "mmvae_plus", "vcca_private"}
PARTIAL = {"vcca": {("normal", "z")}, "vcca_private": {("normal", "u")}}
needs_dot = pytest.mark.skipif(not shutil.which("dot"), reason="no Graphviz: apt-get install")


def arrows(drawn, part=""):
    found = re.findall(r'"?([^"\n\t]+)"? -> "?([^"\n]+)"?', drawn.source)
    pairs = {(a.strip(), b.strip()) for a, b in found}
    return {(a.removeprefix(part), b.removeprefix(part)) for a, b in pairs if a.startswith(part)}


def rows(name, seen=complete):
    kept = kinds_of(name)
    obs = seen(9) if seen is complete else seen(rows_per_pattern=2)
    return obs.drop(*(n for n in obs.names if n not in kept))


def expected_model(system, name):
    given = conditioned_on(system.model)
    latents = {n: {"u", f"w_{n}"} if name in SHARED else {"z"} for n in targets(system)}
    pairs = {(z, n) for n, above in latents.items() for z in above}
    if name == "cvae":
        pairs |= {(g, n) for g in given for n in latents}
    if name == "cmmd":
        pairs |= {("normal", "z"), ("normal", "bernoulli")}
    return pairs


def expected_guide(system, name):
    names = kinds_of(name)
    shared = "u" if name in SHARED else "z"
    pairs = PARTIAL.get(name, {(n, shared) for n in names})
    return pairs | ({(n, f"w_{n}") for n in names} if name in SHARED else set())


@pytest.mark.parametrize("name", SYSTEMS)
def test_model_and_guide_side_by_side(name):
    system = build(name)
    drawn = plotting.graph(system, rows(name))
    assert arrows(drawn, "model ") == expected_model(system, name)
    assert arrows(drawn, "guide ") == expected_guide(system, name)


@pytest.mark.parametrize("name", ["mvae", "mmvae_plus", "mopoe", "svae", "jmvae_zero"])
def test_rows_that_miss_something_have_the_same_arrows(name):
    system = build(name)
    drawn = plotting.graph(system.guide, rows(name, mixed)[1:])
    assert arrows(drawn) <= expected_guide(system, name)


def test_a_modality_that_no_row_holds_is_latent_in_the_model_and_absent_from_the_guide():
    system = build("mvae")
    obs = complete(5).drop("normal")
    model, guide = plotting.graph(system.model, obs), plotting.graph(system.guide, obs)
    assert re.search(r'normal \[label="normal\nNormal" fillcolor=white', model.source)
    assert ("z", "normal") in arrows(model)
    assert "normal" not in guide.source.replace("label=normal", "")


def test_what_all_rows_share_lies_outside_the_plate_of_rows():
    def model(obs: Observations) -> None:
        scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
        with obs.plates():
            z = pyro.sample("z", dist.Normal(torch.zeros(2), scale).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=obs["x"])

    class Program(torch.nn.Module):
        def forward(self, obs):
            model(obs)

    drawn = plotting.graph(Program(), Observations({"x": torch.randn(4, 2)})).source
    before, plate = drawn.split("subgraph")
    assert "scale" in before
    assert "LogNormal" in before
    assert all(name in plate for name in ("label=rows", "z", "x"))
    assert "z -> x" in drawn
    assert "scale -> z" in drawn


def test_nothing_random_and_no_gradient_is_left_behind():
    system, obs = build("mopoe"), complete(4)
    state = torch.get_rng_state()
    plotting.graph(system, obs)
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in system.parameters())


@needs_dot
@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_pictures_are_written_whole(tmp_path, ending, start):
    drawn = plotting.graph(build("mvae"), complete(4))
    plotting.save_graph(drawn, tmp_path / f"mvae.{ending}")
    assert (tmp_path / f"mvae.{ending}").read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [f"mvae.{ending}"]


def test_other_endings_and_a_missing_program_are_named(tmp_path, monkeypatch):
    drawn = plotting.graph(build("mvae").model, complete(4))
    with pytest.raises(ValueError, match=r"mvae.jpg: expected a file that ends in .svg"):
        plotting.save_graph(drawn, tmp_path / "mvae.jpg")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match=r"mvae.svg: the program dot is not installed"):
        plotting.save_graph(drawn, tmp_path / "mvae.svg")
    plotting.save_graph(drawn, tmp_path / "mvae.gv")
    assert (tmp_path / "mvae.gv").read_text() == drawn.source
    monkeypatch.setitem(__import__("sys").modules, "graphviz", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'ppl-mm\[graph\]'"):
        plotting.graph(build("mvae").model, complete(4))


def test_the_command_draws_a_system_on_a_data_set(tmp_path: Path):
    out = tmp_path / "digits.gv"
    words = ["graph", "mmvae_plus", "digits", "--out", str(out), "--option", "private_dim=3"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert '"model w_top" -> "model top"' in out.read_text()
    wrong = CliRunner().invoke(app, ["graph", "mmvae_plus", "digits", "--modality", "middle"])
    assert wrong.exit_code == 2
    assert "middle" in wrong.stderr
