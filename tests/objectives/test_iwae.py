"""ELBO <= IWAE_K <= log p(x), with equality for the exact posterior."""

import itertools
import math

import pyro
import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian

from ppl_mm import guides
from ppl_mm.objectives import IWAE, ELBOTerms, Term, iwae_bound, log_weights, trace_pair


@pytest.mark.parametrize("num_particles", [1, 2, 7])
@pytest.mark.parametrize("rank", [None, 1])
def test_exact_posterior_gives_log_evidence(num_particles, rank):
    toy = LinearGaussian(rank=rank)
    obs = toy.mixed()
    found = IWAE(num_particles=num_particles).bound(toy.model(), toy.exact_guide(), obs)
    torch.testing.assert_close(found, toy.log_p(obs, NAMES), atol=1e-10, rtol=0)


def test_one_particle_is_the_elbo_at_the_same_draw():
    toy = LinearGaussian(spread=1.3)
    obs, model = toy.mixed(), toy.model()
    guide = guides.ProductOfExperts(toy.modalities, 2)
    torch.manual_seed(4)
    found = IWAE(num_particles=1).bound(model, guide, obs)
    torch.manual_seed(4)
    _, q = trace_pair(model, guide, obs)
    z = q.nodes["z"]["value"]
    expected = model.prior().log_prob(z) - guide.posterior(obs).log_prob(z)
    for name, decoder in model.decoders.items():
        normal = torch.distributions.Normal(decoder(z), toy.noise[name])
        log_prob = normal.log_prob(obs[name]).sum(-1)
        expected = expected + torch.where(obs.present[name], log_prob, 0.0)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_bound_lies_between_elbo_and_evidence_and_grows_with_particles():
    # The weights of a posterior that is too wide are bounded. The differences are over the same
    # rows, repeated 500 times, and judged by their own standard error.
    toy = LinearGaussian({"a": 3, "b": 4}, spread=1.5)
    rows = toy.mixed()[[0, 1, 2]]
    obs = rows[torch.arange(3).repeat(500)]
    model, guide = toy.model(), guides.ProductOfExperts(toy.modalities, 2, prior_expert=False)
    exact = toy.log_p(rows, "ab").repeat(500)
    elbo = ELBOTerms([Term(("a", "b"), ("a", "b"))]).bound(model, guide, obs)
    bounds = [IWAE(num_particles=k).bound(model, guide, obs) for k in (1, 3, 10, 60)]

    def above(x, y):
        """How many standard errors x lies above y, each pattern's rows."""
        difference = (x - y).detach().reshape(500, 3)
        return difference.mean(0) / (difference.std(0) / math.sqrt(500))

    assert (above(bounds[0], elbo).abs() < 4).all()
    for lower, upper in itertools.pairwise(bounds):
        assert (above(upper, lower) > 0).all()
    assert (above(bounds[-1], exact) < 4).all()
    assert (above(exact, bounds[0]) > 4).all()


def test_average_weight_is_the_evidence():
    toy = LinearGaussian({"a": 3, "b": 4}, spread=1.5)
    obs, k = toy.mixed(), 4000
    guide = guides.ProductOfExperts(toy.modalities, 2, prior_expert=False)
    log_w = log_weights(toy.model(), guide, obs, num_particles=k)
    ratio = (log_w - toy.log_p(obs, "ab")).exp()
    assert ratio.shape == (k, len(obs))
    error = ratio.std(0) / math.sqrt(k)
    assert ((ratio.mean(0) - 1).abs() <= 4 * error + 1e-10).all()


def test_bound_of_equal_and_unequal_weights():
    assert iwae_bound(torch.full((9, 2), -3.0)).tolist() == pytest.approx([-3.0, -3.0])
    weights = torch.tensor([[1.0], [2.0], [6.0]])
    assert iwae_bound(weights.log()).exp().item() == pytest.approx(3.0)
    assert iwae_bound(torch.tensor([[-1e4], [-1e4]])).item() == pytest.approx(-1e4)


def test_rows_without_data_are_exactly_zero():
    toy = LinearGaussian()
    obs = toy.sample(3).without(*NAMES)
    guide = guides.ProductOfExperts(toy.modalities, 2)
    assert (IWAE(num_particles=5).bound(toy.model(), guide, obs) == 0).all()


def test_guide_with_a_site_that_the_model_lacks_is_an_error():
    toy = LinearGaussian()

    class Wrong(torch.nn.Module):
        def forward(self, obs):
            with obs.plates():
                pyro.sample("y", toy.model().prior())

    with pytest.raises(ValueError, match="draws site 'y', which the model lacks"):
        IWAE(num_particles=2).bound(toy.model(), Wrong(), toy.sample(2))
