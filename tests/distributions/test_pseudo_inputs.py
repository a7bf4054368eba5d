"""Mixtures of encodings and the prior made of them: densities, draws, what is learned."""

import math
from functools import partial

import pyro.distributions as dist
import pytest
import torch
from every_system import KINDS, complete, loss_and_gradients, mixed, modalities, modality
from torch import nn
from toy_meme import PAIR
from toy_mixture import assert_mean

from ppl_mm import Observations, System, guides, models
from ppl_mm.distributions import EncodedMixture, PseudoInputPrior, RandomMixture, RowwiseReference
from ppl_mm.objectives import IWAE, ELBOTerms, MutualSupervisionELBO, subset_terms

EXACT = {"atol": 1e-12, "rtol": 1e-12}


def mixture(num=6, dim=3, scale=0.7, seed=0):
    g = torch.Generator().manual_seed(seed)
    loc = torch.randn(num, dim, generator=g)
    scales = scale * (0.5 + torch.rand(num, dim, generator=g))
    return loc, scales, EncodedMixture(lambda: (loc, scales), dim)


def log_density(z, loc, scale):
    """By torch, one component at a time."""
    each = torch.distributions.Normal(loc, scale).log_prob(z[..., None, :]).sum(-1)
    return each.logsumexp(-1) - math.log(len(loc))


# ---------------------------------------------------------------- the mixture


def test_density_of_any_shape():
    loc, scale, p = mixture()
    for shape in ((), (5,), (4, 2, 5)):
        z = torch.randn(*shape, 3)
        torch.testing.assert_close(p.log_prob(z), log_density(z, loc, scale), **EXACT)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3])
def test_density_in_float32_at_any_scale(scale):
    loc, scales, _ = mixture(dim=64, scale=scale)
    z = (loc + 3 * scales * torch.randn_like(loc)).float()
    p = EncodedMixture(lambda: (loc.float(), scales.float()), 64)
    found = p.log_prob(z)
    assert found.dtype == torch.float32
    expected = log_density(z.double(), loc.float().double(), scales.float().double())
    torch.testing.assert_close(found.double(), expected, atol=0.02, rtol=1e-6)


def test_it_integrates_to_one():
    _, _, p = mixture(dim=1)
    grid = torch.linspace(-12, 12, 20_001)
    total = torch.trapezoid(p.log_prob(grid[:, None]).exp(), grid)
    assert total.item() == pytest.approx(1.0, abs=1e-12)


def test_order_and_repetition_of_components_play_no_part():
    loc, scale, p = mixture()
    z, order = torch.randn(20, 3), torch.randperm(6)
    turned = EncodedMixture(lambda: (loc[order], scale[order]), 3)
    twice = EncodedMixture(lambda: (loc.repeat(2, 1), scale.repeat(2, 1)), 3)
    for other in (turned, twice):
        torch.testing.assert_close(other.log_prob(z), p.log_prob(z), **EXACT)
        torch.testing.assert_close(other.mean, p.mean, **EXACT)
        torch.testing.assert_close(other.variance, p.variance, **EXACT)


def test_moments_and_draws():
    _, _, p = mixture()
    draws = p.expand((2,)).rsample((50_000,))
    assert draws.shape == (50_000, 2, 3)
    mean, variance = p.expand((2,)).mean, p.expand((2,)).variance
    assert_mean(draws, mean, sigmas=5)
    assert_mean((draws - mean) ** 2, variance, sigmas=5)


def test_gradients_of_the_density():
    loc, scale, _ = mixture()
    z = torch.randn(5, 3, requires_grad=True)
    inputs = (z, loc.requires_grad_(), scale.requires_grad_())
    one = torch.autograd.grad(EncodedMixture(lambda: (loc, scale), 3).log_prob(z).sum(), inputs)
    other = torch.autograd.grad(log_density(z, loc, scale).sum(), inputs)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def test_encoded_once_and_only_if_asked():
    calls = []
    loc, scale, _ = mixture()

    def encode():
        calls.append(1)
        return loc, scale

    p = EncodedMixture(encode, 3)
    wide = p.expand((4, 5))
    assert not calls
    wide.log_prob(torch.randn(4, 5, 3))
    wide.expand((2, 4, 5)).rsample()
    p.log_prob(torch.randn(3))
    assert calls == [1]


# ---------------------------------------------------------------- the prior


def test_the_prior_is_the_average_of_its_modalities():
    prior = PAIR.system().model.prior
    z = torch.randn(9, 1)
    each = []
    for n, (slope, scale) in PAIR.encoders.items():
        u = prior.pseudo_inputs(n)
        each.append(log_density(z, slope * u, torch.full_like(u, scale)))
    expected = torch.stack(each).logsumexp(0) - math.log(2)
    torch.testing.assert_close(prior().log_prob(z), expected, **EXACT)
    grid = torch.linspace(-12, 12, 20_001)
    total = torch.trapezoid(prior().log_prob(grid[:, None]).exp(), grid)
    assert total.item() == pytest.approx(1.0, abs=1e-12)


def build(*kinds, num=4, rows=20):
    declared = modalities(*kinds)
    return PseudoInputPrior(declared, 2, complete(rows, *kinds), num)


@pytest.mark.parametrize("kind", KINDS)
def test_floating_point_values_are_learned_and_integers_are_not(kind):
    obs = complete(20, kind)
    prior = PseudoInputPrior(modalities(kind), 2, obs, 4)
    u = prior.pseudo_inputs(kind)
    assert u.dtype == obs[kind].dtype
    assert isinstance(u, nn.Parameter) == obs[kind].is_floating_point()
    assert "inputs." + kind + ".values" in prior.state_dict()
    assert all(any(torch.equal(row, x) for x in obs[kind]) for row in u.detach())
    prior().log_prob(torch.randn(5, 2)).sum().backward()
    if isinstance(u, nn.Parameter) and kind != "multi_label":
        assert u.grad.isfinite().all()
        assert u.grad.any()


def test_it_begins_with_rows_that_hold_the_modality():
    values = {"normal": torch.arange(30.0).reshape(10, 3), "bernoulli": torch.zeros(10, 1, 3, 3)}
    obs = Observations(values, {"normal": torch.arange(10) > 5})
    prior = PseudoInputPrior(modalities("normal", "bernoulli"), 2, obs, 4)
    rows = sorted(prior.pseudo_inputs("normal")[:, 0].tolist())
    assert rows == [18.0, 21.0, 24.0, 27.0]  # all four, each once
    with torch.no_grad():
        prior.pseudo_inputs("normal").add_(1.0)
    assert obs["normal"][9, 0] == 27.0  # the caller's own
    prior.initialise(obs[5:].only("normal", "bernoulli"))
    assert sorted(prior.pseudo_inputs("normal")[:, 0].tolist()) == rows


def test_a_copy_averages_over_as_many_training_rows_as_one_likes():
    prior = build("normal", "bernoulli")
    prior.initialise(complete(50, "normal", "bernoulli"), 30)
    z = torch.randn(7, 2)
    each = [log_density(z, *prior.encoders[n](prior.pseudo_inputs(n))) for n in prior.names]
    expected = torch.stack(each).logsumexp(0) - math.log(2)
    torch.testing.assert_close(prior().log_prob(z), expected, **EXACT)
    assert prior.num_pseudo_inputs == len(prior.pseudo_inputs("normal")) == 30


def test_rows_that_do_not_do_are_refused():
    obs = complete(5, "normal", "categorical")
    declared = modalities("normal", "categorical")
    with pytest.raises(
        ValueError, match="'normal': expected at least 6 rows that hold it whole, got 5"
    ):
        PseudoInputPrior(declared, 2, obs, 6)
    with pytest.raises(ValueError, match="hold no modality 'categorical'"):
        PseudoInputPrior(declared, 2, obs.drop("categorical"), 3)
    for number in (0, True, -2):
        with pytest.raises(
            (ValueError, TypeError), match="num_pseudo_inputs: expected an integer of at least 1"
        ):
            PseudoInputPrior(declared, 2, obs, number)
    with pytest.raises((ValueError, RuntimeError)) as caught:
        PseudoInputPrior(declared, 2, obs.replace("normal", torch.randn(5, 7)), 3)
    assert "7" in str(caught.value) or any("'normal'" in n for n in caught.value.__notes__)


def test_a_guide_of_single_experts_has_the_very_encoders():
    prior = build("normal", "bernoulli")
    declared = modalities("normal", "bernoulli")
    guide = guides.MixtureOfExperts(declared, 2, prior)
    assert guide.encoders is prior.encoders
    assert guide.prior is prior
    with pytest.raises(TypeError, match="ProductOfExperts: the prior expert must be a diagonal"):
        guides.ProductOfExperts(declared, 2, prior=prior)


def test_it_is_a_prior_for_any_guide():
    declared = modalities("normal", "bernoulli")
    model = models.SharedLatent(declared, 2, prior=build("normal", "bernoulli"))
    for objective in (IWAE(3), ELBOTerms(subset_terms(None))):
        system = System(model, guides.ProductOfExperts(declared, 2), objective)
        loss, gradients = loss_and_gradients(system, mixed("normal", "bernoulli"))
        assert loss.isfinite()
        assert gradients["model.prior.inputs.normal.values"].any()


# ---------------------------------------------------------------- what a step runs


class Counting(nn.Module):
    """An encoder that notes how many rows it was given, with batch normalisation."""

    def __init__(self, latent_dim, seen):
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(3), nn.Linear(3, 2 * latent_dim)
        self.seen = seen

    def forward(self, x):
        self.seen.append((len(x), self.norm.training))
        loc, raw = self.head(self.norm(x)).chunk(2, -1)
        return loc, raw.exp()


def counted():
    """A system of two modalities of three numbers; what each encoder was given."""
    seen = {"a": [], "b": []}
    declared = [
        modality("normal", name=n, encoder=partial(Counting, seen=calls))
        for n, calls in seen.items()
    ]
    obs = Observations({n: torch.randn(12, 3) for n in seen})
    prior = PseudoInputPrior(declared, 2, obs, 5)
    system = System(
        models.SharedLatent(declared, 2, prior=prior),
        guides.MixtureOfExperts(declared, 2, prior=prior),
        MutualSupervisionELBO(3),
    )
    for calls in seen.values():
        calls.clear()
    return system, obs, seen


def test_an_encoder_runs_once_on_data_and_once_on_pseudo_inputs():
    system, obs, seen = counted()
    system(obs)
    assert seen == {"a": [(12, True)], "b": [(12, True)]}  # complete rows need none
    for calls in seen.values():
        calls.clear()
    system(Observations(obs.values, {"a": torch.arange(12) < 8}))
    assert seen == {"a": [(8, True), (5, False)], "b": [(12, True), (5, False)]}


def test_pseudo_inputs_are_no_data_to_batch_normalisation():
    system, obs, _ = counted()
    part = obs.only("a")
    alone = guides.MixtureOfExperts(system.modalities, 2)
    alone.encoders.load_state_dict(system.guide.encoders.state_dict())
    system(part)
    alone(part)
    for n in ("a", "b"):
        one, other = system.guide.encoders[n].norm, alone.encoders[n].norm
        assert torch.equal(one.running_mean, other.running_mean)
        assert torch.equal(one.running_var, other.running_var)
    assert system.guide.encoders["a"].norm.running_mean.any()


@pytest.mark.parametrize("lead", [(), (3,), (3, 2, 1)], ids=str)
@pytest.mark.parametrize("several", [False, True], ids=["one", "mixture"])
def test_a_reference_in_some_rows_is_that_of_all_rows_there(lead, several):
    """Strata of 2 beside 4 rows, whose values may broadcast over them."""
    parts = [mixture(seed=seed)[-1] for seed in range(2)]
    weight = torch.tensor([0.25, 0.75]).log()
    shared = RandomMixture(parts, weight) if several else parts[0]
    rows = torch.tensor([[True, False, True, True], [False, True, True, True]])
    first = dist.Normal(torch.randn(2, 4, 3), 1.0).to_event(1)
    value = torch.randn(*lead, *((4,) if lead[-1:] == (1,) else (2, 4)), 3)
    found = RowwiseReference(rows, first, shared).log_prob(value)
    expected = torch.where(rows, first.log_prob(value), shared.log_prob(value))
    torch.testing.assert_close(found, expected)
