"""The mean over rows: its interval, rows that share draws, and what the printed result says."""

import math
from dataclasses import replace

import arviz
import numpy as np
import pytest
import torch
import xarray
from likelihoods_by_hand import result
from linear_gaussian import LinearGaussian
from plain_likelihood import log_likelihood as plain_likelihood

from ppl_mm import guides, log_likelihood
from ppl_mm.likelihood.tails import weight_moments
from ppl_mm.results.arviz_data import arviz_data
from ppl_mm.results.likelihood_errors import ErrorPart, mean_interval

pytestmark = pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")


def product(spread=0.7, **options):
    toy = LinearGaussian(spread=spread, **options)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))


def test_independent_errors_add_up_in_squares_and_shared_ones_as_they_are():
    below, above = torch.tensor([3.0, 4.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 1.0, 1.0])
    own = ErrorPart(below, above, torch.arange(4))
    assert mean_interval([own]) == pytest.approx((5 / 4, 2 / 4))
    shared = ErrorPart(below, above, torch.zeros(4).long())
    assert mean_interval([shared]) == pytest.approx((7 / 4, 4 / 4))
    pairs = ErrorPart(below, above, torch.tensor([7, 2, 7, 2]))
    assert mean_interval([pairs]) == pytest.approx((5 / 4, 8**0.5 / 4))
    both = mean_interval([own, shared.turned()])
    assert both == pytest.approx(((25 / 16 + 1) ** 0.5, (4 / 16 + 49 / 16) ** 0.5))
    held = own.masked(torch.tensor([True, False, True, True]))
    assert mean_interval([held]) == pytest.approx((3 / 4, 3**0.5 / 4))


@pytest.mark.parametrize(("target", "given"), [(None, None), ("a", "b")])
def test_equal_rows_share_their_draws_and_the_mean_knows(target, given):
    """Twenty copies of a row have the error of one, in its refined estimate."""
    toy, system = product()
    obs = toy.sample(1)
    one = log_likelihood(system, obs, target, given, num_samples=100).summary()
    many = log_likelihood(system, obs[[0] * 20], target, given, num_samples=100).summary()
    for key in ("monte_carlo_error", "monte_carlo_low", "monte_carlo_high"):
        assert many[key] == pytest.approx(one[key])
    plain = plain_likelihood(system, obs[[0] * 20], target, given, num_samples=100).summary()
    alone = plain_likelihood(system, obs, target, given, num_samples=100).summary()
    assert plain["monte_carlo_error"] < 0.5 * alone["monte_carlo_error"]


def test_rows_with_one_given_share_its_error():
    """log p(a | b) = log p(a, b) - log p(b): the second is one estimate for rows of equal b."""
    toy, system = product()
    obs = toy.sample(6)
    obs = obs.replace("b", obs["b"][[0] * 6])
    found = log_likelihood(system, obs, "a", "b", num_samples=100)
    assert [len(part.draws.unique()) for part in found.parts] == [6, 1]


@pytest.mark.slow  # two hundred problems
@pytest.mark.parametrize("refine", ["auto", "none"])
def test_the_interval_of_the_mean_over_draws_holds_the_truth(refine):
    """The truth is the mean of these very rows. 200 problems: a standard error of 1.5 %."""
    hits, total = 0, 0
    for seed in range(200):
        toy, system = product(spread=1.2, seed=seed)
        obs = toy.sample(5, seed=seed)
        found = log_likelihood(system, obs, num_samples=200, refine=refine, seed=seed)
        truth = toy.log_p(obs, obs.names).mean().item()
        s = found.summary()
        hits, total = hits + (s["monte_carlo_low"] <= truth <= s["monte_carlo_high"]), total + 1
    assert hits / total >= 0.90


def test_the_interval_over_rows_and_draws_holds_both():
    toy, system = product()
    found = log_likelihood(system, toy.sample(30), num_samples=100)
    s = found.summary()
    half = 1.959964 * s["standard_error"]
    assert s["mean"] - s["low"] == pytest.approx(np.hypot(half, s["mean"] - s["monte_carlo_low"]))
    assert s["high"] - s["mean"] == pytest.approx(np.hypot(half, s["monte_carlo_high"] - s["mean"]))


def test_the_printed_result_says_what_was_refined_and_what_is_left():
    toy, system = product(spread=0.3)
    refined = str(log_likelihood(system, toy.sample(5), num_samples=100))
    assert "refined: 5 by laplace" in refined
    assert "cannot be trusted" not in refined
    plain = log_likelihood(system, toy.sample(5), num_samples=1000, refine="none")
    assert f"too narrow: {len(plain.unreliable)} rows cannot be trusted" in str(plain)
    assert "refined" not in str(plain)
    assert "mostly too low" in str(plain)
    few = log_likelihood(system, toy.sample(5), num_samples=30)
    assert "5 by the draws of the guide alone (fewer than 100 draws a row)" in str(few)
    careful = log_likelihood(system, toy.sample(5), num_samples=100, proposal="defensive")
    assert "(proposal='defensive' is taken as it is)" in str(careful)


@pytest.mark.parametrize("refine", ["auto", "none", "annealed"])
def test_log_weights_go_to_arviz(refine):
    toy, system = product(spread=0.7)
    found = log_likelihood(system, toy.sample(4), num_samples=400, refine=refine)
    weights = found.to_arviz().posterior["log_weight"]
    assert weights.dims == ("chain", "draw", "row")
    log_w = torch.from_numpy(weights.values[0])
    mean = log_w.logsumexp(0) - np.log(len(log_w))
    torch.testing.assert_close(mean, found.value, atol=1e-5, rtol=1e-5)
    if refine == "none":  # one stratum: the very weights
        k = weight_moments(log_w).pareto_k
        torch.testing.assert_close(k, found.pareto_k, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("target", "given"), [(None, None), ("a", "b")])
def test_loo_of_arviz_is_the_sum_of_log_p(target, given):
    """Against closed form within 5 standard errors, and k against that of arviz's own psis."""
    toy, system = product(spread=1.2)
    obs = toy.sample(6)
    found = log_likelihood(system, obs, target, given, num_samples=400)
    data = found.to_arviz()
    loo = arviz.loo(data, pointwise=True)
    each = loo.elpd_i if hasattr(loo, "elpd_i") else loo.loo_i  # from arviz 1 on, and before
    np.testing.assert_allclose(each.values, found.value, atol=0.02)
    truth = toy.log_p(obs, [n for n in obs.names if given is None or n in "ab"])
    truth = truth if given is None else truth - toy.log_p(obs, [given])
    error = found.standard_error.square().sum().sqrt()
    assert abs(loo.iloc[0] - truth.sum()) < 5.0 * error
    weights = data.posterior["log_weight"].stack(__sample__=("chain", "draw"))
    np.testing.assert_allclose(loo.pareto_k, arviz.psislw(weights)[1], atol=1e-6)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")
def test_loo_of_rows_with_fewer_draws_or_draws_of_no_weight_is_their_value():
    weights = torch.randn(200, 3)
    weights[50:, 1] = math.nan  # fewer draws
    weights[:120, 2] = -math.inf
    value = weights.exp().nanmean(0).log().double()
    found = replace(result(value.tolist()), log_weights=weights)
    each = found.to_arviz().log_likelihood["log_p"].values[0]
    np.testing.assert_allclose(-np.log(np.exp(-each).mean(0)), value, atol=1e-5)
    assert np.isfinite(arviz.loo(found.to_arviz())["elpd_loo"])
    assert np.isnan(found.to_arviz().posterior["log_weight"].values).sum() == 150


@pytest.mark.parametrize("version", ["0.23.4", "1.2.0"])
def test_either_generation_of_arviz_has_its_container(monkeypatch, version):
    class InferenceData:
        def add_groups(self, groups, warn_on_custom_groups):
            assert not warn_on_custom_groups
            self.__dict__.update(groups)

    monkeypatch.setattr(arviz, "__version__", version)
    monkeypatch.setitem(vars(arviz), "InferenceData", InferenceData)
    values = xarray.Dataset({"x": ("row", np.arange(3.0))})
    data = arviz_data({"log_likelihood": values, "guide": values + 1})
    assert isinstance(data, xarray.DataTree if version[0] == "1" else InferenceData)
    assert data.log_likelihood["x"].values.tolist() == [0, 1, 2]
    assert data.guide["x"].values.tolist() == [1, 2, 3]


def test_weights_of_a_conditional_average_to_it():
    toy, system = product()
    found = log_likelihood(system, toy.sample(3), "a", "b", num_samples=100)
    mean = found.log_weights.double().exp().mean(0).log()
    torch.testing.assert_close(mean, found.value, atol=1e-5, rtol=1e-5)


def test_rows_with_more_draws_have_more_weights():
    toy, system = product()
    found = log_likelihood(
        system, toy.sample(6), num_samples=100, target_standard_error=0.02, max_samples=1600
    )
    counted = (~found.log_weights.isnan()).sum(0)
    assert torch.equal(counted, found.draws)
    mean = found.log_weights.double().exp().nanmean(0).log()
    torch.testing.assert_close(mean, found.value, atol=1e-5, rtol=1e-5)
