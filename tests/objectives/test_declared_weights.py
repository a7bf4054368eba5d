"""An objective that is given no weights reads those that the model's modalities declare."""

from dataclasses import replace
from functools import partial

import pyro.infer
import pytest
import torch
from every_system import THREE, SameNoise, build, mixed, modality
from linear_gaussian import NAMES, LinearGaussian

from ppl_mm import System, data, fit, guides, log_likelihood, models, systems
from ppl_mm.objectives import (
    IWAE,
    DReG,
    ELBOTerms,
    MixtureELBO,
    Reweighted,
    Stages,
    Term,
    WithMMD,
    subset_terms,
)

WEIGHTS = {"a": 0.5, "b": 50.0, "c": 0.0}


def declared_toy(weights):
    toy = LinearGaussian(spread=1.3)
    toy.modalities = [replace(m, weight=weights.get(m.name, 1.0)) for m in toy.modalities]
    return toy


OBJECTIVES = {
    "ELBOTerms": partial(ELBOTerms, subset_terms()),
    "IWAE": partial(IWAE, 2),
    "DReG": partial(DReG, 2),
    "MixtureELBO": partial(MixtureELBO, "components"),
    "Reweighted": lambda **o: Reweighted(pyro.infer.Trace_ELBO(), **o),
    "Stages": lambda **o: Stages([IWAE(1, **o), ELBOTerms(subset_terms(), **o)], [1]),
    "WithMMD": lambda **o: WithMMD(IWAE(2, **o), mmd_weight=3.0),
}


def parts_of(declared):
    """A model and a mixture guide of the same parameters, whatever is declared."""
    toy = declared_toy(declared)
    torch.manual_seed(3)
    return toy.model(), guides.MixtureOfExperts(toy.modalities, 2), toy.sample(5)


def loss_of(objective, model, guide, obs):
    torch.manual_seed(5)
    return objective.differentiable_loss(model, guide, obs)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_declared_weights_are_those_that_are_given(name):
    model, guide, obs = parts_of(WEIGHTS)
    plain_model, plain_guide, _ = parts_of({})
    plain_guide.load_state_dict(guide.state_dict())
    plain_model.load_state_dict(model.state_dict())
    found = loss_of(OBJECTIVES[name](), model, guide, obs)
    expected = loss_of(OBJECTIVES[name](weights=WEIGHTS), plain_model, plain_guide, obs)
    assert torch.equal(found, expected)
    assert not torch.equal(found, loss_of(OBJECTIVES[name](), plain_model, plain_guide, obs))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_given_weights_replace_those_of_the_same_name(name):
    model, guide, obs = parts_of(WEIGHTS)
    found = loss_of(OBJECTIVES[name](weights={"b": 2.0}), model, guide, obs)
    expected = loss_of(OBJECTIVES[name](weights={**WEIGHTS, "b": 2.0}), model, guide, obs)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", [n for n in OBJECTIVES if n != "WithMMD"])
def test_a_weighted_value_is_no_bound(name):
    model, guide, obs = parts_of({"b": 50.0})
    assert OBJECTIVES[name]().is_bound
    assert not System(model, guide, OBJECTIVES[name]()).objective.is_bound
    alone = OBJECTIVES[name]()
    alone.loss(model, guide, obs)  # without a system it learns of the model in its first run
    assert not alone.is_bound
    assert System(model, guide, OBJECTIVES[name](weights={"b": 1.0})).objective.is_bound
    row = fit(System(model, guide, OBJECTIVES[name]()), obs, epochs=1, progress=False).history[0]
    assert "surrogate" in row
    assert "bound" not in row


def test_digits_put_together_by_hand_lose_what_the_system_does():
    digits = data.load("digits")
    weighted = [replace(m, weight=50.0 if m.name == "label" else 1.0) for m in digits.modalities]
    one = systems.mvae(weighted, 4)
    by_hand = System(
        models.SharedLatent(weighted, 4),
        guides.ProductOfExperts(weighted, 4),
        ELBOTerms(subset_terms()),
    )
    by_hand.load_state_dict(one.state_dict())
    unweighted = systems.mvae([replace(m, weight=1.0) for m in digits.modalities], 4)
    unweighted.load_state_dict(one.state_dict())
    losses = []
    for system in (one, by_hand, unweighted):
        torch.manual_seed(0)
        losses.append(system(digits.train[:100]).item())
    assert losses[0] == losses[1]
    # Two terms score the label, whose -log p is near log 10 = 2.3 in each of 100 rows.
    assert losses[0] - losses[2] > 2 * 100 * 49


def test_a_program_without_declarations_has_weights_of_one():
    model, guide, obs = parts_of(WEIGHTS)

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = parts_of({})[0]

        def forward(self, obs):
            self.inner(obs)

    plain = Plain()
    plain.inner.load_state_dict(model.state_dict())
    bare = parts_of({})[0]
    bare.load_state_dict(model.state_dict())
    objective = IWAE(2)
    objective.loss(model, guide, obs)  # what another model declares is forgotten
    assert torch.equal(loss_of(objective, plain, guide, obs), loss_of(IWAE(2), bare, guide, obs))
    assert objective.is_bound


def test_a_handler_around_a_model_hides_no_declaration():
    model, guide, obs = parts_of(WEIGHTS)
    scaled = pyro.poutine.scale(model, scale=1.0)
    assert torch.equal(loss_of(IWAE(2), scaled, guide, obs), loss_of(IWAE(2), model, guide, obs))


def test_likelihoods_made_of_conditionals_leave_the_objective_alone():
    system = build("meme", [modality(kind, weight=3.0) for kind in THREE])
    before = system.objective.lambdas
    log_likelihood(system, mixed()[:2], num_samples=2)
    assert system.objective.lambdas == before
    assert not system.objective.is_bound


def test_reweighted_takes_pyros_own_objectives_alone():
    with pytest.raises(TypeError, match="IWAE has weights and beta of its own"):
        Reweighted(IWAE(2))


@pytest.mark.parametrize("name", ["mvae", "mmvae", "mmjsd"])
def test_a_system_takes_weights_in_place_of_those_declared(name):
    one = build(name, [modality(kind, weight=2.0) for kind in THREE], weights={"normal": 3.0})
    other = build(name, [modality(kind, weight=2.0 + (kind == "normal")) for kind in THREE])
    other.load_state_dict(one.state_dict())
    obs = mixed()
    with SameNoise():
        assert torch.equal(one(obs), other(obs))


def test_terms_own_lambdas_replace_what_is_declared():
    toy = declared_toy({"a": 50.0})
    model, guide, obs = toy.model(), guides.ProductOfExperts(toy.modalities, 2), toy.sample(4)
    found = loss_of(ELBOTerms([Term(NAMES, NAMES, lambdas={"a": 2.0})]), model, guide, obs)
    expected = loss_of(ELBOTerms([Term(NAMES, NAMES)], weights={"a": 2.0}), model, guide, obs)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
