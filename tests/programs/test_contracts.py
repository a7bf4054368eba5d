"""What programs offer is found by their names alone, and what they lack is told at the door."""

import re
from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import build, modalities
from pyro.infer.autoguide import AutoNormal, AutoNormalMessenger
from torch import Tensor, nn

from ppl_mm import Modality, Observations, Program, System, guides, likelihoods, models, programs
from ppl_mm.objectives import ELBOTerms, Term
from ppl_mm.programs.asked import declared, family_of, label_of, names_of, site_of
from ppl_mm.programs.door import check_program

ROOT = Path(__file__).resolve().parents[2]
OBJECTIVE = ELBOTerms([Term(("x",), ("x",))])


class Plain(nn.Module):
    """A program that says nothing of itself."""

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))


class Says(Plain):
    """A guide that says all that a mixture with a site of its own says."""

    site, family = "u", (("x",), ("y",))

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        return dist.Normal(torch.zeros(*obs.shape, 1), 1.0).to_event(1)

    def strata(self, obs: Observations, number: int | None = None) -> Observations:
        return obs.strata(self.family, number)


def test_a_program_that_says_nothing_has_the_usual_answers():
    obs = Observations({"x": torch.zeros(2, 1)})
    assert (declared(Plain()), names_of(Plain(), obs)) == ((), ("x",))
    assert (family_of(Plain()), site_of(Plain()), label_of(Plain())) == ((), "z", None)


def test_names_alone_meet_a_contract():
    assert (family_of(Says()), site_of(Says())) == ((("x",), ("y",)), "u")
    assert isinstance(Says(), programs.Mixed)
    assert isinstance(Says(), programs.HasPosterior)
    assert not isinstance(Says(), programs.HasPrivate | programs.Declares)


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("mvae", {"Declares", "Checks", "Conditional", "NamesSite", "HasPosterior"}),
        ("mmvae", {"Declares", "Checks", "Conditional", "NamesSite", "HasPosterior", "Mixed"}),
        ("dmvae", {"Declares", "Checks", "Conditional", "NamesSite", "HasPosterior", "Mixed"}),
    ],
)
def test_our_guides_offer_what_they_are(name, offered):
    guide = build(name, modalities("normal", "categorical")).guide
    contracts = ("Declares", "Checks", "Conditional", "NamesSite", "HasPosterior", "Mixed")
    found = {c for c in contracts if isinstance(guide, getattr(programs, c))}
    assert found == offered
    assert isinstance(guide, programs.HasPrivate) == (name == "dmvae")


def test_a_mixture_knows_its_family_and_a_product_has_none():
    assert family_of(build("mmvae", modalities("normal", "categorical")).guide) == (
        ("normal",),
        ("categorical",),
    )
    assert family_of(build("dmvae", modalities("normal", "categorical")).guide) == ()


def test_private_priors_are_named_by_modality():
    guide = build("mmvae_plus", modalities("normal", "categorical")).guide
    assert list(guide.priors_of_private()) == ["normal", "categorical"]
    assert list(guide.priors_of_private(auxiliary=True)) == ["normal", "categorical"]
    without = build("dmvae", modalities("normal", "categorical")).guide
    assert dict(without.priors_of_private(auxiliary=True)) == {}


class NoForward(nn.Module):
    """No program at all."""


class TwoArguments(nn.Module):
    """A program of observations and something else."""

    def forward(self, obs: Observations, temperature: float) -> None:
        pass


class NoStrata(Plain):
    """A mixture that cannot be sampled by component."""

    family = (("x",),)


class NoSizes(Plain):
    """Private latents of unknown sizes."""

    def private_posterior(self, name: str, obs: Observations) -> None:
        pass


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (NoForward(), r"the guide NoForward has no forward\(obs\); write the Pyro program"),
        (TwoArguments(), r"the guide TwoArguments must run as forward\(obs\).*'temperature'"),
        (NoStrata(), r"NoStrata has 'family' and lacks 'strata', a method strata\(obs, number"),
        (NoSizes(), "NoSizes has 'private_posterior' and lacks 'private_dim', the size"),
    ],
)
def test_what_a_guide_lacks_is_told_by_the_system(guide, message):
    with pytest.raises(TypeError, match=message):
        System(Plain(), guide, OBJECTIVE)


def test_what_a_model_lacks_is_told_by_the_system():
    with pytest.raises(TypeError, match=r"the model NoForward has no forward\(obs\)"):
        System(NoForward(), Plain(), OBJECTIVE)
    check_program("model", NoStrata())  # the names of guides mean nothing in a model


@pytest.mark.parametrize("auto", [AutoNormal, AutoNormalMessenger])
def test_autoguides_are_programs(auto):
    check_program("guide", auto(Plain()))


def test_a_guide_that_others_are_made_of_names_what_it_lacks():
    with pytest.raises(TypeError, match=r"guide: expected a guide such as .*no 'modalities'"):
        guides.Mixture(Plain(), [("x",)])


def not_a_module(_: int) -> object:
    return lambda x: x


def of_one(**networks: object) -> Modality:
    good = {"encoder": lambda size: nn.Linear(1, size), "decoder": lambda size: nn.Linear(size, 1)}
    return Modality("x", likelihoods.Normal(scale=1.0), **(good | networks))


def test_a_network_that_is_no_module_is_told_by_its_modality():
    with pytest.raises(TypeError, match=r"'x': expected decoder\(size\) to return a torch.nn.Mod"):
        models.SharedLatent([of_one(decoder=not_a_module)], 2)
    with pytest.raises(TypeError, match=r"'x': expected encoder\(size\) to return a torch.nn.Mod"):
        guides.ProductOfExperts([of_one(encoder=not_a_module)], 2)
    with pytest.raises(TypeError, match=r"'x': features\(\) must return a module with"):
        guides.ZeroFilledNetwork([of_one(features=nn.Identity)], 2)


class OnlyRuns(Program):
    """A model with the base class and nothing else."""

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))


def test_the_base_class_checks_names_and_supports():
    label = Modality("y", likelihoods.Bernoulli(), of_one().encoder, of_one().decoder)
    program = OnlyRuns([label], latent_dim=1)
    assert (program.names, program.conditions_on, program.site) == (("y",), (), "z")
    program.check(Observations({"y": torch.tensor([0.0, 1.0])}))
    with pytest.raises(ValueError, match="modality 'y': expected"):
        program.check(Observations({"y": torch.tensor([0.5, 2.0])}))
    with pytest.raises(ValueError, match="modality in the batch 'x'"):
        program.check(Observations({"x": torch.zeros(2, 1)}))


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
def test_the_page_on_contracts_runs_from_top_to_bottom():
    torch.set_default_dtype(torch.float32)
    text = (ROOT / "docs" / "contracts.md").read_text()
    names: dict[str, object] = {"__name__": "contracts"}
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    exec(compile(code, "contracts.md", "exec"), names)
    value = names["result"].value
    assert isinstance(value, Tensor)
    assert bool(value[names["rows"].present["x"]].isfinite().all())
    assert names["names"] == ("top", "bottom", "label")
    quoted = re.findall(r'says "(.*?)"|second "(.*?)"', text.replace("\n", " "))
    said = [first or second for first, second in quoted]
    assert len(said) == 2
    assert all(words in found for words, found in zip(said, names["refused"], strict=True))


def test_every_contract_is_public_and_in_one_of_two_files():
    files = ("programs/contracts.py", "batch/network_contracts.py")
    text = "".join((ROOT / "ppl_mm" / file).read_text() for file in files)
    contracts = re.findall(r"^class (\w+)\(", text, re.MULTILINE)
    assert sorted(contracts) == sorted(set(programs.__all__) - {"Program"})
