"""From log weights to estimates, with strata and without."""

import math

import pytest
import torch

from ppl_mm.evaluation.result import summarise_weights


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
    for key in ("value", "standard_error", "ess"):
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
