"""The samplers behind the likelihoods: where draws come from, and their densities."""

import math

import pytest
import torch
from linear_gaussian import LinearGaussian
from torch import nn

from ppl_mm import guides
from ppl_mm.likelihood.importance import from_guide, from_mixture, from_prior, shared_by


def parts():
    toy = LinearGaussian({"a": 3, "b": 4}, spread=1.3)
    return toy.model(), guides.ProductOfExperts(toy.modalities, 2), toy.mixed()


def test_draws_of_the_guide_have_its_density():
    model, guide, obs = parts()
    draws = from_guide(model, guide, obs.given("a"), 6)
    z = draws.latents["z"]
    assert z.shape == (6, 1, len(obs), 2)
    expected = guide.posterior(obs.given("a")).log_prob(z.squeeze(1))
    torch.testing.assert_close(draws.log_q, expected)
    assert torch.equal(draws.log_pi, torch.zeros(1, len(obs)))


def test_draws_of_the_prior_have_the_models_density():
    model, guide, obs = parts()
    draws = from_prior(model, guide, obs, 6)
    expected = model.prior().log_prob(draws.latents["z"].squeeze(1))
    torch.testing.assert_close(draws.log_q, expected)


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize(("asked", "each"), [(1, 1), (6, 3), (7, 4)])
def test_defensive_draws_come_from_both_halves_with_the_density_of_the_mixture(asked, each, share):
    model, guide, obs = parts()
    draws = from_mixture(share)(model, guide, obs, asked)
    z = draws.latents["z"]
    assert z.shape == (2 * each, 1, len(obs), 2)
    own, prior = (q.log_prob(z.squeeze(1)) for q in (guide.posterior(obs), model.prior()))
    expected = torch.logaddexp(own + math.log(1 - share), prior + math.log(share))
    torch.testing.assert_close(draws.log_q, expected)
    pi = torch.tensor([1 - share, share])[:, None].expand(2, len(obs))
    torch.testing.assert_close(draws.log_pi.exp(), pi)


def test_each_half_of_the_defensive_draws_is_its_own_component():
    model, guide, obs = parts()
    complete = obs[[0]]
    z = from_mixture(0.1)(model, guide, complete, 4000).latents["z"].reshape(2, 2000, 2)
    q = guide.posterior(complete)
    for half, mean, deviation in ((0, q.mean[0], q.stddev[0]), (1, torch.zeros(2), torch.ones(2))):
        error = deviation / math.sqrt(2000)
        assert ((z[half].mean(0) - mean).abs() < 4 * error).all()


def test_no_weight_exceeds_the_likelihood_over_the_priors_share():
    model, guide, obs = parts()
    draws = from_mixture(0.1)(model, guide, obs, 2000)
    log_prior = model.prior().log_prob(draws.latents["z"].squeeze(1))
    assert (log_prior - draws.log_q).max() <= math.log(10) + 1e-12


def test_shared_draws_are_the_same_for_every_row():
    model, guide, obs = parts()
    draws = shared_by(from_prior(model, guide, obs[0], 5), 4)
    z = draws.latents["z"]
    assert z.shape == (5, 1, 4, 2)
    assert (z == z[:, :, :1]).all()
    assert (draws.log_q.shape, draws.log_pi.shape) == ((5, 4), (1, 4))


def test_defensive_draws_need_a_guide_with_a_posterior():
    model, _, obs = parts()
    with pytest.raises(ValueError, match=r"needs a guide with a method posterior\(obs\)"):
        from_mixture(0.1)(model, nn.Identity(), obs, 5)
