"""Classifiers of what there is at test time."""

import pytest
import torch
from every_system import KINDS, THREE, complete, modalities, modality
from torch import nn

from ppl_mm import Observations, baselines

FAST = {"epochs": 30, "batch_size": 20, "learning_rate": 1e-2}
SIZES = {"prior_hidden": (16,), "hidden": (8,), "dropout": 0.0}
LABELS = ("categorical", "one_hot", "multi_label", "bernoulli")


def rows(num_rows=120):
    """A class that the numbers tell."""
    y = torch.randint(3, (num_rows,))
    x = 3.0 * torch.eye(3)[y] + 0.3 * torch.randn(num_rows, 3)
    return Observations({**complete(num_rows).values, "normal": x, "categorical": y})


def train(obs, observed="normal", label="categorical", declared=None, **options):
    declared = modalities() if declared is None else declared
    return baselines.label_classifier(obs, declared, label, observed, **{**FAST, **options})


def test_it_learns_what_can_be_learned():
    obs = rows()
    classifier = train(obs[:100])
    assert torch.equal(classifier.predict(obs), obs["categorical"])
    probabilities = classifier.probabilities(obs)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(120))
    chosen = probabilities.gather(1, obs["categorical"][:, None]).squeeze(1)
    torch.testing.assert_close(classifier.log_prob(obs), chosen.log())
    matched = baselines.matched_classifier(
        obs[:100], modalities(), "categorical", "normal", 4, **SIZES, **FAST
    )
    assert torch.equal(matched.predict(obs), obs["categorical"])


def test_one_step_is_adam_on_the_summed_cross_entropy():
    obs = rows(6)
    before = train(obs, epochs=1, learning_rate=0.0)
    after = train(obs, epochs=1, learning_rate=1e-3)
    loss = nn.functional.cross_entropy(
        before.output(before.inner(obs["normal"])), obs["categorical"], reduction="sum"
    )
    before.zero_grad()
    loss.backward()
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        step = one.grad / (one.grad.abs() + 1e-8)
        torch.testing.assert_close(other, one - 1e-3 * step, rtol=0, atol=1e-12)


def test_the_sizes_of_the_papers():
    obs = complete(4)
    small = train(obs, epochs=1, hidden=(70, 70))
    layers = [m for m in small.modules() if isinstance(m, nn.Linear | nn.Tanh | nn.Dropout)]
    assert [getattr(m, "out_features", "tanh") for m in layers] == [70, "tanh", 70, "tanh", 3]
    matched = baselines.matched_classifier(obs, modalities(), "categorical", "normal", epochs=1)
    linear = [m.out_features for m in matched.modules() if isinstance(m, nn.Linear)]
    assert linear == [1024, 1024, 1024, 50, 50, 50, 3]
    dropouts = [m for m in matched.modules() if isinstance(m, nn.Dropout)]
    assert [m.p for m in dropouts] == [0.2] * 5
    assert torch.equal(matched.probabilities(obs), matched.probabilities(obs))


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("kind", [k for k in KINDS if k not in LABELS])
def test_every_kind_of_label_and_of_what_is_observed(label, kind):
    declared, obs = modalities(kind, label), complete(12, kind, label)
    classifier = train(obs, kind, label, declared, epochs=2)
    assert classifier.log_prob(obs).shape == (12,)
    predicted = classifier.predict(obs)
    shape = (12,) if label == "one_hot" else obs[label].shape
    assert predicted.shape == shape
    modality(label).likelihood.check(label, predicted)


def test_several_are_observed_in_their_order():
    obs = rows(40)
    classifier = train(obs, ("bernoulli", "normal"))
    assert classifier.observed == ("bernoulli", "normal")
    assert classifier.predict(obs).shape == (40,)
    assert not torch.equal(classifier.probabilities(obs), train(obs).probabilities(obs))


def test_rows_that_lack_the_label_or_what_is_observed_are_left_out():
    obs = rows(40)
    present = {"categorical": torch.arange(40) % 4 != 0, "normal": torch.arange(40) % 5 != 0}
    some = Observations(obs.values, present)
    held = present["categorical"] & present["normal"]
    one, other = train(some), train(obs[held])
    assert torch.equal(one.probabilities(obs), other.probabilities(obs))
    with pytest.raises(ValueError, match="'normal': 8 of 40 rows lack it"):
        one.predict(some)
    with pytest.raises(ValueError, match="'categorical': 10 of 40 rows lack it"):
        one.log_prob(some)
    assert one.predict(some[present["normal"]]).shape == (32,)


def test_only_the_seed_decides():
    obs, state = rows(20), torch.get_rng_state()
    one, other, third = train(obs), train(obs), train(obs, seed=1)
    assert torch.equal(one.probabilities(obs), other.probabilities(obs))
    assert not torch.equal(one.probabilities(obs), third.probabilities(obs))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("observed", "label", "error", "message"),
    [
        ("x", "categorical", ValueError, "unknown modality 'x'"),
        ("normal", "x", ValueError, "unknown modality 'x'"),
        ((), "categorical", ValueError, "modalities other than 'categorical'"),
        ("categorical", "categorical", ValueError, "modalities other than 'categorical'"),
        ("categorical", "normal", TypeError, "'normal': expected the likelihood of a label"),
    ],
)
def test_wrong_choices_are_errors(observed, label, error, message):
    with pytest.raises(error, match=message):
        train(complete(4, *THREE), observed, label)


def test_no_features_are_an_error():
    with pytest.raises(ValueError, match=r"latent_dim: .*at least 1, got 0"):
        baselines.matched_classifier(complete(4), modalities(), "categorical", "normal", 0)


def test_no_rows_to_learn_from_is_an_error():
    with pytest.raises(ValueError, match="hold categorical and normal, got 0 of 4"):
        train(complete(4).without("categorical"))
