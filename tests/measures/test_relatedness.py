"""Distances of posteriors that are known, and what they tell about which rows belong together."""

import numpy as np
import pytest
import rich
import scipy.linalg
import scipy.stats
import torch
from every_system import SYSTEMS, THREE, build, complete
from linear_gaussian import LinearGaussian
from sklearn.metrics import roc_auc_score
from torch import nn

from ppl_mm import Modality, Observations, System, guides, likelihoods, models, objectives
from ppl_mm.evaluation import Estimate, Relatedness, relatedness, wasserstein_distances

PAIR = (("a",), ("b",))


class Halves(nn.Module):
    """An encoder that reads loc and scale off the values."""

    def forward(self, x):
        return x.chunk(2, -1)


class Twice(nn.Module):
    """A decoder to values of that size."""

    def forward(self, z):
        return torch.cat([z, z], -1)


def known(loc_a, scale_a, loc_b, scale_b, family=None):
    """A system and rows with these posteriors given a and given b."""
    declared = [
        Modality(n, likelihoods.Normal(1.0), lambda _: Halves(), lambda _: Twice()) for n in "ab"
    ]
    size = loc_a.shape[1]
    guide = guides.MixtureOfExperts(declared, size, prior=family)
    model = models.SharedLatent(declared, size, prior=family)
    values = {"a": torch.cat([loc_a, scale_a], 1), "b": torch.cat([loc_b, scale_b], 1)}
    return System(model, guide, objectives.IWAE()), Observations(values)


def random_posteriors(num_rows=30, size=3, family=None):
    loc_a, loc_b = torch.randn(2, num_rows, size)
    scale_a, scale_b = torch.rand(2, num_rows, size) + 0.1
    return known(loc_a, scale_a, loc_b, scale_b, family)


def test_distance_by_hand_and_to_itself():
    at = lambda *x: torch.tensor([x])  # noqa: E731
    d = wasserstein_distances(at(0.0, 0.0), at(1.0, 2.0), at(3.0, 4.0), at(2.0, 2.0))
    assert d.square().item() == pytest.approx(26, rel=1e-14)
    far = 1e6 * torch.randn(5, 3)
    scale = torch.rand(5, 3)
    assert (wasserstein_distances(far, scale, far, scale).diagonal() == 0).all()
    a, b = (torch.randn(4, 3), torch.rand(4, 3)), (torch.randn(6, 3), torch.rand(6, 3))
    assert torch.equal(wasserstein_distances(*a, *b), wasserstein_distances(*b, *a).T)


@pytest.mark.parametrize("factor", [0.2, 7.0])
def test_distances_are_in_the_unit_of_the_latent(factor):
    one, two = ((torch.randn(4, 3), torch.rand(4, 3)) for _ in "ab")
    scaled = wasserstein_distances(*(factor * x for x in (*one, *two)))
    torch.testing.assert_close(scaled, factor * wasserstein_distances(*one, *two))


def test_distance_of_normals_is_that_of_full_covariances():
    (mean_a, mean_b), (std_a, std_b) = torch.randn(2, 4, 3), torch.rand(2, 4, 3) + 0.1
    found = wasserstein_distances(mean_a, std_a, mean_b, std_b)
    for i in range(4):
        for j in range(4):
            s_a, s_b = np.diag(std_a[i].numpy() ** 2), np.diag(std_b[j].numpy() ** 2)
            root = scipy.linalg.sqrtm(s_a)
            cross = scipy.linalg.sqrtm(root @ s_b @ root)
            squared = (mean_a[i] - mean_b[j]).square().sum() + np.trace(s_a + s_b - 2 * cross)
            assert found[i, j].item() == pytest.approx(squared.item() ** 0.5, rel=1e-9)


@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_one_coordinate_is_the_distance_of_quantiles(family):
    (loc_a, scale_a), (loc_b, scale_b) = (0.3, 0.5), (-0.4, 2.0)
    column = lambda x: torch.tensor([[x], [9.0]])  # noqa: E731
    system, obs = known(*map(column, (loc_a, scale_a, loc_b, scale_b)), family)
    found = relatedness(system, obs, "a", "b").distances[0, 0].item()
    kind = {"normal": scipy.stats.norm, "laplace": scipy.stats.laplace}[family]
    u = (np.arange(1_000_000) + 0.5) / 1_000_000
    squared = np.mean((kind.ppf(u, loc_a, scale_a) - kind.ppf(u, loc_b, scale_b)) ** 2)
    assert found == pytest.approx(squared**0.5, rel=1e-4)


def test_all_pairs_of_rows():
    system, obs = random_posteriors()
    found = relatedness(system, obs, "a", "b")
    (loc_a, scale_a), (loc_b, scale_b) = obs["a"].chunk(2, 1), obs["b"].chunk(2, 1)
    for i, j in ((0, 0), (3, 17), (17, 3)):
        expected = (loc_a[i] - loc_b[j]).square() + (scale_a[i] - scale_b[j]).square()
        assert found.distances[i, j].item() == pytest.approx(expected.sum().sqrt().item())
    back = relatedness(system, obs, "b", "a")
    assert torch.equal(back.distances, found.distances.T)
    for size in (1, 7, 30):
        assert torch.equal(
            relatedness(system, obs, "a", "b", batch_size=size).distances, found.distances
        )


def test_posteriors_are_the_guides_own():
    toy = LinearGaussian()
    system, obs = toy.system(guides.ProductOfExperts(toy.modalities, 2)), toy.sample(20)
    a, b = (system.posterior(obs.given(n)) for n in "ab")
    expected = wasserstein_distances(a.mean, a.stddev, b.mean, b.stddev)
    found = relatedness(system, obs, "a", "b")
    torch.testing.assert_close(found.distances, expected)
    joint = relatedness(system, obs, ("a", "b"), "b")
    both = system.posterior(obs.given("a", "b"))
    expected = wasserstein_distances(both.mean, both.stddev, b.mean, b.stddev)
    torch.testing.assert_close(joint.distances, expected)
    assert joint.names == ("a + b", "b")


@pytest.mark.parametrize("name", [n for n in SYSTEMS if n not in ("vae", "cvae", "cmmd")])
def test_any_system(name):
    obs = complete(12)
    found = relatedness(build(name), obs, THREE[1], THREE[2], torch.arange(12) % 3)
    assert bool(found.distances.isfinite().all())
    assert found.distances.std() > 0


def test_shared_latent_of_systems_with_private_ones(classes):
    toy = classes(("a", "b"))
    found = relatedness(toy.system, toy.obs, "a", "b", toy.labels)
    expected = torch.where(toy.labels[:, None] == toy.labels, 0.0, 2**0.5)  # u is one-hot
    torch.testing.assert_close(found.distances, expected)
    assert found.auroc("class").value == 1.0
    private = relatedness(toy.system, toy.obs, "a", "b", site="w_a")  # given b it is the prior
    loc = toy.obs["a"][:, 1, 0]
    expected = (loc.square().sum(1) + loc.shape[1]).sqrt()
    torch.testing.assert_close(private.distances, expected[:, None].expand(-1, len(loc)))


def test_matrix_of_classes():
    labels = torch.tensor([5, 2, 2, 7, 5])
    place = {2: 0.0, 5: 1.0, 7: 3.0}
    loc = torch.tensor([[place[c]] for c in labels.tolist()])
    one = torch.ones_like(loc)
    # x_b of class 7 lies elsewhere, and one of the two rows of class 2 further than the other.
    loc_b = torch.tensor([[1.0], [0.0], [4.0], [10.0], [1.0]])
    system, obs = known(loc, one, loc_b, one)
    found = relatedness(system, obs, "a", "b", labels)
    assert found.classes == (2, 5, 7)
    expected = [[2.0, 1.0, 10.0], [2.0, 0.0, 9.0], [2.0, 2.0, 7.0]]
    torch.testing.assert_close(found.matrix(), torch.tensor(expected))
    related = (2 * (0 + 4) + 4 * 0 + 7) / 9  # pairs of the same class
    assert found.mean("class").value == pytest.approx(related)
    everything = found.distances.sum().item()
    others = (everything - 9 * related) / 16
    assert found.mean("class", related=False).value == pytest.approx(others)
    assert found.mean("item").value == pytest.approx((0 + 0 + 4 + 7 + 0) / 5)


def test_auroc_of_separate_equal_and_reversed_distances():
    labels = torch.arange(12) % 3
    same = (labels[:, None] == labels).double()
    for distances, expected in ((1 - same, 1.0), (0 * same, 0.5), (same, 0.0)):
        found = Relatedness(PAIR, distances, labels).auroc("class")
        assert found.value == expected
        assert found.standard_error == 0.0


@pytest.mark.parametrize("by", ["item", "class"])
@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_scikit_learns(by, ties):
    labels = torch.randint(4, (40,))
    distances = torch.rand(40, 40) + 0.3 * (labels[:, None] != labels) + 0.2 * (1 - torch.eye(40))
    distances = distances.mul(10).round() if ties else distances
    found = Relatedness(PAIR, distances, labels)
    score = roc_auc_score(found.related(by).flatten(), -distances.flatten())
    assert found.auroc(by).value == pytest.approx(score, abs=1e-12)


def test_error_of_pairs_of_one_row_is_that_of_rows():
    distances = torch.rand(50, 50)
    found, expected = Relatedness(PAIR, distances).mean("item"), Estimate.of(distances.diagonal())
    assert found.value == pytest.approx(expected.value)
    assert found.standard_error == pytest.approx(expected.standard_error * (49 / 50) ** 0.5)


@pytest.mark.parametrize("by", ["item", "class"])
def test_errors_are_the_spread_over_test_sets(by):
    def test_set():
        labels = torch.randint(3, (60,))
        own = torch.randn(60, 2)
        at = [labels[:, None] + own + 0.7 * torch.randn(60, 2) for _ in "ab"]
        none = torch.zeros(60, 2)
        found = Relatedness(PAIR, wasserstein_distances(at[0], none, at[1], none), labels)
        return found.mean(by), found.mean(by, related=False), found.auroc(by)

    for estimates in zip(*(test_set() for _ in range(300)), strict=True):
        spread = np.std([e.value for e in estimates])
        stated = np.mean([e.standard_error for e in estimates])
        assert stated == pytest.approx(spread, rel=0.12)  # the spread's own error is 4 %


def test_rows_without_a_class_and_a_choice_of_rows():
    system, obs = random_posteriors()
    labels = torch.arange(30) % 3
    everything = relatedness(system, obs, "a", "b", labels)
    classless = torch.arange(30) % 5 == 0
    found = relatedness(system, obs, "a", "b", labels.masked_fill(classless, -1))
    assert torch.equal(found.distances, everything.distances[~classless][:, ~classless])
    assert torch.equal(found.labels, labels[~classless])
    few, again, other = (
        relatedness(system, obs, "a", "b", labels, num_rows=10, seed=s) for s in (0, 0, 1)
    )
    assert few.distances.shape == (10, 10)
    assert torch.equal(few.distances, again.distances)
    assert not torch.equal(few.distances, other.distances)
    assert torch.isin(few.distances, everything.distances).all()
    assert relatedness(system, obs, "a", "b", num_rows=None).distances.shape == (30, 30)


def test_table_and_numbers(capsys):
    labels = torch.tensor([0, 0, 1, 1])
    distances = 3.0 - 2.0 * (labels[:, None] == labels)
    found = Relatedness((("a",), ("b", "c")), distances, labels)
    rich.print(found.table())
    printed = capsys.readouterr().out
    assert "given a and given b + c" in printed
    assert "1.000 ± 0.000" in printed
    numbers = found.to_dict()
    assert numbers["given"] == [["a"], ["b", "c"]]
    assert numbers["rows"] == 4
    assert numbers["class"] == {"related": [1.0, 0.0], "others": [3.0, 0.0], "auroc": [1.0, 0.0]}
    assert numbers["item"]["auroc"][0] == pytest.approx((2 / 3) + (1 / 3) / 2)
    assert numbers["classes"] == [0, 1]
    assert numbers["matrix"] == [[1.0, 3.0], [3.0, 1.0]]
    alone = Relatedness(PAIR, distances)
    assert "class" not in alone.to_dict()
    assert "class" not in {str(c) for c in alone.table().columns[0].cells}
    with pytest.raises(ValueError, match="unknown relation 'class'"):
        alone.mean("class")
    with pytest.raises(ValueError, match="needs labels"):
        alone.matrix()


def test_what_does_not_fit_is_refused():
    system, obs = random_posteriors()
    labels = torch.arange(30) % 3
    with pytest.raises(ValueError, match=r"labels: expected one class a row, \(30,\), got \(29,\)"):
        relatedness(system, obs, "a", "b", labels[1:])
    with pytest.raises(ValueError, match="unknown modality to give 'c'"):
        relatedness(system, obs, "a", "c")
    lacking = Observations(obs.values, {"b": torch.arange(30) > 3})
    with pytest.raises(ValueError, match="modality 'b': 4 of 30 rows lack it"):
        relatedness(system, lacking, "a", "b")
    with pytest.raises(ValueError, match=r"two classes to compare, got 30 rows of 1"):
        relatedness(system, obs, "a", "b", 0 * labels)
    with pytest.raises(ValueError, match=r"got 1 rows\."):
        relatedness(system, obs, "a", "b", num_rows=1)
    with pytest.raises(ValueError, match="num_rows: expected an integer of at least 1"):
        relatedness(system, obs, "a", "b", num_rows=0)
    with pytest.raises(ValueError, match="unknown latent site 'w_a'"):
        relatedness(system, obs, "a", "b", site="w_a")


def test_posteriors_without_a_known_distance_are_refused():
    toy = LinearGaussian()
    with pytest.raises(TypeError, match=r"q\(z \| a\): expected independent .* MultivariateNormal"):
        relatedness(toy.system(toy.exact_guide()), toy.sample(5), "a", "b")
    mixture = toy.system(guides.MixtureOfExperts(toy.modalities, 2))
    with pytest.raises(TypeError, match=r"q\(z \| a \+ b\): .* got RandomMixture"):
        relatedness(mixture, toy.sample(5), ("a", "b"), "c")


def test_a_conditional_model_that_lacks_its_condition_is_refused():
    system = build("cvae")
    with pytest.raises(ValueError, match="the model conditions on it"):
        relatedness(system, complete(5), THREE[0], THREE[2])
