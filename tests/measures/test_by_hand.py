"""Measures of labels and of values by hand: halves, holes, ties, one row, and what is refused."""

import math

import pytest
import torch
from torch import nn

from ppl_mm import Modality, Observations, System, guides, likelihoods, models
from ppl_mm.evaluation import (
    accuracy,
    average_precision,
    average_precision_of,
    calibration,
    calibration_of,
    classification_error,
    predict,
    probabilities,
    rmse,
    spread,
)
from ppl_mm.measures.mutual_information import mutual_information_of
from ppl_mm.measures.relatedness import wasserstein_distances
from ppl_mm.objectives import IWAE

close = torch.testing.assert_close


class Copy(nn.Module):
    """An expert at the values, or at the one-hot class, all but certain."""

    def forward(self, x):
        loc = x if x.is_floating_point() else nn.functional.one_hot(x, 3).double()
        return loc, torch.full_like(loc, 1e-3)


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, z):
        return self.factor * z


def system_of(likelihood, factor=5.0):
    """z is what the picture shows; the target's parameters are a factor times z."""
    modalities = [
        Modality("picture", likelihoods.Normal(0.1), lambda _: Copy(), lambda _: Times(1.0)),
        Modality("y", likelihood, lambda _: Copy(), lambda _: Times(factor)),
    ]
    guide = guides.ProductOfExperts(modalities, 3, prior_expert=False)
    return System(models.SharedLatent(modalities, 3), guide, IWAE())


Z = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 2.0, 1.0], [0.0, -3.0, 1.0]])
YES = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
HELD = torch.tensor([[True, False, True], [True, True, True], [False, False, True]])


def rows(y, **options):
    return Observations({"picture": Z, "y": y}, **options)


# ------------------------------------------------------------------ labels


def test_a_probability_of_a_half_is_no_yes():
    system = system_of(likelihoods.MultiLabel())
    wrong = torch.tensor([[0, 1, 0], [0, 0, 1], [0, 0, 0]])  # of each row and label
    assert accuracy(system, rows(YES), "y") == pytest.approx(1 - wrong.sum().item() / 9)
    found = classification_error(system, rows(YES), "y")
    each = wrong.double().mean(1)
    assert found.value == pytest.approx(each.mean().item())
    assert found.standard_error == pytest.approx((each.std() / 3**0.5).item())


def test_labels_that_are_missing_count_for_nothing():
    """The delta method, of a ratio of sums: (e_n - m k_n) / mean k."""
    system, obs = system_of(likelihoods.MultiLabel()), rows(YES, elements={"y": HELD})
    wrong = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert accuracy(system, obs, "y") == pytest.approx(5 / 6)
    found = classification_error(system, obs, "y")
    number, mean = HELD.sum(1).double(), 1 / 6
    pull = (wrong.sum(1) - mean * number) / number.mean()
    assert found.value == pytest.approx(mean)
    assert found.standard_error == pytest.approx((pull.std() / 3**0.5).item())


def test_draws_predict_a_probability_of_each_label_and_the_likeliest_class():
    system, obs = system_of(likelihoods.MultiLabel()), rows(YES)
    found = predict(system, obs, "y", "picture", num_samples=50, seed=4)
    assert torch.equal(found, probabilities(system, obs, "y", "picture", num_samples=50, seed=4))
    assert found.shape == (3, 3)
    share = accuracy(system, obs, "y", "picture", num_samples=50, seed=4)
    assert share == ((found > 0.5) == (YES > 0.5)).double().mean().item()
    classes = system_of(likelihoods.Categorical())
    obs = rows(torch.tensor([0, 1, 2]))
    found = predict(classes, obs, "y", num_samples=50, seed=4)
    p = probabilities(classes, obs, "y", num_samples=50, seed=4)
    assert torch.equal(found, p.argmax(-1))
    assert accuracy(classes, obs, "y", num_samples=50, seed=4) == 1.0


@pytest.mark.parametrize("measure", [accuracy, classification_error, calibration, probabilities])
def test_a_label_may_be_named_as_a_part_of_what_is_given(measure):
    modalities = [
        Modality("digit_image", likelihoods.Normal(0.1), lambda _: Copy(), lambda _: Times(1.0)),
        Modality("digit", likelihoods.Categorical(), lambda _: Copy(), lambda _: Times(5.0)),
    ]
    guide = guides.ProductOfExperts(modalities, 3, prior_expert=False)
    system = System(models.SharedLatent(modalities, 3), guide, IWAE())
    obs = Observations({"digit_image": Z, "digit": torch.tensor([0, 1, 2])})
    measure(system, obs, "digit", "digit_image")
    for given in ("digit", ["digit"], ("digit_image", "digit")):
        with pytest.raises(ValueError, match="given: 'digit' is what is predicted; leave it out"):
            measure(system, obs, "digit", given)


def test_one_row_has_no_standard_error():
    system = system_of(likelihoods.Categorical())
    obs = rows(torch.tensor([0, 1, 2]))[1:2]
    assert accuracy(system, obs, "y") == 1.0
    found = classification_error(system, obs, "y")
    assert found.value == 0.0
    assert math.isnan(found.standard_error)


@pytest.mark.parametrize("measure", [accuracy, classification_error, average_precision])
def test_numbers_are_no_labels_and_the_range_is_said(measure):
    system = system_of(likelihoods.MultiLabel())
    obs = rows(torch.tensor([[0.25, 0, 1], [0, 3.5, 0], [0, 0, 0.0]]))
    system.check = lambda obs: None  # the likelihood would refuse them before
    with pytest.raises(TypeError, match=r"'y': expected a label, .* from 0 to 3.5; .*rmse tells"):
        measure(system, obs, "y")


def test_average_precision_reads_and_tells_every_class():
    scores = torch.tensor([[0.9, 0.1], [0.5, 0.3], [0.1, 0.2]])
    found = average_precision_of(scores, torch.tensor([[1.0, 0], [0, 1], [1, 0]]))
    assert str(found) == f"mAP {found.macro:.3f} (macro), {found.micro:.3f} (micro)"
    told = list(found.numbers())
    assert [n["target"] for n in told] == ["macro", "micro", "class 0", "class 1"]
    assert [n["value"] for n in told] == [found.macro, found.micro, *found.per_class.tolist()]
    assert found.per_class.tolist() == pytest.approx([5 / 6, 1.0])
    with pytest.raises(ValueError, match=r"scores: .*\(3, 2, 1\)"):
        average_precision_of(scores[..., None], scores[..., None])


def test_rows_that_lack_a_label_are_left_out_of_precision_and_calibration():
    system, obs = system_of(likelihoods.MultiLabel()), rows(YES, elements={"y": HELD})
    part = rows(YES)[1:2]
    assert average_precision(system, obs, "y").to_dict()["micro"] == pytest.approx(
        average_precision(system, part, "y").micro
    )
    found = calibration(system, obs, "y", num_samples=None)
    assert found.predicted.shape == (1, 3)
    assert (found.label, found.given) == ("y", ("picture",))
    for given, told in (("picture", ("picture",)), (["picture"], ("picture",)), ((), ())):
        assert calibration(system, part, "y", given, num_samples=None).given == told


# ------------------------------------------------------------------ calibration


def test_scores_of_three_classes_by_hand():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    found = calibration_of(p, torch.tensor([1, 2]))
    assert found.brier().value == pytest.approx((0.78 + 0.06) / 2)
    assert found.nats.tolist() == pytest.approx([-math.log(0.3), -math.log(0.8)])
    assert found.happened[:, 0].tolist() == [False, True]
    assert found.predicted[:, 0].tolist() == pytest.approx([0.5, 0.8])


@pytest.mark.parametrize(
    ("p", "truth", "message"),
    [
        (torch.rand(0, 2), torch.zeros(0).long(), r"probabilities: .* of shape \(0, 2\)"),
        (torch.full((2, 2), 0.5), torch.tensor([0, 2]), "classes from 0 to 1, got 0 to 2"),
        (torch.full((2, 2), 0.5), torch.tensor([-1, 1]), "classes from 0 to 1, got -1 to 1"),
        (torch.tensor([[1.1, -0.1]]), torch.tensor([0]), "between 0 and 1"),
        (torch.tensor([1.0 + 2e-6]), torch.tensor([1.0]), "between 0 and 1"),
        (torch.tensor([math.nan]), torch.tensor([1.0]), "expected a tensor of finite numbers"),
        (torch.rand(2, 3), torch.zeros(2, 2), r"got \(2, 3\) and torch.float32 of shape \(2, 2\)"),
    ],
)
def test_probabilities_that_are_none_are_refused(p, truth, message):
    with pytest.raises(ValueError, match=message):
        calibration_of(p, truth)


def test_a_probability_may_be_above_one_by_rounding():
    found = calibration_of(torch.tensor([1.0 + 5e-7, 0.0]), torch.tensor([1.0, 0.0]))
    assert found.reliability().count.sum() == 2


# ------------------------------------------------------------------ values


def test_errors_of_the_elements_that_rows_hold():
    system = system_of(likelihoods.Normal(1.0), factor=2.0)
    y = 2 * Z + torch.tensor([[3.0, 9.0, 0.0], [0.0, 4.0, 0.0], [9.0, 9.0, 0.0]])
    whole = rmse(system, rows(y), "y", "picture")
    squares = (y - 2 * Z).square().mean(1)
    assert whole.value == pytest.approx(squares.mean().sqrt().item(), rel=1e-4)
    error = (squares.std() / 3**0.5 / (2 * squares.mean().sqrt())).item()
    assert whole.standard_error == pytest.approx(error, rel=1e-4)
    some = rmse(system, rows(y, elements={"y": HELD}), "y", "picture")
    assert some.value == pytest.approx(math.sqrt((9 + 16) / 6), rel=1e-4)


def test_an_error_that_overflows_is_told():
    system = system_of(likelihoods.Normal(1.0))
    with pytest.raises(ValueError, match="'y': the squared error overflows; rescale its values"):
        rmse(system, rows(torch.full((3, 3), 1e200)), "y", "picture")


# ------------------------------------------------------------------ draws and distances


class Pixels(nn.Module):
    """Features are the values themselves."""

    def features(self, x):
        return x.flatten(1)


def test_the_spread_of_two_draws_is_their_distance():
    x = torch.randn(2, 5, 3)
    distance, deviation = spread(x, Pixels())
    close(distance, (x[0] - x[1]).norm(dim=-1))
    close(deviation, ((x[0] - x[1]).abs() / 2**0.5).mean(-1))
    for wrong in (torch.zeros(3), torch.zeros(1, 3)):
        with pytest.raises(ValueError, match=r"samples: expected (at least two|\(K, N)"):
            spread(wrong, Pixels())


def test_mutual_information_of_certain_and_of_equal_draws():
    sure = torch.eye(4)[torch.tensor([[0, 1], [1, 1], [2, 1], [3, 1]])]  # (S, N, C)
    close(mutual_information_of(sure), torch.tensor([math.log(4), 0.0]))
    p = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    entropy = lambda q: -sum(x * math.log(x) for x in q)  # noqa: E731
    expected = entropy((0.7, 0.3)) - (entropy((0.5, 0.5)) + entropy((0.9, 0.1))) / 2
    assert mutual_information_of(p[:, None]).item() == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"\(S, N, C\) as floating-point numbers"):
        mutual_information_of(torch.zeros(2, 3))


def test_wasserstein_distances_of_every_pair():
    a, b = (
        (torch.tensor([[0.0, 0], [1, 1]]), torch.ones(2, 2)),
        (torch.zeros(1, 2), torch.ones(1, 2)),
    )
    close(wasserstein_distances(*a, *b), torch.tensor([[0.0], [2**0.5]]))
    wide = (b[0], torch.tensor([[4.0, 5.0]]))
    close(wasserstein_distances(*a, *wide), torch.tensor([[5.0], [27**0.5]]))
    for wrong in ((a[0], a[1][:1], *b), (*a, b[0], torch.ones(1, 3)), (*a, torch.zeros(1, 3),
                  torch.ones(1, 3))):  # fmt: skip
        with pytest.raises(ValueError, match=r"means \(N, D\) .* got mean_a \(2, 2\), std_a"):
            wasserstein_distances(*wrong)
