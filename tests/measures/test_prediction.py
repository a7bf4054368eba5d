"""Errors, average precision and root mean square errors against their definitions."""

import math

import numpy as np
import pytest
import torch
from linear_gaussian import LinearGaussian
from sklearn.metrics import average_precision_score
from torch import nn

from ppl_mm import Modality, Observations, System, data, guides, likelihoods, models, systems
from ppl_mm.evaluation import (
    average_precision,
    average_precision_of,
    classification_error,
    predict,
    probabilities,
    rmse,
)
from ppl_mm.objectives import IWAE


class Copy(nn.Module):
    """An expert at the values, or at the one-hot class."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x):
        loc = x if x.is_floating_point() else nn.functional.one_hot(x, 3).double()
        return loc, torch.full_like(loc, self.scale)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, z):
        return self.factor * z


def label_system(likelihood, scale=1e-3):
    """z is what the picture shows; the label's logits are 5 z."""
    modalities = [
        Modality("picture", likelihoods.Normal(0.1), lambda _: Copy(scale), lambda _: Times(1.0)),
        Modality("label", likelihood, lambda _: Copy(scale), lambda _: Times(5.0)),
    ]
    guide = guides.ProductOfExperts(modalities, 3, prior_expert=False)
    return System(models.SharedLatent(modalities, 3), guide, IWAE())


PICTURES = torch.tensor(
    [[0.9, 0, 0], [0, 0.9, 0.2], [0, 0, 0.9], [0.3, 0.2, 0.8]], dtype=torch.float64
)
LABELS = torch.tensor([0, 1, 2, 0])  # three right, one wrong


def test_probabilities_are_the_softmax_at_the_mean():
    system = label_system(likelihoods.Categorical())
    obs = Observations({"picture": PICTURES, "label": LABELS})
    for given in (None, "picture", ("picture",)):
        found = probabilities(system, obs, "label", given, batch_size=3)
        torch.testing.assert_close(found, (5 * PICTURES).softmax(-1), atol=1e-12, rtol=0)


def test_probabilities_are_averaged_over_draws():
    system = label_system(likelihoods.Categorical(), scale=0.5)
    obs = Observations({"picture": PICTURES, "label": LABELS})
    draws = 4000
    found = probabilities(system, obs, "label", "picture", num_samples=draws)
    # Whatever the guide's scale: z given the picture is Normal(100 / 101 x, 1 / 101).
    z = PICTURES / 1.01 + torch.randn(draws, 4, 3) / math.sqrt(101)
    each = (5 * z).softmax(-1)
    error = each.std(0) * math.sqrt(4 / draws)  # the weighted draws are worth a third of theirs
    assert ((found - each.mean(0)).abs() < 4 * error).all()
    assert (found - (5 * PICTURES).softmax(-1)).abs().max() > 0.005
    again = probabilities(system, obs, "label", "picture", num_samples=draws, seed=0)
    assert torch.equal(found, again)


@pytest.mark.parametrize("one_hot", [False, True])
def test_error_is_the_share_of_wrong_classes_among_rows_with_a_label(one_hot):
    system = label_system(likelihoods.Categorical())
    labels = torch.eye(3)[LABELS] if one_hot else LABELS
    found = classification_error(
        system, Observations({"picture": PICTURES, "label": labels}), "label"
    )
    assert found.value == 0.25
    assert found.standard_error == pytest.approx(0.25)  # sqrt( (3/16) / 3 )
    known = torch.tensor([False, True, True, True])
    obs = Observations({"picture": PICTURES, "label": labels}, {"label": known})
    assert classification_error(system, obs, "label").value == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="'label': no row has it to compare with"):
        classification_error(system, obs.without("label"), "label")
    with pytest.raises(ValueError, match="unknown modality to compare with 'lable'"):
        classification_error(system, obs, "lable")


def test_error_of_several_labels_is_the_share_of_wrong_ones():
    system = label_system(likelihoods.MultiLabel())
    pictures = torch.tensor([[1.0, -1, 1], [-1, -1, 1]])
    truth = torch.tensor([[1.0, 0, 0], [1, 1, 1]])  # one wrong, two wrong
    found = classification_error(
        system, Observations({"picture": pictures, "label": truth}), "label"
    )
    assert found.value == pytest.approx(0.5)
    assert found.standard_error == pytest.approx(math.sqrt(1 / 36))


def test_what_is_no_label_is_refused():
    toy = LinearGaussian()
    system = toy.system(guides.ProductOfExperts(toy.modalities, 2))
    with pytest.raises(TypeError, match=r"'a': expected a label, .* got numbers"):
        classification_error(system, toy.sample(3), "a")

    def words(_):
        return nn.Sequential(nn.Linear(3, 8), nn.Unflatten(-1, (2, 4)))

    picture = label_system(likelihoods.Categorical()).modalities[0]
    text = Modality("text", likelihoods.Tokens(), lambda _: Copy(1.0), words)
    model = models.SharedLatent([picture, text], 3)
    system = System(model, guides.ProductOfExperts([picture], 3), IWAE())
    with pytest.raises(TypeError, match="got a sequence of symbols"):
        probabilities(system, Observations({"picture": PICTURES}), "text", "picture")


def test_conditional_prior_predicts_from_what_is_observed():
    digits = data.load("digits")
    system = systems.cmmd(digits.modalities, 4, observed=("top",), label="label")
    obs = digits.test[:50].to(torch.float64)
    system.to(torch.float64)
    with torch.no_grad():
        logits = system.model.decoders["label"](system.model.prior(obs.only("top")).mean)
    found = probabilities(system, obs, "label", "top")
    torch.testing.assert_close(found, logits.softmax(-1), atol=1e-12, rtol=0)
    error = classification_error(system, obs, "label", given=("top",))
    assert error.value == pytest.approx((logits.argmax(-1) != obs["label"]).double().mean().item())
    assert 0 < rmse(system, obs, "bottom", "top").value < 100


# ---------------------------------------------------------------- average precision


def test_macro_and_micro_averages_differ_on_unbalanced_labels():
    rng = np.random.default_rng(0)
    truth = rng.random((60, 4)) < np.array([0.9, 0.5, 0.1, 0.05])
    truth[0] = True
    scores = rng.random((60, 4)) + 0.3 * truth + np.array([0.0, 0.2, 0.4, 0.6])
    found = average_precision_of(torch.from_numpy(scores), torch.from_numpy(truth))
    each = [average_precision_score(truth[:, c], scores[:, c]) for c in range(4)]
    assert found.per_class.tolist() == pytest.approx(each, abs=1e-12)
    assert found.macro == pytest.approx(np.mean(each), abs=1e-12)
    pooled = average_precision_score(truth.ravel(), scores.ravel())
    assert found.micro == pytest.approx(pooled, abs=1e-12)
    assert abs(found.macro - found.micro) > 0.02
    assert found.to_dict()["micro"] == found.micro


def test_average_precision_by_hand():
    # class 0: ranks 1 and 3 of 3 are true, (1 + 2/3) / 2; class 1: rank 2 of 3 is, 1/2
    scores = torch.tensor([[0.9, 0.8], [0.5, 0.7], [0.1, 0.2]])
    truth = torch.tensor([[1.0, 0], [0, 1], [1, 0]])
    found = average_precision_of(scores, truth)
    assert found.per_class.tolist() == pytest.approx([5 / 6, 1 / 2])
    # together: true at ranks 1, 3 and 6 of 6
    assert found.micro == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)


def test_classes_that_no_row_has_are_left_out():
    scores, truth = torch.rand(6, 3), torch.zeros(6, 3)
    truth[:3, 0] = truth[2:, 2] = 1
    found = average_precision_of(scores, truth)
    assert found.per_class[1].isnan()
    assert found.macro == pytest.approx(found.per_class[[0, 2]].mean().item())
    with pytest.raises(ValueError, match="expected some true label, got none"):
        average_precision_of(scores, torch.zeros(6, 3))
    with pytest.raises(ValueError, match=r"\(N, C\), got \(6, 3\) and \(6, 2\)"):
        average_precision_of(scores, truth[:, :2])


@pytest.mark.parametrize("likelihood", [likelihoods.Categorical(), likelihoods.MultiLabel()])
def test_average_precision_of_a_system_is_that_of_its_probabilities(likelihood):
    system = label_system(likelihood)
    pictures, classes = torch.randn(40, 3), torch.arange(40) % 3
    several = isinstance(likelihood, likelihoods.MultiLabel)
    labels = (torch.rand(40, 3) < 0.4).double() if several else classes
    known = torch.arange(40) > 9
    obs = Observations({"picture": pictures, "label": labels}, {"label": known})
    truth = labels if several else torch.eye(3)[classes]
    scores = (5 * pictures).sigmoid() if several else (5 * pictures).softmax(-1)
    expected = average_precision_of(scores[10:], truth[10:])
    found = average_precision(system, obs, "label", "picture")
    assert found.macro == pytest.approx(expected.macro, abs=1e-12)
    assert found.micro == pytest.approx(expected.micro, abs=1e-12)


# ---------------------------------------------------------------- root mean square error


def test_root_mean_square_error_is_its_formula():
    toy = LinearGaussian()
    obs = toy.mixed(4)
    system = toy.system(guides.ProductOfExperts(toy.modalities, 2))
    for target in ("a", "c"):
        known = obs.present[target]
        difference = (predict(system, obs, target, "b") - obs[target])[known]
        found = rmse(system, obs, target, "b", batch_size=5)
        assert found.value == pytest.approx(difference.square().mean().sqrt().item())
        squares = difference.square().mean(1)
        error = squares.std() / math.sqrt(len(squares)) / (2 * squares.mean().sqrt())
        assert found.standard_error == pytest.approx(error.item())


def test_perfect_generation_has_no_error():
    system = label_system(likelihoods.Categorical())
    obs = Observations({"picture": PICTURES, "label": LABELS})
    found = rmse(system, obs, "picture", "picture")
    assert (found.value, found.standard_error) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_classes_have_no_root_mean_square_error():
    system = label_system(likelihoods.Categorical())
    for labels in (LABELS, torch.eye(3)[LABELS]):
        obs = Observations({"picture": PICTURES, "label": labels})
        with pytest.raises(
            TypeError, match=r"'label': expected numbers, got .*classification_error"
        ):
            rmse(system, obs, "label", "picture")
    with pytest.raises(ValueError, match="'picture': no row has it"):
        rmse(system, obs.without("picture"), "picture", "label")
