"""Gaussian processes on features: sure near what they saw, as wide as the prior far from it."""

import math

import numpy as np
import pyro
import pytest
import torch
from torch import nn

from ppl_mm import Observations, data
from ppl_mm.evaluation import (
    classifier_accuracy,
    train_gaussian_process,
    train_gaussian_processes,
)

CENTRES = torch.tensor([[0.0, 3.0], [3.0, -2.0], [-3.0, -2.0]])
FAR = torch.tensor([[300.0, 300.0]])


class Scaled(nn.Module):
    """Features are twice the values; in training mode they are noise."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def features(self, images):
        return torch.randn_like(images) if self.training else self.factor * images


def clusters(num_rows=300, seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_rows) % 3
    return CENTRES[labels] + torch.randn(num_rows, 2, generator=g), labels


def fit(seed=0, num_steps=150, num_classes=3, **options):
    options = {"num_inducing": 15, "batch_size": 100, "lr": 0.05, **options}
    images, labels = clusters()
    return train_gaussian_process(
        Scaled(), images, labels, num_classes, seed=seed, num_steps=num_steps, **options
    )


def store():
    return {name: value.detach().clone() for name, value in pyro.get_param_store().items()}


@pytest.fixture(scope="module")
def trained():
    torch.set_default_dtype(torch.float64)
    return fit()


def test_it_learns_and_is_sure_of_what_it_saw_only(trained):
    images, labels = clusters(60, seed=1)
    accuracy = classifier_accuracy({"x": trained}, Observations({"x": images}), labels)["x"]
    assert accuracy.value > 0.95
    assert not any(m.training for m in trained.modules())
    prior = trained.process.kernel.variance.item()
    _, near = trained.latent(CENTRES)
    loc, far = trained.latent(FAR)
    assert (near < 0.5 * prior).all()  # the ELBO counts all data, not a batch's worth
    torch.testing.assert_close(far, torch.full((1, 3), prior))
    torch.testing.assert_close(loc, torch.zeros(1, 3))


def test_draws_have_the_moments_of_the_posterior(trained):
    images = torch.cat([CENTRES, FAR])
    loc, variance = (x.detach() for x in trained.latent(images))
    draws = trained.probabilities(images, 20_000).detach()
    assert draws.shape == (20_000, 4, 3)
    torch.testing.assert_close(draws.sum(-1), torch.ones(20_000, 4))
    log_ratio = draws[..., 0].log() - draws[..., 1].log()  # Normal, a difference of two
    mean, spread = loc[:, 0] - loc[:, 1], (variance[:, 0] + variance[:, 1]).sqrt()
    assert ((log_ratio.mean(0) - mean).abs() < 4 * spread / math.sqrt(20_000)).all()
    assert ((log_ratio.std(0) / spread - 1).abs() < 4 / math.sqrt(40_000)).all()
    g = torch.Generator()
    one, same, other = (trained.probabilities(images, 3, g.manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_mean_probability_of_two_classes_by_quadrature():
    images, labels = clusters()
    found = train_gaussian_process(
        Scaled(), images, labels.clamp(max=1), 2, num_inducing=10, num_steps=60, lr=0.05
    )
    at = torch.tensor([[1.5, 0.5]])
    loc, variance = (x[0].detach().numpy() for x in found.latent(at))
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    f = loc[0] - loc[1] + math.sqrt(variance.sum()) * nodes
    expected = (weights / (1 + np.exp(-f))).sum() / weights.sum()
    draws = found.probabilities(at, 20_000)[:, 0, 0].detach()
    assert abs(draws.mean().item() - expected) < 4 * draws.std().item() / math.sqrt(20_000)


def test_other_parameters_and_random_numbers_are_left_alone():
    pyro.param("u_loc", torch.ones(2))
    pyro.param("kernel.variance", torch.tensor(7.0))
    before, state = store(), torch.get_rng_state()
    one = fit(num_steps=30)
    logits = one(CENTRES)
    other = fit(num_steps=30, seed=1, num_classes=4)  # of other shapes under the same names
    assert other(CENTRES).shape == (3, 4)
    assert torch.equal(one(CENTRES), logits)
    assert torch.equal(fit(num_steps=30)(CENTRES), logits)
    assert not torch.equal(fit(num_steps=30, seed=1)(CENTRES), logits)
    assert torch.equal(state, torch.get_rng_state())
    after = store()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_the_classifier_stays_as_it_is():
    classifier = Scaled().train()
    images, labels = clusters()
    found = train_gaussian_process(classifier, images, labels, 3, num_inducing=5, num_steps=5)
    assert found.classifier is classifier
    assert classifier.factor.item() == 2.0
    assert classifier.factor.grad is None


def test_float32_images_are_seen_in_double_precision():
    images, labels = clusters()
    classifier = Scaled().float()
    found = train_gaussian_process(
        classifier, images.float(), labels, 3, num_inducing=60, num_steps=20
    )
    assert found(images.float()).dtype == torch.float64
    assert bool(found(images.float()).isfinite().all())


def test_one_process_a_classifier_of_rows_that_hold_modality_and_class():
    images, labels = clusters(40)
    present = {"a": torch.arange(40) < 20}
    labels = labels.masked_fill(torch.arange(40) < 4, -1)
    rows = Observations({"a": images, "b": images}, present)
    dataset = data.DataSet("clusters", rows, None, rows, (), 2, None, 3, labels={"train": labels})
    options = {"num_inducing": 5, "num_steps": 3, "progress": False}
    found = train_gaussian_processes(dataset, {"a": Scaled(), "b": Scaled()}, **options)
    assert [p.process.num_data for p in found.values()] == [16, 36]
    alone = train_gaussian_process(
        Scaled(), images[4:20], labels[4:20], 3, num_inducing=5, num_steps=3
    )
    assert torch.equal(found["a"](CENTRES), alone(CENTRES))


def test_what_does_not_fit_is_refused():
    images, labels = clusters(20)
    wrong = (
        (labels[1:], r"\(20,\), got \(19,\)"),
        (labels - 1, "from -1 to 1"),
        (labels + 1, "to 3"),
    )
    for bad, message in wrong:
        with pytest.raises(ValueError, match=f"labels: expected one class of 0 to 2.*{message}"):
            train_gaussian_process(Scaled(), images, bad, 3, num_inducing=5)
    with pytest.raises(ValueError, match=r"num_inducing: expected at most 20, .* got 21"):
        train_gaussian_process(Scaled(), images, labels, 3, num_inducing=21)
    with pytest.raises(ValueError, match="num_steps: expected an integer of at least 1, got 0"):
        train_gaussian_process(Scaled(), images, labels, 3, num_steps=0)
    with pytest.raises(ValueError, match="all are the same"):
        train_gaussian_process(Scaled(), 0 * images, labels, 3, num_inducing=5)
