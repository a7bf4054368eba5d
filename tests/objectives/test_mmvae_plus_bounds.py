"""MMVAE+: where its value is a lower bound, and where it exceeds the evidence."""

import math

import pytest
import torch
from linear_gaussian import LinearDecoder
from torch import nn
from torch.distributions import Normal
from toy_mixture import (
    NOISE,
    PRIVATE,
    SLOPES,
    VALUES,
    RowExpert,
    Scene,
    assert_mean,
    private_scene,
    standard_errors_off,
)

from ppl_mm import Modality, Observations, guides, likelihoods, models
from ppl_mm.objectives import IWAE, DReG


def bound(objective, scene, seed=0):
    torch.manual_seed(seed)
    return objective.bound(scene.model, scene.guide, scene.obs)


# ---------------------------------------------------------------- bounds, and what is none


def private_only(x, num_rows):
    """x_m ~ Normal(w_m, 0.3), whatever u; the guide is exact."""

    def modality(name):
        # u is unused, so its exact posterior is the prior
        experts = iter([(0.0, 1.0), (x[name] / 1.09, 0.3 / math.sqrt(1.09))])
        return Modality(
            name,
            likelihoods.Normal(scale=0.3),
            encoder=lambda dim: RowExpert(*next(experts), num_rows, dim),
            decoder=lambda _: LinearDecoder(torch.tensor([[0.0, 1.0]]), torch.zeros(1)),
        )

    declared = [modality(n) for n in "ab"]
    guide = guides.SharedPrivate(guides.MixtureOfExperts(declared, 1), 1, auxiliary="exp")
    obs = Observations({n: torch.full((num_rows, 1), x[n]) for n in "ab"})
    return Scene(models.SharedPrivate(declared, 1, 1), guide, obs)


def with_many_particles(scene, private):
    with torch.no_grad():
        return bound(IWAE(2000, private=private), scene)


def test_private_latents_from_the_prior_give_the_evidence():
    # -3.98827 is log p(x) of the example; with exact averages over particles every row gives it.
    # An average of K = 2000 likelihoods here has a relative variance below 5 / 2000: its log is low
    # by half of that, 0.00125, and so is the mean of two strata.
    evidence = Normal(0.0, math.sqrt(1.09)).log_prob(torch.tensor([1.5, -1.5])).sum().item()
    assert evidence == pytest.approx(-3.98827, abs=5e-6)
    found = with_many_particles(private_only({"a": 1.5, "b": -1.5}, 200), "prior")
    assert_mean(found, evidence, slack=0.0013)
    assert found.std() < 0.06


def test_narrow_auxiliary_priors_exceed_the_evidence():
    scene = private_only({"a": 0.0, "b": 0.0}, 200)
    for prior in scene.guide.auxiliary_priors.values():
        nn.init.constant_(prior.raw, math.log(0.05))
    found = with_many_particles(scene, "auxiliary")
    # The averages' relative variance is about (0.05 / 0.3)^4 / 2, over 2000 draws: nothing.
    assert_mean(found, -0.6907, slack=1e-4)
    evidence = 2 * Normal(0.0, math.sqrt(1.09)).log_prob(torch.tensor(0.0)).item()
    assert evidence == pytest.approx(-1.9241, abs=5e-5)
    assert found.min() > evidence + 1


def test_which_values_are_called_bounds():
    assert IWAE(3, private="prior").is_bound
    assert IWAE(3, private="posterior", form="tighter").is_bound
    for options in (
        {"private": "auxiliary"},
        {"private": "prior", "beta": 2.0},
        {"private": "prior", "weights": {"a": 2.0}},
    ):
        assert not IWAE(3, **options).is_bound
        assert not DReG(3, **options).is_bound


@pytest.mark.parametrize("number", [1, 5])
def test_private_latents_from_the_prior_give_a_lower_bound(number):
    # log p(a, b) of the linear model: u, w_a, w_b standard Normal.
    scene = private_scene(20_000)
    shared = torch.tensor([SLOPES["a"], SLOPES["b"]])
    own = torch.tensor([NOISE[n] ** 2 + PRIVATE**2 for n in "ab"])
    p = torch.distributions.MultivariateNormal(
        torch.zeros(2), shared[:, None] * shared + torch.diag(own)
    )
    evidence = p.log_prob(torch.tensor([VALUES["a"], VALUES["b"]]))
    for form in ("looser", "tighter"):
        objective = IWAE(number, form=form, private="prior")
        found = bound(objective, scene).detach()
        assert found.mean() < evidence
        assert standard_errors_off(found[:, None], evidence) > 10
