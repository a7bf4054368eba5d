"""log p of labels given others: never above 0, classes add up to 1, one number everywhere."""

import math

import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of, mixed, modalities
from torch import nn
from torch.special import log_ndtr, ndtr

from ppl_mm import (
    Modality,
    Observations,
    System,
    guides,
    likelihoods,
    log_likelihood,
    models,
)
from ppl_mm.evaluation import accuracy, annealed_log_likelihood, calibration, predict, probabilities
from ppl_mm.likelihood.estimand import labels_alone
from ppl_mm.likelihood.log_likelihood import log_likelihoods
from ppl_mm.likelihood.shares import summarise_shares
from ppl_mm.objectives import IWAE
from ppl_mm.programs.answerable import answerable, conditioned_on

pytestmark = pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")

LABEL = "categorical"
WITH_LABELS = [n for n in SYSTEMS if n not in ("cvae", "vae")]  # one conditions on it, one has none
DISCRETE = (
    "bernoulli",
    "categorical",
    "one_hot",
    "multi_label",
    "poisson",
    "negative_binomial",
    "zero_inflated",
    "tokens",
)
PROPOSALS = ("joint", "given", "prior", "defensive", ["normal", LABEL])


class Probit(nn.Module):
    """From z (..., 1) to the logits of p(y_l = 1 | z) = Phi(a_l z)."""

    def __init__(self, slopes):
        super().__init__()
        self.slopes = nn.Parameter(slopes)

    def forward(self, z):
        return log_ndtr(self.slopes * z) - log_ndtr(-self.slopes * z)


class Expert(nn.Module):
    """An expert of x; a scale of 1 is exact, as the prior expert completes it."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x[..., :1], torch.full_like(x[..., :1], self.scale)


def probit(slopes, num_rows, scale, seed=0):
    """z ~ N(0, 1), x ~ N(z, 1), y_l ~ Bernoulli(Phi(a_l z)), and its rows."""
    g = torch.Generator().manual_seed(seed)
    declared = [
        Modality("x", likelihoods.Normal(1.0), lambda _: Expert(scale), lambda _: nn.Identity()),
        Modality("y", likelihoods.MultiLabel(), lambda _: Expert(2.0), lambda _: Probit(slopes)),
    ]
    system = System(models.SharedLatent(declared, 1), guides.ProductOfExperts(declared, 1), IWAE(1))
    z = torch.randn(num_rows, 1, generator=g)
    x = z + torch.randn(num_rows, 1, generator=g)
    y = (torch.rand(num_rows, len(slopes), generator=g) < ndtr(slopes * z)) * 1.0
    return system, Observations({"x": x, "y": y})


def exact(slopes, obs):
    """log p(y | x) for one label: Phi(+- a m / sqrt(1 + a^2 v)), z | x ~ N(m, v) = N(x/2, 1/2)."""
    sign = 2 * obs["y"] - 1
    return log_ndtr(sign * slopes * obs["x"] / 2 / (1 + slopes**2 / 2).sqrt())[:, 0]


STAGES = ("none", "auto", "laplace", "annealed")


@pytest.mark.parametrize(
    ("proposal", "refine"),  # a defensive proposal is not refined
    [
        (p, r)
        for p in ("joint", "prior", "defensive")
        for r in STAGES[: 2 if p == "defensive" else 4]
    ],
)
def test_it_agrees_with_the_closed_form(refine, proposal):
    slopes = torch.tensor([2.0])
    system, obs = probit(slopes, 40, scale=1.4)
    found = log_likelihood(system, obs, "y", "x", 1000, proposal, refine=refine)
    assert ((found.value - exact(slopes, obs)).abs() < 4.5 * found.standard_error).all()
    assert (found.low < found.value).all()
    assert (found.value < found.high).all()
    assert (found.high <= 0).all()


def test_the_model_answers_whatever_the_guide():
    """The guide's own draws say something else where it is off, and the weights put it right."""
    slopes = torch.tensor([4.0])
    system, obs = probit(slopes, 200, scale=0.4)
    found = log_likelihood(system, obs, "y", "x")
    off = (found.value - exact(slopes, obs)) / found.standard_error
    assert off.abs().max() < 4.5
    assert (found.pareto_k < 0.7).double().mean() > 0.97
    assert (found.value - found.low).max() <= math.log(40) + 1e-12


def test_what_is_missing_is_not_conditioned_on():
    slopes = torch.tensor([2.0])
    system, obs = probit(slopes, 8, scale=1.2)
    some = Observations(obs.values, {"x": torch.arange(8) % 2 == 0, "y": torch.arange(8) < 6})
    found = log_likelihood(system, some, "y", "x")
    expected = torch.where(some.present["x"], exact(slopes, obs), math.log(0.5))[:6]
    assert ((found.value[:6] - expected).abs() < 4.5 * found.standard_error[:6]).all()
    assert not found.value[6:].any()
    assert not found.standard_error[6:].any()


def of_every_class(obs):
    """The rows with every class of the label in turn, (3 N)."""
    several = obs[torch.arange(len(obs)).repeat(3)]
    classes = torch.arange(3).repeat_interleave(len(obs))
    return Observations({**several.values, LABEL: classes}, dict(several.present))


def assert_classes_add_up(system, proposal, refine, num_samples=100):
    """For every pattern of missingness of what is given, where anything is."""
    obs = answerable(system.model, mixed("bernoulli", "normal"))
    found = log_likelihood(
        system, of_every_class(obs), LABEL, obs.names, num_samples, proposal, refine=refine
    )
    assert (found.value <= 0).all()
    assert (found.high <= 0).all()
    some = torch.stack([obs.present[n] for n in obs.names]).any(0)
    if system.alternatives((LABEL,), obs.names) is None:
        some = some | True
        mean = found.log_weights.double().exp().nanmean(0)
        torch.testing.assert_close(mean, found.value.exp(), atol=1e-5, rtol=1e-4)
    total = found.value.exp().reshape(3, -1).sum(0)[some]
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-9, rtol=0)


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("name", WITH_LABELS)
def test_classes_add_up_to_one_in_every_system(name, proposal):
    assert_classes_add_up(build(name), proposal, "none")


@pytest.mark.slow  # every stage in every system
@pytest.mark.parametrize("name", WITH_LABELS)
def test_refined_classes_add_up_to_one_in_every_system(name):
    for refine in ("auto", "laplace", "variational", "adaptive", "annealed"):
        assert_classes_add_up(build(name), "joint", refine)


@pytest.mark.parametrize("name", WITH_LABELS)
def test_every_measure_says_the_same_of_the_same_question(name):
    system, obs = build(name), complete(4)
    others = [n for n in obs.names if n != LABEL]
    found = log_likelihood(system, obs, LABEL, others, num_samples=100, seed=3)
    nats = calibration(system, obs, LABEL, others, num_samples=100, seed=3).nats
    torch.testing.assert_close(found.value, -nats, atol=1e-9, rtol=0)
    p = probabilities(system, obs, LABEL, others, num_samples=100, seed=3)
    own = p.gather(-1, obs[LABEL][:, None])[:, 0].log()
    torch.testing.assert_close(found.value, own, atol=1e-9, rtol=0)
    torch.testing.assert_close(p.sum(-1), torch.ones(4), atol=1e-9, rtol=0)
    chosen = predict(system, obs, LABEL, others, num_samples=100, seed=3)
    assert torch.equal(chosen, p.argmax(-1))
    share = accuracy(system, obs, LABEL, others, num_samples=100, seed=3)
    assert share == (chosen == obs[LABEL]).double().mean().item()


def hardly_looking(name, *kinds):
    """A system whose decoders hardly look at z: many a difference of estimates would be above 0."""
    system = build(name, modalities(*kinds_of(name, *kinds)))
    with torch.no_grad():
        for decoder in system.model.decoders.values():
            for parameter in decoder.parameters():
                parameter.mul_(0.1)
    return system, complete(6, *system.model.names)


def assert_never_above_certain(system, obs, names, **options):
    """Each of the names and all of them, alone and given all others."""
    given = conditioned_on(system.model)
    for target in {*((n,) for n in names), tuple(names)}:
        for others in {given, tuple(n for n in obs.names if n not in target)}:
            found = log_likelihood(system, obs, target, others, **options)
            assert (found.value <= 0).all()
            assert (found.high <= 0).all()
            yield found


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_discrete_target_is_likelier_than_certain(name):
    system, obs = hardly_looking(name, "bernoulli", LABEL, "normal")
    given = conditioned_on(system.model)
    names = [n for n in system.model.names if n not in given and n != "normal"]
    for options in ({}, {"refine": "none", "proposal": "prior"}, {"denominator": "prior"}):
        list(assert_never_above_certain(system, obs, names, num_samples=30, **options))
    if not given:
        for found in log_likelihoods(system, obs, [(n,) for n in names], num_samples=2):
            assert (found.value <= 0).all()
        options = {"num_chains": 2, "num_temperatures": 1, "num_leaps": 1}
        assert (annealed_log_likelihood(system, obs, names[0], **options).value <= 0).all()


@pytest.mark.slow  # refined, by the default number of draws
@pytest.mark.parametrize("name", SYSTEMS)
def test_no_refined_discrete_target_is_likelier_than_certain(name):
    system, obs = hardly_looking(name, "bernoulli", LABEL, "poisson")
    names = [n for n in system.model.names if n not in conditioned_on(system.model)]
    found = list(assert_never_above_certain(system, obs, names))
    assert any(bool(one.refinement.any()) for one in found)  # CMMD's label has exact draws


@pytest.mark.slow  # refined, by the default number of draws
@pytest.mark.parametrize("name", ["mvae", "mopoe"])
@pytest.mark.parametrize("kind", DISCRETE)
def test_no_kind_of_discrete_target_is_likelier_than_certain_by_any_proposal(kind, name):
    system, obs = hardly_looking(name, kind, "normal")
    for proposal in ("joint", "given", "prior", "defensive", ["normal"]):
        for found in assert_never_above_certain(system, obs, [kind], proposal=proposal):
            assert bool(found.refinement.any()) == (proposal != "defensive")


@pytest.mark.slow  # refined, by the default number of draws
@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("name", ["mvae", "mmvae", "jmvae", "meme"])
def test_classes_add_up_to_one_by_the_default_number_of_draws(name, proposal):
    assert_classes_add_up(build(name), proposal, "auto", num_samples=1000)


def test_intervals_of_a_probability_by_hand():
    """p = 1/2 by two kinds of draws: a binomial share, whose interval is symmetric in log-odds."""
    log_h = torch.tensor([0.0, -torch.inf]).repeat(200)[None, :, None]
    zero = torch.zeros_like(log_h)
    found = summarise_shares(zero, log_h, torch.zeros(1, 1))
    assert found["value"].item() == pytest.approx(math.log(0.5))
    error = 0.5 / math.sqrt(399)
    assert found["standard_error"].item() == pytest.approx(2 * error)
    low, high = (found[side].exp().item() for side in ("low", "high"))
    assert low == pytest.approx(0.5 - 1.959964 * error, abs=1e-6)
    assert high == pytest.approx(0.5 + 1.959964 * error, abs=1e-6)
    sure = summarise_shares(zero, torch.zeros_like(log_h), torch.zeros(1, 1))
    assert sure["value"].item() == 0.0
    assert sure["high"].item() <= 0.0
    assert -1e-6 < sure["low"].item() <= 0.0


def test_intervals_of_a_probability_end_within_it():
    log_h = torch.log(torch.tensor([0.999, 0.9, 0.01, 0.3, 1e-8]))
    for p in (log_h[:2], log_h, log_h[2:]):
        found = summarise_shares(torch.randn(1, len(p), 1), p[None, :, None], torch.zeros(1, 1))
        assert -math.inf < found["low"].item() <= found["value"].item() <= found["high"].item() < 0


def test_a_picture_is_no_label():
    """Its posterior is far from that of what is given: a difference of two estimates, cut at 0."""
    obs = Observations({"x": torch.randn(2, 33), "y": torch.ones(2, 33)})
    y = obs["y"]
    for values, label in ((y, False), (y[:, :32], True), (y.long()[:, 0], True)):
        kind = likelihoods.Bernoulli() if values.is_floating_point() else likelihoods.Categorical()
        declared = [Modality("y", kind, lambda _: nn.Identity(), lambda _: nn.Identity())]
        assert labels_alone(declared, Observations({"y": values}), ["y"]) == label
    assert not labels_alone([], obs, ["x"])
