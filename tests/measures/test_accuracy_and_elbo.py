"""Predictions, their accuracy, and the validation ELBO."""

import math
from functools import partial

import pytest
import torch
from every_system import KINDS, SYSTEMS, build, complete, modalities
from linear_gaussian import NAMES, LinearGaussian
from torch import nn
from torch.distributions import kl_divergence

from ppl_mm import Modality, Observations, System, guides, likelihoods, models, networks
from ppl_mm.evaluation import (
    accuracy,
    average_precision,
    calibration,
    classification_error,
    elbo,
    predict,
    probabilities,
)
from ppl_mm.objectives import IWAE, ELBOTerms, subset_terms


class Copy(nn.Module):
    """An expert at the one-hot label, or at the values themselves, all but certain."""

    def forward(self, x):
        loc = x if x.is_floating_point() else nn.functional.one_hot(x, 3).double()
        return loc, torch.full_like(loc, 1e-3)


class Sharp(nn.Module):
    """Logits that favour the largest coordinate of z."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(5.0))

    def forward(self, z):
        return self.sharpness * z


class Same(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, z):
        return z + self.shift


def label_system(likelihood=None):
    """z has the label's three coordinates; the picture shows them, the label is the largest."""
    picture = Modality("picture", likelihoods.Normal(scale=0.1), lambda _: Copy(), lambda _: Same())
    label = Modality(
        "label", likelihood or likelihoods.Categorical(), lambda _: Copy(), lambda _: Sharp()
    )
    model = models.SharedLatent([picture, label], 3)
    return System(model, guides.ProductOfExperts([picture, label], 3), IWAE())


PICTURES = torch.eye(3)[[0, 1, 2, 2]] * 0.9
LABELS = torch.tensor([0, 1, 2, 0])  # three right, one wrong


def test_predictions_are_the_mode_at_the_posterior_mean():
    system = label_system()
    obs = Observations({"picture": PICTURES, "label": LABELS})
    assert predict(system, obs, "label").tolist() == [0, 1, 2, 2]
    assert predict(system, obs.drop("label"), "label").tolist() == [0, 1, 2, 2]
    assert predict(system, obs, "label", given="label").tolist() == LABELS.tolist()


def test_real_values_are_predicted_by_their_mean():
    toy = LinearGaussian({"a": 3, "b": 4})
    obs, guide = toy.mixed(), guides.ProductOfExperts(toy.modalities, 2)
    model = toy.model()
    found = predict(System(model, guide, IWAE()), obs, "b", given="a")
    expected = model.decoders["b"](guide.posterior(obs.given("a")).mean)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_rows_at_a_time_do_not_matter(batch_size):
    toy = LinearGaussian({"a": 3, "b": 4})
    obs, system = toy.mixed(), toy.system(guides.ProductOfExperts(toy.modalities, 2))
    found = predict(system, obs, "b", batch_size=batch_size)
    torch.testing.assert_close(found, predict(system, obs, "b"), atol=1e-12, rtol=0)


def test_accuracy_is_the_share_of_right_labels_among_those_known():
    system = label_system()
    obs = Observations({"picture": PICTURES, "label": LABELS})
    assert accuracy(system, obs, "label") == 0.75
    known = torch.tensor([False, True, True, True])
    obs = Observations({"picture": PICTURES, "label": LABELS}, {"label": known})
    assert accuracy(system, obs, "label") == pytest.approx(2 / 3)


def test_accuracy_of_one_hot_rows_is_that_of_their_classes():
    obs = Observations({"picture": PICTURES, "label": torch.eye(3)[LABELS]})
    assert accuracy(label_system(), obs, "label") == 0.75


@pytest.mark.parametrize("true", [[[1.0, 0, 0], [1.0, 1, 0]], [[1.0, 0, 0], [0, 0, 1.0]]])
def test_accuracy_of_several_labels_is_the_share_of_right_ones(true):
    pictures = torch.eye(3)[:2] - 0.5  # the sign of each coordinate is a label
    obs = Observations({"picture": pictures, "label": torch.tensor(true)})
    expected = (torch.eye(3)[:2] == torch.tensor(true)).double().mean().item()
    assert accuracy(label_system(likelihoods.MultiLabel()), obs, "label") == expected


def test_accuracy_of_a_single_yes_or_no_label():
    class First(Sharp):
        def forward(self, z):
            return super().forward(z)[..., 0]

    encoder = partial(networks.BinaryEncoder, hidden=(4,))
    label = Modality("label", likelihoods.Bernoulli(), encoder, lambda _: First())
    both = [label_system().modalities[0], label]
    system = System(models.SharedLatent(both, 3), guides.ProductOfExperts(both, 3), IWAE())
    pictures = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0], [1.0, 0, 0], [1.0, 0, 0]])
    obs = Observations({"picture": pictures, "label": torch.tensor([1.0, 0.0, 0.0, 1.0])})
    assert accuracy(system, obs, "label") == 0.75


def test_accuracy_without_labels_is_an_error():
    obs = Observations({"picture": PICTURES, "label": LABELS}).without("label")
    with pytest.raises(ValueError, match="'label': no row has a label"):
        accuracy(label_system(), obs, "label")


LABEL = "categorical"


@pytest.mark.parametrize("name", [n for n in SYSTEMS if n not in ("cvae", "vae")])
def test_no_system_predicts_a_label_from_itself_unasked(name):
    """Those left out have no label to predict: one conditions on it, one has a single modality."""
    system, obs = build(name), complete(12)
    others = [n for n in obs.names if n != LABEL]
    found = probabilities(system, obs, LABEL)
    assert torch.equal(found, probabilities(system, obs, LABEL, others))
    shifted = Observations({**obs.values, LABEL: (obs[LABEL] + 1) % 3})
    assert torch.equal(found, probabilities(system, shifted, LABEL))
    assert torch.equal(found, probabilities(system, obs.drop(LABEL), LABEL))
    right = (found.argmax(-1) == obs[LABEL]).double().mean().item()
    assert accuracy(system, obs, LABEL) == right


@pytest.mark.parametrize(
    "measure", [accuracy, classification_error, average_precision, calibration, probabilities]
)
@pytest.mark.parametrize("given", ["label", ("picture", "label")])
def test_a_label_that_is_given_is_not_predicted(measure, given):
    obs = Observations({"picture": PICTURES, "label": LABELS})
    with pytest.raises(ValueError, match="given: 'label' is what is predicted"):
        measure(label_system(), obs, "label", given)


# ---------------------------------------------------------------- the ELBO


def test_elbo_of_the_exact_posterior_is_the_evidence():
    toy = LinearGaussian()
    obs = toy.mixed()
    found = elbo(toy.system(toy.exact_guide()), obs)
    torch.testing.assert_close(found, toy.log_p(obs, NAMES), atol=1e-10, rtol=0)


def test_elbo_is_the_evidence_minus_the_divergence_in_expectation():
    toy = LinearGaussian(spread=1.3)
    rows = toy.mixed()
    guide = guides.ProductOfExperts(toy.modalities, 2)
    obs = rows[torch.arange(len(rows)).repeat(500)]
    found = elbo(toy.system(guide), obs).reshape(500, len(rows))
    q, p = guide.posterior(rows), toy.exact_guide().posterior(rows)
    full = torch.distributions.MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    expected = toy.log_p(rows, NAMES) - kl_divergence(full, p)
    error = found.std(0) / math.sqrt(500)
    assert ((found.mean(0) - expected).abs() <= 4 * error + 1e-10).all()


def test_elbo_ignores_training_weights_and_leaves_states_alone():
    toy = LinearGaussian(spread=1.3)
    model, guide, obs = toy.model(), guides.ProductOfExperts(toy.modalities, 2), toy.mixed()
    heavy = ELBOTerms(subset_terms(), weights={"a": 9.0}, beta=0.1)
    heavy.annealing = 0.5
    systems = [System(model, guide, o) for o in (IWAE(), heavy)]
    before = torch.get_rng_state()
    one, two = (elbo(s, obs, seed=4) for s in systems)
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(m.training for m in systems[0].modules())
    assert not one.requires_grad


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_elbo_has_one_value_a_row_however_it_is_batched(batch_size):
    toy = LinearGaussian()
    obs = toy.mixed()
    found = elbo(toy.system(toy.exact_guide()), obs, batch_size=batch_size)
    torch.testing.assert_close(found, toy.log_p(obs, NAMES), atol=1e-10, rtol=0)
    blank = elbo(toy.system(toy.exact_guide()), Observations.blank(5), batch_size=batch_size)
    torch.testing.assert_close(blank, torch.zeros(5), atol=1e-12, rtol=0)


KINDS_OF_LABEL = {"bernoulli", "categorical", "one_hot", "multi_label"}


@pytest.mark.parametrize(
    "measure", [accuracy, classification_error, average_precision, calibration]
)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_measures_of_labels_refuse_what_is_no_label(measure, kind):
    other = "normal_learned" if kind == "normal" else "normal"
    system, obs = build("mvae", modalities(kind, other)), complete(20, kind, other)
    if kind in KINDS_OF_LABEL or (kind == "tokens" and measure is accuracy):
        measure(system, obs, kind)
        return
    with pytest.raises(TypeError, match=f"modality '{kind}': expected a label.*got"):
        measure(system, obs, kind)
