"""Systems: built by name, put together by hand, with their parts mixed freely."""

import inspect
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import (
    LATENT_DIM,
    SYSTEMS,
    SameNoise,
    build,
    complete,
    kinds_of,
    loss_and_gradients,
    mixed,
    modalities,
    modality,
    options_of,
)
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import nn

from ppl_mm import Observations, System, fit, generate, guides, log_likelihood, models, systems
from ppl_mm.evaluation import elbo, predict
from ppl_mm.objectives import IWAE, ELBOTerms, Objective, Reweighted, Term, subset_terms
from ppl_mm.programs.program import Program

every_system = pytest.mark.parametrize("name", SYSTEMS)

OBJECTIVES = {
    "terms": lambda: ELBOTerms(subset_terms(None)),
    "required terms": lambda: ELBOTerms(subset_terms(k=1), rows="require", mean="rows"),
    "references": lambda: ELBOTerms(
        [
            Term(("bernoulli", "normal"), ("bernoulli",), ("normal",)),
            Term(("normal",), ("normal", "bernoulli"), weight=0.5),
        ],
        num_particles=2,
    ),
    "iwae": lambda: IWAE(num_particles=3),
    "stock": Trace_ELBO,
    "stock, analytic KL": lambda: TraceMeanField_ELBO(num_particles=2, vectorize_particles=True),
    "stock, reweighted": lambda: Reweighted(Trace_ELBO(), weights={"normal": 2.0}, beta=0.5),
}
GUIDES = {
    "product": lambda declared: guides.ProductOfExperts(declared, LATENT_DIM),
    "product without the prior": lambda declared: guides.ProductOfExperts(
        declared, LATENT_DIM, prior_expert=False
    ),
    "quotient": lambda declared: guides.QuotientOfExperts(declared, LATENT_DIM),
}


class Hierarchical(nn.Module):
    """A user's own model: a latent more than the guide has, and no declared names."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(LATENT_DIM, 3)

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            z = pyro.sample("z", dist.Normal(torch.zeros(LATENT_DIM), 1.0).to_event(1))
            x, scored = obs.filled("normal")
            p = dist.Normal(self.decoder(z), 1.0).to_event(1)
            pyro.sample("normal", p.mask(scored), obs=x)


# ------------------------------------------------------------------ by name


def test_available_says_what_each_system_is() -> None:
    found = systems.available()
    assert {"vae", "mvae", "mvae_q"} <= found.keys()
    assert list(found) == sorted(found)
    for name, what in found.items():
        assert what.endswith(".")
        assert getattr(systems, name) is not None
        assert name in systems.__all__


@every_system
def test_build_is_the_function_of_that_name(name: str) -> None:
    declared = modalities(*kinds_of(name))
    options = {"beta": 0.5, **options_of(name, declared)}
    torch.manual_seed(3)
    one = systems.build(name, declared, LATENT_DIM, **options)
    torch.manual_seed(3)
    other = getattr(systems, name)(declared, LATENT_DIM, **options)
    assert one.objective.beta == other.objective.beta == 0.5
    for parameter, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[parameter])


@every_system
def test_every_system_shows_its_parts(name: str) -> None:
    system = build(name)
    assert isinstance(system.model, Program)
    assert isinstance(system.guide, Program)
    assert isinstance(system.objective, Objective)
    assert tuple(m.name for m in system.modalities) == kinds_of(name)
    assert system.device == torch.device("cpu")
    own = {id(p) for part in (system.model, system.guide) for p in part.parameters()}
    assert own == {id(p) for p in system.parameters()}
    assert inspect.getdoc(getattr(systems, name))


@every_system
def test_a_systems_loss_is_its_objectives(name: str) -> None:
    system, obs = build(name), mixed(*kinds_of(name))
    with SameNoise():
        loss = system(obs)
        bound = system.objective.bound(system.model, system.guide, obs)
        module = system.objective(system.model, system.guide)
        assert torch.equal(module(obs), loss)
        assert system.objective.loss(system.model, system.guide, obs) == loss.item()
    assert bound.shape == (len(obs),)
    assert torch.equal(loss, -bound.sum())


@every_system
def test_the_declared_weights_are_the_objectives(name: str) -> None:
    declared = [modality(kind, weight=i + 1.0) for i, kind in enumerate(kinds_of(name))]
    objective = build(name, declared).objective
    assert objective.lambdas == {m.name: m.weight for m in declared}


@every_system
def test_the_order_of_modalities_does_not_matter(name: str) -> None:
    kinds = kinds_of(name)
    one, other = build(name), build(name, modalities(*reversed(kinds)))
    other.load_state_dict(one.state_dict())
    obs = mixed(*kinds)
    turned = Observations(
        {k: obs[k] for k in reversed(kinds)}, {k: obs.present[k] for k in reversed(kinds)}
    )
    with SameNoise():
        loss, gradients = loss_and_gradients(one, obs)
        back, others = loss_and_gradients(other, turned)
    torch.testing.assert_close(loss, back, rtol=1e-12, atol=1e-12)
    for parameter, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[parameter], rtol=1e-10, atol=1e-12)


@every_system
def test_stock_inference_trains_two_systems_in_one_process(name: str) -> None:
    obs = mixed(*kinds_of(name))
    for _ in range(2):
        system = build(name)
        before = {n: p.clone() for n, p in system.named_parameters()}
        optimiser = pyro.optim.Adam({"lr": 0.01})
        SVI(system.model, system.guide, optimiser, loss=system.objective).step(obs)
        for parameter, value in system.named_parameters():
            assert not torch.equal(value, before[parameter]), parameter
    assert not list(pyro.get_param_store().keys())


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="betta"):
        build("mvae", betta=0.5)


# ------------------------------------------------------------------ parts mixed freely


@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_any_guide_goes_with_any_objective(guide: str, objective: str) -> None:
    declared = modalities("bernoulli", "normal")
    model = models.SharedLatent(declared, LATENT_DIM)
    system = System(model, GUIDES[guide](declared), OBJECTIVES[objective]())
    obs = mixed("bernoulli", "normal", rows_per_pattern=2)
    loss, gradients = loss_and_gradients(system, obs)
    assert torch.isfinite(loss)
    for parameter, gradient in gradients.items():
        assert torch.isfinite(gradient).all(), parameter
        assert gradient.any(), parameter
    result = fit(system, obs, epochs=2, batch_size=3, progress=False)
    assert len(result.history) == 2
    assert torch.isfinite(elbo(system, obs)).all()
    assert log_likelihood(system, obs, num_samples=2).value.shape == (8,)
    assert generate(system, obs, "normal", 2)["normal"].shape == (2, 8, 3)


def test_a_systems_guide_can_be_trained_under_another_objective() -> None:
    mvae, obs = build("mvae"), complete(6)
    for objective in (IWAE(num_particles=2), Trace_ELBO()):
        system = System(mvae.model, mvae.guide, objective)
        before = [p.clone() for p in mvae.parameters()]
        fit(system, obs, epochs=1, progress=False)
        assert not any(torch.equal(a, b) for a, b in zip(before, mvae.parameters(), strict=True))


@pytest.mark.parametrize("objective", [IWAE(num_particles=2), Trace_ELBO(), ELBOTerms])
def test_a_users_own_model_goes_with_our_guides(objective: Any) -> None:
    if objective is ELBOTerms:
        objective = ELBOTerms([Term(("normal",), ("normal",))])
    guide = guides.ProductOfExperts(modalities("normal"), LATENT_DIM)
    system = System(Hierarchical(), guide, objective)
    assert [m.name for m in system.modalities] == ["normal"]
    obs = mixed("normal", rows_per_pattern=3)
    before = system.model.decoder.weight.clone()
    fit(system, obs, epochs=1, progress=False)
    assert not torch.equal(system.model.decoder.weight, before)
    assert not elbo(system, obs)[~obs.present["normal"]].any()
    assert log_likelihood(system, obs, num_samples=2).value.shape == (6,)
    assert predict(system, obs, "normal").shape == (6, 3)


def test_a_prior_is_shared_by_model_and_guide() -> None:
    prior = dist.Normal(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    for name in SYSTEMS:
        if name in ("meme", "cmmd"):  # their priors are networks of the modalities
            with pytest.raises(TypeError, match="prior"):
                build(name, prior=prior)
            continue
        system = build(name, prior=prior)
        q = system.posterior(complete(2, *kinds_of(name)).only())
        assert q.mean.tolist() == [[1.0, -2.0]] * 2
        torch.testing.assert_close(q.stddev, torch.tensor([[0.5, 3.0]] * 2))
        assert system.model.prior().mean.tolist() == [1.0, -2.0]
        torch.testing.assert_close(system.model.prior().stddev, torch.tensor([0.5, 3.0]))
        assert system.recipe is None


# ------------------------------------------------------------------ recipes


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta": 0.5, "num_particles": 2},
        {"prior_expert": False},
        {"terms": subset_terms(k=1, uniform_over="subset"), "dedupe": False},
        {"terms": subset_terms(scored={"normal": ("normal", "label")})},
    ],
    ids=["default", "objective", "guide", "terms", "scored"],
)
def test_a_recipe_rebuilds_the_options(options: dict[str, Any], tmp_path: Any) -> None:
    system = build("mvae", **options)
    system.save(tmp_path / "system")
    again = System.load(tmp_path / "system")
    assert again.recipe == system.recipe
    for option in ("beta", "num_particles", "terms", "rows", "dedupe", "mean", "weights"):
        assert getattr(again.objective, option) == getattr(system.objective, option)
    assert again.guide.prior_expert == system.guide.prior_expert


def test_what_has_no_recipe_is_loaded_into_a_system(tmp_path: Any) -> None:
    own = build("mvae", terms=[Term(("normal",), ("normal",))])
    assert own.recipe is None
    own.save(tmp_path / "system")
    with pytest.raises(ValueError, match="put together by hand"):
        System.load(tmp_path / "system")
    again = build("mvae")
    System.load(tmp_path / "system", system=again)
    for parameter, value in own.state_dict().items():
        assert torch.equal(value, again.state_dict()[parameter])


def test_tied_parameters_are_saved(tmp_path: Any) -> None:
    encoder = modality("normal").encoder(LATENT_DIM)
    declared = [modality("normal", name=name, encoder=lambda _: encoder) for name in ("a", "b")]
    system = build("mvae", declared)
    system.save(tmp_path / "system")
    again = System.load(tmp_path / "system", modalities=declared)
    assert again.guide.encoders["a"] is again.guide.encoders["b"]
    for parameter, value in system.state_dict().items():
        assert torch.equal(value, again.state_dict()[parameter])
