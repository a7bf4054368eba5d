"""Random and stratified mixtures, and priors with a fixed or a learned scale, by hand."""

import math

import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import Laplace, Normal, kl_divergence

from ppl_mm.distributions import DiagonalPrior, LearnedScale, RandomMixture, StratifiedMixture, kl
from ppl_mm.distributions.prior import as_prior

ROUNDING = {"atol": 1e-12, "rtol": 1e-12}
FAMILIES = {"normal": dist.Normal, "laplace": dist.Laplace}
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def component(*shape, family=dist.Normal):
    return family(torch.randn(*shape), torch.randn(*shape).exp()).to_event(1)


def weights(*shape):
    return torch.randn(*shape).log_softmax(0)


# ---------------------------------------------------------------- random mixtures


def density(components, log_weight, value):
    """sum_c pi_c q_c(z), by a loop; log_weight (C, B), value (..., B, Z)."""
    total = torch.zeros(value.shape[:-1])
    for c, q in enumerate(components):
        total = total + log_weight[c].exp() * q.log_prob(value).exp()
    return total


@every_family
@pytest.mark.parametrize("lead", [(), (3,), (5,), (5, 3)])
def test_the_density_of_a_random_mixture_for_any_leading_dims(family, lead):
    # Three components and three draws: weights must not be taken along the draws.
    components, log_weight = [component(4, 2, family=family) for _ in range(3)], weights(3, 4)
    mixture = RandomMixture(components, log_weight)
    value = torch.randn(*lead, 4, 2)
    expected = density(components, log_weight, value)
    torch.testing.assert_close(mixture.log_prob(value).exp(), expected, **ROUNDING)
    wide = mixture.expand((*lead, 4))
    assert wide.batch_shape == (*lead, 4)
    torch.testing.assert_close(wide.log_prob(value).exp(), expected, **ROUNDING)


def test_draws_of_a_random_mixture_take_components_by_their_weights():
    far = [dist.Normal(torch.full((2, 1), 10.0 * c), 0.1).to_event(1) for c in range(3)]
    log_weight = torch.tensor([[0.2, 0.0], [0.5, 0.3], [0.3, 0.7]]).log()
    draws = RandomMixture(far, log_weight).rsample((20_000,))
    assert draws.shape == (20_000, 2, 1)
    which = (draws.squeeze(-1) / 10).round().long()
    for c in range(3):
        share, p = (which == c).double().mean(0), log_weight[c].exp()
        assert ((share - p).abs() <= 4 * (p * (1 - p) / 20_000).sqrt()).all()


def test_rows_take_their_components_independently():
    far = [dist.Normal(torch.full((2, 1), 10.0 * c), 0.1).to_event(1) for c in range(2)]
    draws = RandomMixture(far, torch.full((2, 2), 0.5).log()).rsample((20_000,)).squeeze(-1) > 5
    both = draws.all(1).double().mean()
    assert abs(both - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 20_000)


def test_moments_of_a_random_mixture():
    a, b = component(4, 2), component(4, 2, family=dist.Laplace)
    log_weight = weights(2, 4)
    mixture = RandomMixture([a, b], log_weight)
    p = log_weight.exp()[..., None]
    mean = p[0] * a.mean + p[1] * b.mean
    second = p[0] * (a.variance + a.mean**2) + p[1] * (b.variance + b.mean**2)
    torch.testing.assert_close(mixture.mean, mean, **ROUNDING)
    torch.testing.assert_close(mixture.variance, second - mean**2, **ROUNDING)
    torch.testing.assert_close(mixture.stddev, (second - mean**2).sqrt(), **ROUNDING)


def test_random_draws_are_reparameterised():
    # d/dm E[z^2] = 2 pi_c m_c for each component's location.
    loc = torch.tensor([[1.0], [-2.0]], requires_grad=True)
    parts = [dist.Normal(loc[c].expand(20_000, 1), 0.5).to_event(1) for c in range(2)]
    mixture = RandomMixture(parts, torch.tensor([0.3, 0.7]).log()[:, None].expand(2, 20_000))
    (mixture.rsample() ** 2).mean().backward()
    expected = torch.tensor([2 * 0.3 * 1.0, 2 * 0.7 * -2.0])
    # Var[2 z 1{c}] < 4 E[z^2] = 13
    assert ((loc.grad[:, 0] - expected).abs() < 4 * math.sqrt(13 / 20_000)).all()


def test_a_component_without_probability_is_never_drawn_and_leaves_finite_gradients():
    loc = torch.zeros(2, 3, 1, requires_grad=True)
    parts = [dist.Normal(loc[0], 1.0).to_event(1), dist.Normal(loc[1] + 100, 1.0).to_event(1)]
    mixture = RandomMixture(parts, torch.tensor([[0.0], [-torch.inf]]).expand(2, 3))
    draws = mixture.rsample((500,))
    assert draws.max() < 50
    mixture.log_prob(draws).sum().backward()
    assert loc.grad.isfinite().all()
    assert (loc.grad[1] == 0).all()


@pytest.mark.parametrize("make", [lambda c, w: RandomMixture([c, c], w), StratifiedMixture])
def test_no_analytic_divergence_stands_for_a_mixtures(make):
    q = make(component(2, 2), weights(2, 2))
    with pytest.raises(NotImplementedError):
        kl(q, component(2))
    with pytest.raises(NotImplementedError):
        kl(component(2), q)


# ---------------------------------------------------------------- some strata


def some_strata(family=dist.Normal):
    components, log_weight = component(4, 3, 2, family=family), weights(4, 3)
    drawn = torch.tensor([[2, 0, 3], [1, 3, 0]])
    index = drawn[..., None].expand(2, 3, 2)
    base = components.base_dist
    picked = family(base.loc.gather(0, index), base.scale.gather(0, index)).to_event(1)
    return components, log_weight, drawn, StratifiedMixture(components, log_weight, drawn, picked)


@every_family
@pytest.mark.parametrize("lead", [(), (5,)])
def test_the_density_of_some_strata_is_of_all_components(family, lead):
    components, log_weight, _, mixture = some_strata(family)
    value = torch.randn(*lead, 2, 3, 2)
    expected = torch.zeros(*lead, 2, 3)
    for c in range(4):
        base = components.base_dist
        q = family(base.loc[c], base.scale[c]).to_event(1)
        expected = expected + log_weight[c].exp() * q.log_prob(value).exp()
    wide = mixture.expand((*lead, 2, 3))
    torch.testing.assert_close(wide.log_prob(value).exp(), expected, **ROUNDING)
    assert wide.log_prob_each(value).shape == (*lead, 2, 4, 3)


def test_some_strata_draw_from_the_components_they_name():
    _, _, drawn, mixture = some_strata()
    base = mixture.components.base_dist
    draws = mixture.expand((20_000, 2, 3)).rsample()
    assert draws.shape == (20_000, 2, 3, 2)
    for s in range(2):
        for b in range(3):
            c = drawn[s, b]
            error = base.scale[c, b] / math.sqrt(20_000)
            off = (draws[:, s, b].mean(0) - base.loc[c, b]).abs()
            assert (off < 4 * error).all()


def test_which_component_is_a_stratums_own():
    _, _, drawn, mixture = some_strata()
    own = mixture.own
    assert own.shape == (2, 4, 3)
    assert torch.equal(own.long().argmax(1), drawn)
    assert (own.sum(1) == 1).all()
    whole = StratifiedMixture(component(4, 3, 2), weights(4, 3)).own
    assert torch.equal(whole.squeeze(-1), torch.eye(4, dtype=torch.bool))
    assert torch.equal(mixture.expand((7, 2, 3)).own, own)


# ---------------------------------------------------------------- priors


@pytest.mark.parametrize("scale_map", ["softmax", "softplus", "exp"])
@every_family
def test_learned_scales_start_at_one_and_follow_their_map(scale_map, family):
    prior = LearnedScale(4, family.__name__.lower(), scale_map)
    torch.testing.assert_close(prior.scale, torch.ones(4), **ROUNDING)
    raw = torch.tensor([0.5, -1.0, 2.0, 0.0])
    with torch.no_grad():
        prior.raw.copy_(raw)
    expected = {
        "softmax": raw.exp() / raw.exp().sum() * 4,
        "softplus": (1 + raw.exp()).log(),
        "exp": raw.exp(),
    }[scale_map]
    torch.testing.assert_close(prior.scale, expected, **ROUNDING)
    assert isinstance(prior().base_dist, family)
    torch.testing.assert_close(prior().base_dist.scale, expected, **ROUNDING)
    assert (prior().base_dist.loc == 0).all()
    assert [n for n, _ in prior.named_parameters()] == ["raw"]


def test_softmax_scales_sum_to_the_latent_size():
    prior = LearnedScale(7, "laplace")
    nn.init.normal_(prior.raw, std=3.0)
    assert prior.scale.sum().item() == pytest.approx(7.0)
    assert prior.scale.std() > 0.5


def test_default_maps_and_the_releases_initial_scale():
    assert LearnedScale(2, "laplace").scale_map == "softmax"
    assert LearnedScale(2, "normal").scale_map == "softplus"
    prior = LearnedScale(2, initial_scale=math.log(2))
    torch.testing.assert_close(prior.raw.detach(), torch.zeros(2), **ROUNDING)
    torch.testing.assert_close(prior.scale, torch.full((2,), 0.693147180559945), **ROUNDING)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "cauchy"}, "family: expected 'normal' or 'laplace', got 'cauchy'"),
        ({"scale_map": "relu"}, "scale_map: expected 'softmax', 'softplus', 'exp' or None"),
        ({"scale_map": "softmax", "initial_scale": 2.0}, "1 under softmax, got 2.0"),
        ({"scale_map": "softplus", "initial_scale": -1.0}, "initial_scale: .*above 0"),
        ({"scale_map": "exp", "initial_scale": 0.0}, "initial_scale: .*above 0"),
    ],
)
def test_wrong_learned_scales_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        LearnedScale(3, **options)


def test_the_divergence_of_a_laplace_from_the_standard_one():
    mu, b = torch.randn(50), torch.randn(50).exp()
    expected = -b.log() + mu.abs() + b * (-mu.abs() / b).exp() - 1
    found = kl_divergence(Laplace(mu, b), Laplace(0.0, 1.0))
    torch.testing.assert_close(found, expected, **ROUNDING)
    both = kl(dist.Laplace(mu[None], b[None]).to_event(1), as_prior("laplace", 50)())
    torch.testing.assert_close(both, expected.sum()[None], **ROUNDING)


def test_what_becomes_a_prior():
    for given, family in ((None, "normal"), ("normal", "normal"), ("laplace", "laplace")):
        prior = as_prior(given, 3)
        assert prior.family == family
        assert prior().event_shape == (3,)
        assert prior.loc.tolist() == [0.0] * 3
        assert prior.scale.tolist() == [1.0] * 3
    fixed = [
        (Normal(1.0, 2.0), "normal"),
        (dist.Laplace(torch.ones(3), 2.0).to_event(1), "laplace"),
        (dist.Normal(torch.ones(3), torch.full((3,), 2.0)), "normal"),
    ]
    for given, family in fixed:
        prior = as_prior(given, 3)
        assert (prior.family, prior.loc.tolist()) == (family, [1.0] * 3)
        assert prior.scale.tolist() == [2.0] * 3
        assert not list(prior.parameters())
    module = LearnedScale(3)
    assert as_prior(module, 3) is module


@pytest.mark.parametrize("given", [dist.StudentT(3.0, 0.0, 1.0), 3.0, ("normal",)])
def test_what_is_no_prior_is_an_error(given):
    with pytest.raises(TypeError, match="expected None, 'normal', 'laplace'"):
        as_prior(given, 3)


def test_wrong_sizes_and_names_are_errors():
    with pytest.raises(ValueError, match=r"expected shape \(3,\)"):
        as_prior(dist.Normal(torch.zeros(2), 1.0), 3)
    with pytest.raises(ValueError, match="family: expected 'normal' or 'laplace'"):
        as_prior("cauchy", 3)
    with pytest.raises(ValueError, match="scale > 0"):
        DiagonalPrior(torch.zeros(2), torch.tensor([1.0, 0.0]))
