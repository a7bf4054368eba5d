"""Calibration against counts by hand, and against a model whose p(y | x) is known."""

import math

import numpy as np
import pytest
import torch
from every_system import SYSTEMS, build, kinds_of, mixed, modalities
from torch import Tensor, nn
from torch.special import log_ndtr, ndtr

from ppl_mm import (
    Modality,
    Observations,
    System,
    data,
    guides,
    likelihoods,
    models,
    plotting,
    systems,
)
from ppl_mm.evaluation import calibration, calibration_of, probabilities
from ppl_mm.objectives import IWAE
from ppl_mm.programs.answerable import answerable, conditioned_on

P = torch.tensor([0.95, 0.85, 0.65, 0.70, 0.55, 1.0], dtype=torch.float64)
HIT = torch.tensor([True, True, False, True, False, True])


def two_classes(p: Tensor, hit: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (N, 2) whose larger is p, and the classes that make the hits."""
    return torch.stack([1 - p, p], 1), hit.long()


def test_bins_scores_and_errors_by_hand():
    found = calibration_of(*two_classes(P, HIT), num_bins=5)
    bins = found.reliability()
    assert bins.count.tolist() == [0, 0, 1, 2, 3]  # 1.0 is in the last bin
    torch.testing.assert_close(bins.happened[2:], torch.tensor([0, 1 / 2, 1]).double())
    torch.testing.assert_close(bins.predicted[2:], torch.tensor([0.55, 0.675, 2.8 / 3]).double())
    torch.testing.assert_close(bins.standard_error[2:], torch.tensor([0, 0.125**0.5, 0]).double())
    assert bool(bins.happened[:2].isnan().all())
    gaps = [0.55, abs(0.675 - 0.5), 1 - 2.8 / 3]
    assert found.ece().value == pytest.approx((gaps[0] + 2 * gaps[1] + 3 * gaps[2]) / 6)
    rows = np.array([0.05, 0.15, 0.65, -0.30, 0.55, 0.0])  # sign of its bin times (h - c)
    assert found.ece().standard_error == pytest.approx(rows.std(ddof=1) / math.sqrt(6))
    wrong = torch.where(HIT, 1 - P, P)
    assert found.brier().value == pytest.approx(2 * wrong.square().mean().item())
    assert found.nll().value == pytest.approx(-(1 - wrong).log().mean().item())
    expected = (1 - wrong).log().std().item() / math.sqrt(6)
    assert found.nll().standard_error == pytest.approx(expected)


def test_yes_or_no_labels_are_judged_by_the_probability_of_a_yes():
    p = torch.tensor([[0.1, 0.9], [0.3, 0.6]], dtype=torch.float64)
    truth = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    found = calibration_of(p, truth, num_bins=2)
    assert found.reliability().count.tolist() == [2, 2]
    assert found.ece().value == pytest.approx((abs(0.2 - 0.5) + abs(0.75 - 1)) / 2)
    assert found.brier().value == pytest.approx((0.01 + 0.01 + 0.49 + 0.16) / 4)
    nats = [-math.log(0.9) - math.log(0.9), -math.log(0.3) - math.log(0.6)]
    assert found.nats.tolist() == pytest.approx(nats)
    flat = calibration_of(p[:, 0], truth[:, 0], num_bins=2)
    assert flat.predicted.shape == (2, 1)
    assert flat.ece().value == pytest.approx(abs(0.2 - 0.5))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"got \(6, 2\) and torch.int64 of shape \(5,\)"):
        calibration_of(*two_classes(P, HIT[:5])[:1], HIT[:5].long())
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration_of(2 * torch.rand(4, 3) + 1, torch.zeros(4).long())
    with pytest.raises(ValueError, match="num_bins"):
        calibration_of(*two_classes(P, HIT), num_bins=0)


# ---------------------------------------------------- a model whose p(y | x) is known


class Probit(nn.Module):
    """From z (..., 1) to the logits of p(y_l = 1 | z) = Phi(a_l z)."""

    def __init__(self, slopes: Tensor) -> None:
        super().__init__()
        self.slopes = nn.Parameter(slopes)

    def forward(self, z):
        return log_ndtr(self.slopes * z) - log_ndtr(-self.slopes * z)


class Posterior(nn.Module):
    """The expert of x in q(z | x) = N(x / 2, 1 / 2), which the prior expert completes."""

    def forward(self, x):
        return x, torch.ones_like(x)


class Unused(nn.Module):
    def forward(self, y):
        return torch.zeros(len(y), 1), torch.ones(len(y), 1)


def probit(slopes: Tensor, num_rows: int) -> tuple[System, Observations]:
    """z ~ N(0, 1), x ~ N(z, 1), y_l ~ Bernoulli(Phi(a_l z)): the exact guide, and rows of it."""
    declared = [
        Modality("x", likelihoods.Normal(1.0), lambda _: Posterior(), lambda _: nn.Identity()),
        Modality("y", likelihoods.MultiLabel(), lambda _: Unused(), lambda _: Probit(slopes)),
    ]
    system = System(models.SharedLatent(declared, 1), guides.ProductOfExperts(declared, 1), IWAE(1))
    z = torch.randn(num_rows, 1)
    x = z + torch.randn(num_rows, 1)
    y = (torch.rand(num_rows, len(slopes)) < ndtr(slopes * z)) * 1.0
    return system, Observations({"x": x, "y": y})


def exact(slopes: Tensor, x: Tensor) -> Tensor:
    """p(y_l = 1 | x) = Phi( a m / sqrt(1 + a^2 v) ),  z | x ~ N(m, v) = N(x / 2, 1 / 2)."""
    return ndtr(slopes * x / 2 / (1 + slopes**2 / 2).sqrt())


def test_the_exact_posterior_is_calibrated_and_its_mean_is_not():
    slopes = torch.tensor([3.0])
    system, obs = probit(slopes, 4000)
    found = calibration(system, obs, "y", "x", num_samples=200, num_bins=10)
    p = exact(slopes, obs["x"])
    # A draw's probability varies by at most 1/2: 5 standard errors of 200 draws, at most.
    assert (found.predicted - p).abs().max() < 5 * 0.5 / math.sqrt(200)
    bins = found.reliability()
    # Within bins p varies too, and draws add noise: the share is that of p to 4 of its errors.
    spread = (bins.happened - bins.predicted).abs() / bins.standard_error
    assert spread.max() < 4
    assert found.ece().value < 2 * 0.4 * math.sqrt(10 / len(obs))
    at_mean = calibration(system, obs, "y", "x", num_samples=None, num_bins=10)
    assert at_mean.ece().value > 10 * at_mean.ece().standard_error
    assert at_mean.nll().value > found.nll().value
    nats = -torch.where(obs["y"] > 0.5, p, 1 - p).log().mean().item()
    assert found.nll().value == pytest.approx(nats, abs=0.02)  # the bias is O(1 / 200)
    nothing = calibration(system, obs, "y", (), num_samples=200)
    assert nothing.brier().value == pytest.approx(0.25, abs=0.01)  # p(y) = 1/2, whatever x


def test_nats_are_of_all_labels_together():
    slopes = torch.tensor([3.0, -2.0])
    system, obs = probit(slopes, 20)
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    z = obs["x"] / 2 + torch.tensor(points) / math.sqrt(2)  # (N, 60)
    sign = 2 * obs["y"] - 1
    each = ndtr(sign[:, None] * slopes * z[..., None]).prod(-1)
    joint = each @ torch.tensor(weights / weights.sum())
    found = calibration(system, obs, "y", "x", num_samples=20_000)
    error = (joint.reciprocal() - 1).sqrt() / math.sqrt(20_000)  # each is in [0, 1]
    assert ((found.nats + joint.log()).abs() < 5 * error).all()
    alone = -torch.where(obs["y"] > 0.5, found.predicted, 1 - found.predicted).log().sum(1)
    assert (found.nats - alone).abs().max() > 0.1  # z ties them together


# ---------------------------------------------------- any system, any observed subset


@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - {"vae"}))
def test_every_system_from_every_subset_with_missing_modalities(name):
    system, obs = build(name), mixed(*kinds_of(name), rows_per_pattern=2)
    fixed = conditioned_on(system.model)
    label, others = "categorical", [n for n in obs.names if n != "categorical"]
    if label in fixed:
        with pytest.raises(ValueError, match="'categorical': the model conditions on it"):
            calibration(system, obs, label)
        return
    obs = answerable(system.model, obs)
    for given in ((), *((n,) for n in others), None):
        asked = None if given is None else {*given, *fixed}
        asked = None if asked is None else tuple(sorted(asked))
        found = calibration(system, obs, label, asked, num_samples=3)
        assert len(found.nats) == int(obs.present[label].sum())
        p = probabilities(system, obs[obs.present[label]], label, asked, num_samples=3)
        torch.testing.assert_close(found.predicted[:, 0], p.amax(-1).double(), rtol=1e-6, atol=0)
        expected = -p.double().gather(-1, obs[label][obs.present[label]][:, None]).log()[:, 0]
        torch.testing.assert_close(found.nats, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["one_hot", "multi_label", "bernoulli"])
def test_labels_of_every_form(kind):
    obs = mixed(kind, "normal", rows_per_pattern=3)
    system = build("mvae", modalities(kind, "normal"))
    found = calibration(system, obs, kind, "normal", num_samples=4, batch_size=2)
    known = obs.present[kind]
    assert found.nats.shape == (int(known.sum()),)
    whole = calibration(system, obs, kind, "normal", num_samples=None)
    p = probabilities(system, obs[known], kind, "normal").double()
    truth = obs[kind][known].double()
    each = p.log() * truth if kind == "one_hot" else -nn.BCELoss(reduction="none")(p, truth)
    torch.testing.assert_close(whole.nats, -each.flatten(1).sum(1), rtol=1e-5, atol=1e-6)


def test_it_reads_as_a_table_a_frame_and_a_diagram(tmp_path):
    system, obs = probit(torch.tensor([3.0]), 200)
    found = calibration(system, obs, "y", "x", num_samples=20, num_bins=4)
    frame = found.to_pandas().set_index("measure")
    assert frame.loc["ECE", "value"] == found.ece().value
    assert frame.loc["NLL", "standard_error"] == found.nll().standard_error
    assert frame.loc["came true", "count"].sum() == 200
    assert set(frame["observed"]) == {"x"}
    assert "Brier" in str(found)
    assert "count" in str(found)
    assert found.to_dict()["ece"] == found.ece().to_list()
    found.plot(tmp_path / "diagram.png")
    assert (tmp_path / "diagram.png").stat().st_size > 0
    above, _ = plotting.reliability_diagram(found).axes
    assert above.get_title().startswith("y given x")
    drawn = above.containers[0].lines[0]
    filled = found.reliability().count > 0
    assert np.array_equal(drawn.get_ydata(), found.reliability().happened[filled].numpy())


def test_rows_at_a_time_are_checked():
    digits = data.load("digits")
    system = systems.mvae(digits.modalities, 2)
    with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1"):
        calibration(system, digits.test, "label", batch_size=0)
