"""The guide of u and private latents: who encodes what, and where the priors stand in."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian_private import PrivateLinearGaussian

from ppl_mm import guides
from ppl_mm.distributions import LearnedScale
from ppl_mm.objectives.weights import guide_trace, particles

SHARED = {
    "experts": guides.MixtureOfExperts,
    "products": guides.MixtureOfProducts,
    "product": guides.ProductOfExperts,
}
every_shared = pytest.mark.parametrize("shared", SHARED.values(), ids=SHARED)


def build(shared=guides.MixtureOfExperts, **options):
    toy = PrivateLinearGaussian()
    guide = guides.SharedPrivate(shared(toy.modalities, 2), toy.private_dim, **options)
    return toy, guide, toy.mixed()


@every_shared
def test_sites_and_shapes_under_particles_and_strata(shared):
    toy, guide, obs = build(shared)
    strata = guide.strata(obs)
    size = len(guide.family) or 1
    with particles(5):
        trace = guide_trace(guide, strata)
    assert list(trace.stochastic_nodes) == ["u", "w_a", "w_b", "w_c"]
    assert trace.nodes["u"]["value"].shape == (5, size, 8, 2)
    for name, dim in toy.private_dim.items():
        assert trace.nodes[f"w_{name}"]["value"].shape == (5, size, 8, dim)
    assert (strata is obs) == (not guide.family)


@every_shared
def test_the_posterior_of_u_is_the_shared_guides(shared):
    _, guide, obs = build(shared)
    value = torch.randn(8, 2)
    one, other = guide.posterior(obs), guide.shared.posterior(obs)
    assert torch.equal(one.log_prob(value), other.log_prob(value))


@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_private_posteriors_are_the_encoders_where_evidence_is_scored_and_the_prior_elsewhere(
    family,
):
    toy, guide, obs = build(private_prior=family)
    half = torch.arange(8) % 2 == 0
    for some in (obs, obs.given("a", "c"), obs.scoring("a", "b"), obs.without("a")):
        for name in toy.sizes:
            rows = some.evidence[name] & some.scored[name]
            q = guide.private_posterior(name, some).base_dist
            assert type(q).__name__ == family.capitalize()
            loc, scale = guide.private_encoders[name](obs[name])
            torch.testing.assert_close(q.loc[rows], loc[rows])
            torch.testing.assert_close(q.scale[rows], scale[rows])
            assert (q.loc[~rows] == 0).all()
            assert (q.scale[~rows] == 1).all()
    assert half.any()


def test_private_posteriors_under_strata_are_of_the_rows_that_a_stratum_scores():
    _, guide, obs = build()
    strata = guide.strata(obs)
    q = guide.private_posterior("b", strata).base_dist
    assert q.loc.shape == (3, 8, 2)
    rows = strata.evidence["b"] & strata.scored["b"]
    loc, _ = guide.private_encoders["b"](obs["b"])
    torch.testing.assert_close(q.loc, torch.where(rows[..., None], loc, 0.0))


def test_a_modality_that_the_data_lack_has_its_private_prior():
    _, guide, obs = build()
    q = guide.private_posterior("b", guide.strata(obs.drop("b")))
    assert q.batch_shape == (3, 8)
    assert (q.base_dist.scale == 1).all()


def test_private_and_shared_encoders_run_once_each():
    _, guide, obs = build()
    calls = []
    for kind in ("private_encoders", "shared.guide.encoders"):
        for name, encoder in guide.get_submodule(kind).items():
            encoder.register_forward_hook(lambda *_, k=kind, n=name: calls.append((k, n)))
    guide(guide.strata(obs))
    assert len(calls) == len(set(calls)) == 6


@pytest.mark.parametrize("scale_map", ["softmax", "softplus", "exp"])
def test_auxiliary_priors_start_as_the_private_ones_and_are_learned(scale_map):
    toy, guide, _ = build(auxiliary=scale_map)
    assert sorted(guide.auxiliary_priors) == sorted(toy.sizes)
    for name, dim in toy.private_dim.items():
        prior = guide.auxiliary_priors[name]
        assert isinstance(prior, LearnedScale)
        assert prior.scale_map == scale_map
        torch.testing.assert_close(prior.scale, torch.ones(dim))
        assert prior.raw.requires_grad
    assert not build()[1].auxiliary_priors


def test_auxiliary_priors_start_at_another_private_priors_scale():
    prior = dist.Normal(torch.tensor(0.0), torch.tensor(0.5))
    _, guide, _ = build(private_prior=prior, auxiliary="softplus")
    for auxiliary in guide.auxiliary_priors.values():
        torch.testing.assert_close(auxiliary.scale, torch.full_like(auxiliary.scale, 0.5))


def test_auxiliary_priors_start_at_another_private_priors_location():
    prior = dist.Normal(torch.tensor(2.0), torch.tensor(0.5))
    _, guide, _ = build(private_prior=prior, auxiliary="softplus")
    for name, auxiliary in guide.auxiliary_priors.items():
        torch.testing.assert_close(auxiliary().mean, guide.private_priors[name]().mean)
        torch.testing.assert_close(auxiliary().stddev, guide.private_priors[name]().stddev)


def test_private_priors_follow_the_shared_ones_family():
    toy = PrivateLinearGaussian()
    shared = guides.MixtureOfExperts(toy.modalities, 2, prior="laplace")
    guide = guides.SharedPrivate(shared, 1)
    assert {p.family for p in guide.private_priors.values()} == {"laplace"}
    assert guide.private_dim == dict.fromkeys("abc", 1)


@pytest.mark.parametrize(
    ("private_dim", "message"),
    [
        ({"a": 1, "b": 2}, "modality 'c', got None"),
        ({"a": 1, "b": 2, "c": 0}, r"private_dim\['c'\]: .*at least 1, got 0"),
        ({"a": 1, "b": 2, "c": 1, "d": 1}, "unknown modality in private_dim 'd'"),
        (True, "got True"),
    ],
)
def test_wrong_private_sizes_are_errors(private_dim, message):
    toy = PrivateLinearGaussian()
    shared = guides.MixtureOfExperts(toy.modalities, 2)
    with pytest.raises((ValueError, TypeError), match=message):
        guides.SharedPrivate(shared, private_dim)


def test_an_encoder_of_another_private_size_is_an_error():
    toy = PrivateLinearGaussian()
    guide = guides.SharedPrivate(guides.MixtureOfExperts(toy.modalities, 2), 2)
    with pytest.raises(ValueError, match="modality 'a'"):
        guide.check(toy.sample(3))


def test_stock_pyro_runs_the_guide_without_strata():
    _, guide, obs = build()
    trace = pyro.poutine.trace(guide).get_trace(obs)
    assert trace.nodes["u"]["value"].shape == (8, 2)
    assert trace.nodes["w_b"]["value"].shape == (8, 2)
