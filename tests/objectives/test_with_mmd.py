"""The MMD beside other objectives: its value, who learns from it, and rows with nothing."""

from functools import partial

import pyro.distributions as dist
import pytest
import torch
from every_system import SYSTEMS, SameNoise, build, complete, kinds_of, loss_and_gradients, mixed
from pyro.poutine.messenger import Messenger

from ppl_mm import Observations, System, fit, guides, models, systems
from ppl_mm.objectives import (
    IWAE,
    ConditionalMMD,
    DReG,
    ELBOTerms,
    MixtureELBO,
    Stages,
    WithMMD,
    squared_mmd,
    squared_mmd_of_normals,
    subset_terms,
)

EXACT = {"mmd_weight": 3.0, "estimator": "analytic"}


def test_the_penalty_of_normals_is_the_closed_form():
    mvae, obs = build("mvae"), mixed(rows_per_pattern=2)
    objective = WithMMD(mvae.objective, **EXACT)
    rows = obs[torch.stack(list(obs.present.values())).any(0)]
    q = mvae.posterior(rows).base_dist
    prior = torch.zeros(len(rows), 2), torch.ones(len(rows), 2)
    expected = squared_mmd_of_normals((q.loc, q.scale), prior, 2.0)
    found = objective.penalty(mvae.model, mvae.guide, obs)
    torch.testing.assert_close(found, expected, atol=1e-14, rtol=0)
    torch.manual_seed(0)
    plain = mvae.objective.bound(mvae.model, mvae.guide, obs)
    torch.manual_seed(0)
    value = objective.bound(mvae.model, mvae.guide, obs)
    held = obs.any_data
    torch.testing.assert_close(value[held], plain[held] - 3.0 * expected, atol=1e-12, rtol=0)
    assert not value[~held].any()


def test_draws_estimate_the_closed_form():
    """The unbiased estimator over many draws of the same posteriors, whose pools are stratified."""
    mvae, obs = build("mvae"), complete(30)
    exact = WithMMD(mvae.objective, **EXACT).penalty(mvae.model, mvae.guide, obs)
    objective = WithMMD(IWAE(400), mmd_weight=1.0, kernel="dim", estimator="biased")
    found = objective.penalty(mvae.model, mvae.guide, obs)
    assert exact > 0.0
    assert 0.0 < found - exact < 2.0 / 30  # at most the bias: pairs of a row with itself


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_the_pools_are_draws_of_posterior_and_prior_with_noise_of_their_own(estimator):
    mvae, obs, drawn = build("mvae"), complete(5), []

    class Kept(Messenger):
        def _pyro_post_sample(self, msg):
            if msg["name"] == "z":
                drawn.append(msg["value"].reshape(5, 2))

    with Kept():
        objective = WithMMD(mvae.objective, mmd_weight=1.0, estimator=estimator)
        found = objective.penalty(mvae.model, mvae.guide, obs)
    expected = squared_mmd(*drawn, 2.0, unbiased=estimator == "unbiased")
    torch.testing.assert_close(found, expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize("name", ["cmmd", "cvae"])
def test_of_a_conditional_model_the_pools_are_of_rows_that_hold_what_it_conditions_on(name):
    system, obs = build(name), mixed(rows_per_pattern=2)
    objective = WithMMD(system.objective, **EXACT)
    (seen,) = system.model.conditions_on
    held = obs.present[seen]
    with SameNoise():
        plain = system.objective.bound(system.model, system.guide, obs)
        value = objective.bound(system.model, system.guide, obs)
    rows = obs[held]
    q, p = system.posterior(rows).base_dist, system.model.prior
    p = (p(rows) if name == "cmmd" else p()).base_dist.expand(q.loc.shape)
    penalty = squared_mmd_of_normals((q.loc, q.scale), (p.loc, p.scale), 2.0)
    torch.testing.assert_close(plain[held] - value[held], (3.0 * penalty).expand(int(held.sum())))
    assert not value[~held].any()


def test_only_the_guide_learns_from_it():
    mvae, obs = build("mvae"), complete(6)
    value = WithMMD(mvae.objective, mmd_weight=1.0).penalty(mvae.model, mvae.guide, obs)
    found = torch.autograd.grad(value, list(mvae.parameters()), allow_unused=True)
    learners = {id(p) for p, g in zip(mvae.parameters(), found, strict=True) if g is not None}
    assert learners == {id(p) for p in mvae.guide.parameters()}


@pytest.mark.parametrize("name", [n for n in SYSTEMS if n != "telbo"])  # stages: see below
def test_every_system_trains_with_it(name):
    system, obs = build(name), mixed(*kinds_of(name), rows_per_pattern=2)
    system.objective = WithMMD(system.objective, mmd_weight=50.0)
    _, gradients = loss_and_gradients(system, obs)
    assert all(torch.isfinite(g).all() for g in gradients.values())
    options = {"epochs": 2, "batch_size": 3, "annealing_epochs": 2, "progress": False}
    result = fit(system, obs, **options)
    assert set(result.history[0]) == {"epoch", "loss", "surrogate", "seconds"}
    assert system.objective.objective.annealing == system.objective.annealing
    for empty in (obs.only(), Observations.blank(2)):
        assert system.objective.penalty(system.model, system.guide, empty) == 0.0


@pytest.mark.parametrize(
    "objective",
    [
        ELBOTerms(subset_terms(), beta=0.0),
        IWAE(2, beta=0.0),
        DReG(2, beta=0.0),
        MixtureELBO("components", beta=0.0),
    ],
)
def test_it_pulls_the_posteriors_together_to_the_prior(objective):
    """Nothing else does: the objectives' own divergence has the factor 0."""
    torch.manual_seed(1)
    obs = complete(64)
    family = [("bernoulli",), ("normal",), ("categorical",)]
    distances = []
    for weight in (0.0, 2000.0):
        torch.manual_seed(2)
        mvae = build("mvae")
        guide = mvae.guide
        if not isinstance(objective, ELBOTerms):
            guide = guides.Mixture(guide, family)
        system = System(mvae.model, guide, WithMMD(objective, mmd_weight=weight))
        with torch.no_grad():
            for encoder in mvae.guide.encoders.values():
                encoder.head.bias[:2].add_(3.0)
        fast = partial(torch.optim.Adam, lr=0.03)
        fit(system, obs, epochs=10, batch_size=32, optimizer=fast, progress=False)
        measure = WithMMD(IWAE(50), mmd_weight=1.0)
        distances.append(measure.penalty(system.model, guide, obs).item())
    assert distances[1] < 0.5 * distances[0]


def test_private_latents_have_pools_of_their_own():
    plus, obs = build("mmvae_plus"), complete(8)
    sites = {}

    class Counted(WithMMD):
        def __init__(self):
            super().__init__(plus.objective, mmd_weight=1.0)
            whole = self.mmd

            def mmd(q, p, draws, **options):
                sites[len(sites)] = draws[0].shape
                return whole(q, p, draws, **options)

            self.mmd = mmd

    Counted().penalty(plus.model, plus.guide, obs)
    assert len(sites) == 4  # u, and w of three modalities
    assert {shape[1] for shape in sites.values()} == {8}


def test_a_learned_prior_learns_from_it():
    mvae = build("mvae")

    class Moved(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = torch.nn.Parameter(torch.ones(2))

        def forward(self):
            return dist.Normal(self.loc, 1.0).to_event(1)

    prior = Moved()
    model = models.SharedLatent(mvae.model.modalities, 2, prior=prior)
    WithMMD(IWAE(), mmd_weight=1.0).penalty(model, mvae.guide, complete(9)).backward()
    assert prior.loc.grad.any()


def test_nothing_is_the_objective_itself():
    mvae, obs = build("mvae"), complete(3)
    objective = WithMMD(IWAE(3), mmd_weight=0.0)
    assert objective.is_bound
    assert not WithMMD(IWAE(3), mmd_weight=1.0).is_bound
    torch.manual_seed(0)
    one = objective.bound(mvae.model, mvae.guide, obs)
    torch.manual_seed(0)
    assert torch.equal(one, IWAE(3).bound(mvae.model, mvae.guide, obs))


def test_likelihoods_put_together_stay_so():
    meme = systems.meme(build("mvae").modalities, 2, num_pseudo_inputs=4)
    own = meme.alternatives(("normal",), ())
    meme.objective = WithMMD(meme.objective, mmd_weight=1.0)
    assert len(meme.alternatives(("normal",), ())) == len(own)


def test_wrong_options_are_refused():
    stages = Stages([IWAE(), IWAE()], epochs=[1])
    with pytest.raises(TypeError, match="of Stages, each stage by itself"):
        WithMMD(stages, mmd_weight=1.0)
    with pytest.raises(TypeError, match="objective: expected an Objective, got an object"):
        WithMMD(object(), mmd_weight=1.0)
    with pytest.raises(ValueError, match=r"mmd_weight: .*at least 0, got -1"):
        WithMMD(IWAE(), mmd_weight=-1.0)
    mmvae = build("mmvae")
    with pytest.raises(ValueError, match="'analytic' needs diagonal Normals"):
        WithMMD(mmvae.objective, **EXACT).bound(mmvae.model, mmvae.guide, complete(3))
    assert WithMMD(ConditionalMMD(0.5), mmd_weight=1.0).objective.omega == 0.5
