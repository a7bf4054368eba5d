"""Mutual information of predictions that are known, and of images that a toy generates."""

import math

import pytest
import rich
import torch
from torch import nn

from ppl_mm import Observations
from ppl_mm.evaluation import (
    MutualInformation,
    mutual_information,
    mutual_information_of,
    real_mutual_information,
    train_gaussian_process,
)


class Doubtful(nn.Module):
    """All draws agree on images of class 0; on others each draw is sure of another class."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def probabilities(self, images, num_samples, generator):
        assert not self.training
        assert not torch.is_grad_enabled()
        size = images.shape[-1]
        sure = torch.eye(size).repeat(num_samples // size, 1)[:, None]
        return torch.where((images[:, 0, 0].argmax(-1) == 0)[:, None], 1 / size, sure)


class Drawn(Doubtful):
    """Probabilities are draws that look at no image."""

    def probabilities(self, images, num_samples, generator):
        return torch.rand(num_samples, len(images), 3, generator=generator).softmax(-1)


def kl(p, q):
    return (p * (p / q).log()).sum(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_where_all_draws_agree(dtype):
    p = torch.rand(50, 10, dtype=dtype).softmax(-1).expand(7, 50, 10)
    found = mutual_information_of(p)
    assert found.shape == (50,)
    torch.testing.assert_close(found, torch.zeros(50, dtype=dtype), atol=1e-6, rtol=0)
    assert (found >= 0).all()
    assert (mutual_information_of(p[:1]) == 0).all()


def test_most_where_each_draw_is_sure_of_another_class():
    p = torch.eye(10).repeat(3, 1)[:, None]
    assert mutual_information_of(p).item() == pytest.approx(math.log(10), abs=1e-12)
    few = torch.eye(10)[:4, None]
    assert mutual_information_of(few).item() == pytest.approx(math.log(4), abs=1e-12)


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1.0, 100.0])
def test_it_is_the_mean_divergence_from_the_mean_and_never_negative(scale):
    p = (torch.randn(1, 40, 5) + scale * torch.randn(16, 40, 5)).softmax(-1)
    found = mutual_information_of(p)
    assert (found >= 0).all()
    assert (found <= math.log(5)).all()
    p = p.clamp(min=1e-300)
    torch.testing.assert_close(found, kl(p, p.mean(0)).mean(0), atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("batch_size", [7, 40])
def test_generated_images_of_known_doubt(classes, batch_size):
    toy = classes(("a", "b"))  # generates the class that it is given
    classifiers = {"a": Doubtful(), "b": Doubtful()}
    found = mutual_information(
        toy.system, toy.obs, classifiers, num_samples=8, batch_size=batch_size
    )
    expected = torch.where(toy.labels == 0, 0.0, math.log(4))
    assert found.subsets == (("a",), ("b",))
    assert found.targets == ("a", "b")
    torch.testing.assert_close(found.rows, expected.expand(2, 2, -1))
    assert found.cell("a", "b").value == pytest.approx(expected.mean().item())
    assert all(c.training for c in classifiers.values())  # as before


def test_subsets_and_options(classes):
    toy = classes(("a", "b"))
    found = mutual_information(
        toy.system, toy.obs, {"a": Doubtful()}, [("a", "b"), ()], num_samples=8
    )
    assert found.rows.shape == (2, 1, 40)
    assert found.cell((), "a").value == pytest.approx(0.75 * math.log(4), abs=0.5)
    blank = Observations.blank(30)
    assert mutual_information(
        toy.system, blank, {"a": Doubtful()}, [()], num_samples=8
    ).rows.shape == (1, 1, 30)
    with pytest.raises(ValueError, match="private"):
        mutual_information(toy.system, toy.obs, {"a": Doubtful()}, private="prior")


def test_seeds_and_fresh_draws_for_every_batch(classes):
    toy = classes(("a",))
    one, same, other = (
        mutual_information(
            toy.system, toy.obs, {"a": Drawn()}, num_samples=4, batch_size=20, seed=s
        ).rows[0, 0]
        for s in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one[:20], one[20:])


def test_real_images(classes):
    toy = classes(("a", "b"))
    obs = Observations(toy.obs.values, {"b": toy.labels != 0})
    classifiers = {"a": Doubtful(), "b": Doubtful()}
    found = real_mutual_information(classifiers, obs, num_samples=4, batch_size=9)
    share = (toy.labels != 0).double().mean().item()
    assert found["a"].value == pytest.approx(share * math.log(4))
    assert found["b"].value == pytest.approx(math.log(4))
    one, same, other = (
        real_mutual_information({"a": Drawn()}, obs, num_samples=4, seed=s)["a"] for s in (0, 0, 1)
    )
    assert one == same
    assert one != other


def test_images_unlike_the_real_ones_have_more(classes):
    toy, noise = classes(("a", "b")), classes(("a", "b"), shared=0.0, private=3.0)
    classifier = train_gaussian_process(
        toy.classifiers["a"],
        toy.obs["a"] + 0.02 * torch.randn_like(toy.obs["a"]),
        toy.labels,
        4,
        num_inducing=20,
        num_steps=200,
        lr=0.05,
    )
    classifiers = {"a": classifier}
    good, bad = (mutual_information(t.system, t.obs, classifiers, ["b"]) for t in (toy, noise))
    real = real_mutual_information(classifiers, toy.obs)["a"]
    assert good.cell("b", "a").value == pytest.approx(real.value, rel=0.1)
    assert bad.cell("b", "a").value > 3 * real.value
    assert bad.rows.max() < math.log(4)


def test_table_and_numbers(capsys):
    rows = torch.tensor([[[0.0, 0.2], [0.4, 0.4]], [[0.1, 0.1], [0.3, 0.5]]])
    found = MutualInformation((("a",), ("b",)), ("a", "b"), rows)
    means = found.per_target()
    assert means["a"].value == pytest.approx(0.1)
    assert means["b"].value == pytest.approx(0.4)
    rich.print(found.table())
    printed = capsys.readouterr().out
    assert "(0.100 ± 0.100)" in printed
    assert "mutual information (nats)" in printed
    numbers = found.to_dict()
    assert numbers["given"] == [["a"], ["b"]]
    assert numbers["cells"][1][1][0] == pytest.approx(0.4)
    assert numbers["per target"]["a"] == pytest.approx([0.1, 0.0])
    own = MutualInformation((("a",),), ("a",), rows[:1, :1])
    assert own.per_target() == {}
    rich.print(own.table())


def test_what_does_not_fit_is_refused(classes):
    toy = classes(("a", "b"))
    lacking = Observations(toy.obs.values, {"b": torch.arange(40) > 2})
    with pytest.raises(ValueError, match="modality 'b': 3 of 40 rows lack it"):
        mutual_information(toy.system, lacking, {"a": Doubtful()}, ["b"])
    with pytest.raises(ValueError, match="num_samples: expected an integer of at least 1, got 0"):
        mutual_information(toy.system, toy.obs, {"a": Doubtful()}, num_samples=0)
    with pytest.raises(ValueError, match=r"batch_size: .* got 0"):
        real_mutual_information({"a": Doubtful()}, toy.obs, batch_size=0)
