"""Diversity of a constant generator, of one with known spread, and of real images."""

import math

import pytest
import rich
import torch

from ppl_mm import Observations
from ppl_mm.evaluation import diversity, real_diversity, spread


def test_constant_generator_has_none(classes):
    toy = classes()
    found = diversity(toy.system, toy.obs, toy.classifiers, num_samples=5, batch_size=16)
    assert found.distances.shape == (3, 3, 40)
    assert found.distance().value < 1e-7  # the guide's own scale is 1e-9
    cells = torch.tensor([[t != s for t in range(3)] for s in range(3)])
    assert found.distances[~cells].max() < 1e-7


def test_private_latents_spread_as_their_prior(classes):
    toy = classes(num_rows=500, shared=1.0, private=1.0)
    found = diversity(toy.system, toy.obs, toy.classifiers, num_samples=4)
    # Two draws differ by Normal(0, 2 I_4): the mean length is 2 Gamma(5/2) / Gamma(2).
    expected = 2 * math.gamma(2.5) / math.gamma(2)
    mean = found.distance()
    assert abs(mean.value - expected) < 4 * mean.standard_error
    assert found.distances[0, 0].max() < 1e-6  # a reconstruction has its own w


class OneHot(torch.nn.Module):
    def features(self, classes):
        return torch.eye(3)[classes]


def test_spread_by_hand(classes):
    classifier = classes().classifiers["a"]
    samples = torch.zeros(3, 2, 2, 1, 2)
    samples[1, 0, 0, 0] = torch.tensor([3.0, 4.0])
    samples[2, 0, 0, 0] = torch.tensor([3.0, 4.0])
    distances, deviations = spread(samples, classifier)
    torch.testing.assert_close(distances, torch.tensor([2 * 5 / 3, 0.0]))
    by_hand = samples.std(0).mean((1, 2, 3))
    torch.testing.assert_close(deviations, by_hand)
    drawn = torch.tensor([[0, 1], [2, 1]])  # classes of two rows
    one_hot = OneHot()
    distances, deviations = spread(drawn, one_hot)
    torch.testing.assert_close(distances, torch.tensor([2**0.5, 0.0]))
    assert bool(deviations.isnan().all())
    with pytest.raises(ValueError, match="at least two draws"):
        spread(samples[:1], classifier)


def test_real_images_of_one_class(classes):
    toy = classes(num_rows=100)
    found = real_diversity(toy.obs, toy.labels, toy.classifiers, num_samples=5, num_rows=20)
    distance, deviation = found["a"]
    assert distance.value == 0.0  # the classifier sees the class alone
    assert abs(deviation.value - 0.5 * 0.94) < 4 * deviation.standard_error  # E s_5 = 0.94, half 0
    with pytest.raises(ValueError, match=r"num_samples: expected at most 25, .* got 90"):
        real_diversity(toy.obs, toy.labels, toy.classifiers, num_samples=90)


def test_table_and_numbers(classes, capsys):
    toy = classes()
    found = diversity(toy.system, toy.obs[:3], toy.classifiers, num_samples=2)
    rich.print(found.table())
    assert "0.00 / " in capsys.readouterr().out
    assert found.to_dict()["feature distance"] == found.distance().to_list()


def test_real_images_that_are_missing_or_of_no_class_are_left_out(classes):
    toy = classes(num_rows=100)
    present = {"a": torch.arange(100) % 2 == 0}
    labels = torch.where(torch.arange(100) < 20, -1, toy.labels)
    junk = {**toy.obs.values, "a": torch.where(present["a"][:, None, None, None], 1.0, 9.0)}
    few = Observations({**junk, "a": junk["a"] * toy.obs["a"]}, present)
    found = real_diversity(few, labels, toy.classifiers, num_samples=5)
    kept = present["a"] & (labels >= 0)
    expected = real_diversity(toy.obs[kept], labels[kept], toy.classifiers, num_samples=5)
    assert found == expected


def test_nothing_is_said_of_a_mean_over_no_cells(classes):
    toy = classes()
    found = diversity(toy.system, toy.obs[:3], toy.classifiers, [("a", "b", "c")], num_samples=2)
    assert found.table().caption is None
