"""From log weights to estimates, with strata and without."""

import math
from dataclasses import replace

import pytest
import torch
from every_system import build, modalities
from plain_likelihood import log_likelihood

from ppl_mm import Observations
from ppl_mm.evaluation import LogLikelihood, UnreliableLikelihoodWarning
from ppl_mm.likelihood.summarise import summarise_weights


def test_strata_are_averaged_with_their_probabilities():
    log_w = torch.randn(2, 50, 3)
    pi = torch.tensor([[0.9, 0.25, 0.5], [0.1, 0.75, 0.5]])
    found = summarise_weights(log_w, pi.log())
    means = log_w.exp().mean(1)
    value = (pi * means).sum(0)
    torch.testing.assert_close(found["value"], value.log())
    variance = (pi**2 * log_w.exp().var(1) / 50).sum(0)
    torch.testing.assert_close(found["standard_error"], variance.sqrt() / value)


def test_component_that_a_row_does_not_allow_has_no_part():
    log_w = torch.randn(2, 40, 1)
    log_pi = torch.tensor([[0.0], [-torch.inf]])
    found = summarise_weights(log_w, log_pi)
    alone = summarise_weights(log_w[:1], torch.zeros(1, 1))
    for key in ("value", "standard_error", "ess", "pareto_k"):
        torch.testing.assert_close(found[key], alone[key])
    junk = torch.where(torch.tensor([[[False]], [[True]]]), 1e9, log_w)
    again = summarise_weights(junk, log_pi)
    assert torch.equal(found["pareto_k"], again["pareto_k"])


def test_constant_weights_have_no_error():
    found = summarise_weights(torch.full((1, 30, 2), -700.0), torch.zeros(1, 2))
    assert found["value"].tolist() == pytest.approx([-700.0, -700.0])
    assert found["ess"].tolist() == pytest.approx([30.0, 30.0])
    assert found["standard_error"].tolist() == pytest.approx([0.0, 0.0])
    assert found["pareto_k"].tolist() == [0.0, 0.0]


def test_one_weight_that_carries_everything():
    log_w = torch.full((1, 100, 1), -1000.0)
    log_w[0, 7] = 0.0
    found = summarise_weights(log_w, torch.zeros(1, 1))
    assert found["value"].item() == pytest.approx(-math.log(100))
    assert found["ess"].item() == pytest.approx(1.0)


@pytest.mark.parametrize(("shape", "low", "high"), [(0.2, -0.2, 0.5), (1.2, 0.8, 1.8)])
def test_pareto_k_is_that_of_pareto_draws(shape, low, high):
    # (U^-k) has tail index k; the fit on 3 sqrt(4000) = 190 draws has an error of about
    # (1 + k) / sqrt(190) < 0.17: more than 3 of these to either side.
    u = torch.rand(1, 4000, 5)
    found = summarise_weights(-shape * u.log(), torch.zeros(1, 5))["pareto_k"]
    assert ((found > low) & (found < high)).all()


def test_bounded_weights_of_unequal_strata_have_no_tail():
    # Stray draws of the likely stratum have the same weights as those of the unlikely one.
    log_w = torch.full((2, 5000, 1), 2.0)
    log_w[0, 40:] = -1.0
    log_w = log_w + 0.1 * torch.rand_like(log_w)
    found = summarise_weights(log_w, torch.tensor([[0.9], [0.1]]).log())
    assert found["pareto_k"].item() < 0.7


@pytest.mark.parametrize("draws", [1, 24])
def test_few_draws_have_no_pareto_k(draws):
    found = summarise_weights(torch.randn(1, draws, 2), torch.zeros(1, 2))
    assert found["pareto_k"].isnan().all()
    assert found["value"].isfinite().all()


def test_summary_is_in_float64_whatever_the_weights():
    log_w = torch.full((1, 30, 1), -80_000.125, dtype=torch.float32)
    assert summarise_weights(log_w, torch.zeros(1, 1))["value"].item() == -80_000.125


def test_the_variance_of_log_weights_is_that_under_the_whole_proposal():
    log_w, log_pi = (
        torch.randn(3, 4000, 2),
        torch.tensor([[0.5, 1.0], [0.5, 0.0], [0.0, 0.0]]).log(),
    )
    log_w[1] = 2.0 + 3.0 * log_w[1]
    found = summarise_weights(log_w, log_pi)["log_weight_variance"]
    first, second = log_w[0, :, 0], log_w[1, :, 0]
    expected = (first.var() + second.var()) / 2 + ((first.mean() - second.mean()) / 2) ** 2
    assert found[0].item() == pytest.approx(expected.item())
    assert found[1].item() == pytest.approx(log_w[0, :, 1].var().item())


def only(number, draws, value=-3.0):
    """Log weights of so many draws, the rest of which have weight 0."""
    log_w = torch.full((draws,), -torch.inf)
    log_w[:number] = value
    return log_w


@pytest.mark.parametrize("draws", [25, 100, 1000])
@pytest.mark.parametrize("noise", [0.0, 1e-6, 0.1])
def test_an_estimate_that_rests_on_a_few_draws_is_not_believed(draws, noise):
    log_w = torch.stack([only(n, draws) for n in range(10)], -1)
    log_w = log_w + noise * torch.randn(log_w.shape)
    found = summarise_weights(log_w[None], torch.zeros(1, 10))
    assert (found["pareto_k"] == torch.inf).all()
    torch.testing.assert_close(found["ess"], torch.arange(10.0), rtol=0.2, atol=0)
    far = torch.where(log_w == -torch.inf, -1e4, log_w)[:, 1:]  # no weight at all, though finite
    assert (summarise_weights(far[None], torch.zeros(1, 9))["pareto_k"] == torch.inf).all()


@pytest.mark.parametrize(("number", "draws"), [(25, 25), (10, 25), (30, 100), (200, 1000)])
def test_many_equal_weights_are_believed_though_others_are_zero(number, draws):
    found = summarise_weights(only(number, draws)[None, :, None], torch.zeros(1, 1))
    assert found["pareto_k"].item() <= 0
    assert found["value"].item() == pytest.approx(-3.0 + math.log(number / draws))
    share = number / draws  # of draws with a weight: the error is that of a binomial share
    error = math.sqrt((1 - share) / share / (draws - 1))
    assert found["standard_error"].item() == pytest.approx(error)
    assert math.isfinite(found["low"].item())


def test_two_kinds_of_weight_have_no_tail():
    log_w = torch.where(torch.rand(1, 400, 1) < 0.3, 0.0, 0.7)
    assert summarise_weights(log_w, torch.zeros(1, 1))["pareto_k"].item() == 0.0


def test_the_strata_that_a_row_does_not_allow_are_no_draws_of_weight_zero():
    log_w = torch.full((31, 40, 2), -3.0)
    log_pi = torch.full((31, 2), -torch.inf)
    log_pi[4, 0] = 0.0  # one of 31 strata; the other row allows them all
    log_pi[:, 1] = -math.log(31)
    log_w[:, 1:, 1] = -torch.inf
    found = summarise_weights(log_w, log_pi)["pareto_k"]
    assert found[0] == 0.0
    alone = summarise_weights(log_w[:, :, 1:].reshape(1, -1, 1), torch.zeros(1, 1))
    assert found[1] == alone["pareto_k"]


@pytest.mark.parametrize("draws", [2, 30])
def test_where_no_draw_has_any_weight_nothing_is_known(draws):
    log_w = torch.full((1, draws, 2), -torch.inf)
    log_w[..., 1] = -3.0
    found = LogLikelihood.of(summarise_weights(log_w, torch.zeros(1, 2)), draws, ("x",), (), "", [])
    assert found.value[0] == found.low[0] == -math.inf
    assert found.standard_error[0] == found.high[0] == found.pareto_k[0] == math.inf
    assert found.ess[0] == 0.0
    assert draws < 25 or not any(math.isnan(x) for x in found.summary().values())
    with pytest.warns(
        UnreliableLikelihoodWarning, match=r"1 of 2 rows have the value -inf.*rows 0"
    ):
        found.warn_if_unreliable()
    assert draws < 25 or "-inf in 1 rows" in str(found)
    difference = found.minus(replace(found, target=("y",)))
    assert difference.value.tolist() == [-math.inf, 0.0]
    assert difference.standard_error.tolist() == [math.inf, 0.0]


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
def test_values_beyond_single_precision_have_no_silent_likelihood():
    torch.set_default_dtype(torch.float32)
    system = build("vae", modalities("normal"))
    x = torch.full((2, 3), 3e37)
    x[1] = 0.0
    with pytest.warns(UnreliableLikelihoodWarning, match="value -inf.*look at their values"):
        found = log_likelihood(system, Observations({"normal": x}), num_samples=30)
    assert found.value[0] == -math.inf
    assert found.standard_error[0] == math.inf
    assert found.value[1].isfinite()
    assert 0 in found.unreliable.tolist()
