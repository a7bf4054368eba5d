"""Baselines against the same steps by hand, rows by the thousand, and rows that lack something."""

from functools import partial

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from ppl_mm import Modality, Observations, baselines, likelihoods, networks
from ppl_mm.baselines.views import Projection, Views, held_by, perceptron, require

close = torch.testing.assert_close


def numbers(name, size, likelihood=None):
    return Modality(
        name,
        likelihood or likelihoods.Normal(scale=0.5),
        partial(networks.MLPEncoder, event_shape=(size,), hidden=(3,)),
        partial(networks.MLPDecoder, event_shape=(size,), hidden=(3,)),
    )


def label(likelihood, shape=()):
    return Modality(
        "y",
        likelihood,
        partial(networks.LabelEncoder, num_classes=3, hidden=(2,)),
        partial(networks.MLPDecoder, event_shape=shape or (3,), hidden=()),
    )


# ------------------------------------------------------------------ the contrastive loss


def test_the_contrastive_loss_looks_at_angles_alone():
    a, b = torch.randn(2, 4), torch.randn(2, 4)
    loss = baselines.contrastive_loss(a, b, 0.7)
    close(baselines.contrastive_loss(3.0 * a, 0.1 * b, 0.7), loss)
    cosines = F.cosine_similarity(a[:, None], b[None], -1)
    apart = 0.7 - cosines.diagonal() + cosines.flip(1).diagonal()
    close(loss, apart.clamp(min=0).mean())


def test_other_rows_are_drawn_equally_often():
    """Of three rows each is contrasted with either other one; only the second of them costs."""
    a = torch.eye(3)
    b = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0]])
    # row 0: matched 0; against row 1 distance 0, against row 2 distance 1
    losses = torch.stack([baselines.contrastive_loss(a, b, 0.5) for _ in range(2000)])
    # row 0 costs 0.5 or 0, row 1 (matched 1) 0.5 + 1 - 1 either way, row 2 costs 0
    found = (losses * 3 - 0.5).unique()
    close(found, torch.tensor([0.0, 0.5]))
    share = (losses * 3 > 0.75).double().mean()
    assert abs(share - 0.5) < 5 * 0.5 / 2000**0.5


@pytest.mark.parametrize(
    ("first", "second"), [((1, 3), (1, 3)), ((2, 3), (2, 4)), ((2,), (2,)), ((2, 3, 1), (2, 3, 1))]
)
def test_features_that_cannot_be_contrasted_are_refused(first, second):
    with pytest.raises(
        ValueError, match=r"expected first and second \(B, k\) of one shape, B at l"
    ):
        baselines.contrastive_loss(torch.zeros(first), torch.zeros(second), 0.5)


# ------------------------------------------------------------------ projections and views


def test_a_projection_is_of_its_first_view_and_in_evaluation_mode():
    nets = [nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)), nn.Linear(4, 3)]
    projection = Projection(["a b", "c"], nets)
    obs = Observations({"c": torch.randn(2500, 4), "a b": torch.randn(2500, 2)})
    found = projection(obs)
    assert not found.requires_grad
    close(found, nets[0][0](obs["a b"]).detach())
    close(projection(obs, "c"), nets[1](obs["c"]).detach())
    with pytest.raises(ValueError, match="unknown view 'd'"):
        projection(obs, "d")


def test_views_are_numbers_of_the_rows_that_hold_both():
    y = torch.tensor([2, 0, 1, 2])
    obs = Observations(
        {"x": torch.randn(4, 2), "y": y, "w": torch.randn(4, 1)}, {"x": torch.arange(4) > 0}
    )
    declared = [numbers("x", 2), label(likelihoods.Categorical()), numbers("w", 1)]
    views = Views(obs, declared, None)
    assert views.names == ["x", "y"]
    assert torch.equal(views.numbers[0], obs["x"][1:])
    assert torch.equal(views.numbers[1], torch.eye(3)[y[1:]])
    assert Views(obs, declared, ("w", "x")).names == ["w", "x"]
    for wrong in (("x", "x"), ("x",), ("x", "y", "w")):
        with pytest.raises(ValueError, match="views: expected two different modalities"):
            Views(obs, declared, wrong)
    with pytest.raises(TypeError, match="expected a tuple of two names, got the string 'xy'"):
        Views(obs, declared, "xy")


def test_rows_that_hold_all_are_told_by_their_number():
    elements = torch.ones(5, 2, dtype=torch.bool)
    elements[2, 1] = False
    obs = Observations(
        {"x": torch.zeros(5, 2), "y": torch.zeros(5)}, {"y": torch.arange(5) > 0}, {"x": elements}
    )
    assert held_by(obs, ["x", "y"]).tolist() == [1, 3, 4]
    assert held_by(obs, ["y"]).tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="two rows that hold x and y, got 1 of 3"):
        held_by(obs[[0, 1, 2]], ["x", "y"])
    with pytest.raises(ValueError, match="two rows that hold w, got 0 of 5"):
        held_by(obs, ["w"])
    assert held_by(obs[[3, 4]], ["x", "y"]).tolist() == [0, 1]
    with pytest.raises(
        ValueError, match=r"'x': 1 of 5 rows lack it, or elements of it; take obs\["
    ):
        require(obs, "x")
    with pytest.raises(ValueError, match="'w': 5 of 5 rows lack it"):
        require(obs, "w")
    require(obs[[3, 4]], "x")


def test_a_perceptron_ends_in_a_linear_layer():
    network = perceptron((2, 3, 4), "relu")
    x = torch.randn(5, 2)
    first, last = network[0][0], network[1]
    close(network(x), last(F.relu(first(x))))
    assert perceptron((2, 4), "relu")[1].weight.shape == (4, 2)


# ------------------------------------------------------------------ the autoencoder


def test_one_step_of_an_autoencoder_is_adam_on_the_summed_negative_log_density():
    x = torch.randn(6, 2)
    obs, modality = Observations({"x": x}), numbers("x", 2)
    options = {"epochs": 1, "batch_size": 6}
    before = baselines.autoencoder(obs, modality, 1, learning_rate=0.0, **options)
    after = baselines.autoencoder(obs, modality, 1, learning_rate=1e-3, **options)
    encoder = before.networks["x"].encoder
    torch.manual_seed(0)
    modality.encoder(1)  # the decoder is drawn after the encoder, from the same seed
    decoder = modality.decoder(1)
    loc, _ = encoder(x)
    loss = (0.5 * ((decoder(loc) - x) / 0.5).square()).sum()
    gradients = torch.autograd.grad(loss, list(encoder.parameters()), allow_unused=True)
    moved = after.networks["x"].encoder.parameters()
    for old, new, g in zip(encoder.parameters(), moved, gradients, strict=True):
        step = torch.where(g == 0, 0.0, g / (g.abs() + 1e-8))
        close(new, old - 1e-3 * step, rtol=0, atol=1e-10)
    close(before(obs), loc.detach())


def test_codes_differ_by_seed_and_leave_other_random_numbers_alone():
    obs, state = Observations({"x": torch.randn(6, 2)}), torch.get_rng_state()
    one, other = (
        baselines.autoencoder(obs, numbers("x", 2), 1, epochs=1, seed=seed) for seed in (0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(one(obs), other(obs))
    with pytest.raises(ValueError, match="two rows that hold x, got 1 of 1"):
        baselines.autoencoder(obs[:1], numbers("x", 2), 1, epochs=1)


def test_a_machine_reads_classes_as_indicators():
    obs = Observations({"y": torch.tensor([0, 1, 2, 0])})
    machine = baselines.rbm(obs, label(likelihoods.Categorical()), hidden=2, epochs=2, batch_size=2)
    linear = machine.networks["y"][1]
    assert linear.weight.shape == (2, 3)
    close(machine(obs), torch.sigmoid(linear.weight.T[obs["y"]] + linear.bias))


# ------------------------------------------------------------------ classifiers


FAST = {"epochs": 1, "batch_size": 700, "hidden": (4,)}


def test_more_than_a_thousand_rows_keep_their_order():
    x, y = torch.randn(2300, 2), torch.randint(3, (2300,))
    obs = Observations({"x": x, "y": y})
    declared = [numbers("x", 2), label(likelihoods.Categorical())]
    classifier = baselines.label_classifier(obs, declared, "y", "x", **FAST)
    logits = classifier.output(classifier.inner(x)).detach()
    close(classifier.probabilities(obs), logits.softmax(-1))
    close(classifier.log_prob(obs), logits.log_softmax(-1)[torch.arange(2300), y])
    assert torch.equal(classifier.predict(obs), logits.argmax(-1))
    assert classifier.predict(obs).dtype == torch.int64


def test_labels_of_any_shape_are_yes_from_a_half_on():
    x, y = torch.randn(40, 2), (torch.rand(40, 2, 2) < 0.5).double()
    obs = Observations({"x": x, "y": y})
    declared = [numbers("x", 2), label(likelihoods.MultiLabel(), (2, 2))]
    classifier = baselines.label_classifier(obs, declared, "y", "x", **FAST)
    logits = classifier.output(classifier.inner(x)).detach().reshape(40, 2, 2)
    close(classifier.probabilities(obs), logits.sigmoid())
    assert torch.equal(classifier.predict(obs), (logits > 0).double())
    expected = -F.binary_cross_entropy_with_logits(logits, y, reduction="none").sum((1, 2))
    close(classifier.log_prob(obs), expected)


def test_one_hot_labels_have_the_log_probability_of_their_class():
    x, y = torch.randn(20, 2), torch.eye(3)[torch.arange(20) % 3]
    obs = Observations({"x": x, "y": y})
    declared = [numbers("x", 2), label(likelihoods.Categorical())]
    classifier = baselines.label_classifier(obs, declared, "y", ["x"], **FAST)
    close(classifier.log_prob(obs), (classifier.probabilities(obs).log() * y).sum(-1))
    assert classifier.predict(obs).shape == (20,)


def test_a_matched_classifier_goes_through_a_linear_latent():
    obs = Observations({"x": torch.randn(20, 2), "y": torch.arange(20) % 3})
    declared = [numbers("x", 2), label(likelihoods.Categorical())]
    classifier = baselines.matched_classifier(
        obs, declared, "y", "x", 5, prior_hidden=(7,), hidden=(4,), dropout=0.0, epochs=1
    )
    before, latent, after = classifier.inner
    x = F.softplus(F.linear(obs["x"], before[0].weight, before[0].bias))
    z = F.linear(x, latent.weight, latent.bias)
    expected = F.softplus(F.linear(z, after[0].weight, after[0].bias))
    close(classifier.inner(obs["x"]), expected)
    assert latent.weight.shape == (5, 7)
    direct = baselines.matched_classifier(
        obs, declared, "y", "x", 5, prior_hidden=(), hidden=(), epochs=1
    )
    assert direct.output.weight.shape == (3, 5)


# ------------------------------------------------------------------ readers of features


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logistic_regression_is_scikit_learns(dtype):
    x, y = torch.randn(50, 3, dtype=dtype), torch.randint(2, (50,)) * 4
    found = baselines.logistic_regression(x.requires_grad_(), y, penalty=0.1)
    x = x.detach()
    machine = LogisticRegression(C=0.1, max_iter=1000).fit(x.numpy(), y.numpy())
    assert torch.equal(found.predict(x), torch.from_numpy(machine.predict(x.numpy())))
    assert abs(found.machine.coef_ - machine.coef_).max() == 0.0
    strong = baselines.logistic_regression(x, y, penalty=1e-6)
    assert abs(strong.machine.coef_).max() < 1e-3


def test_a_machine_that_reads_features_refuses_other_rows():
    x, y = torch.randn(6, 2), torch.arange(6) % 2
    with pytest.raises(ValueError, match=r"^classes: expected one class a row, \(6,\), got \(4,\)"):
        baselines.linear_svm(x, y[:4], x, y)
    found = baselines.linear_svm(x.float(), y, x.float(), 1 - y, penalties=[2])
    assert found.penalty == 2.0
    assert found.tune_error == (found.predict(x.float()) == y).double().mean().item()


@pytest.mark.parametrize(("least", "most"), [(-0.1, 1.0), (0.0, 1.5), (-2.0, 3.0)])
def test_a_machine_takes_values_from_0_to_1(least, most):
    x = torch.tensor([[0.0, 1.0], [least, most]])
    with pytest.raises(ValueError, match=f"values from 0 to 1, got {least:g} to {most:g}; scale"):
        baselines.rbm(Observations({"x": x}), numbers("x", 2), epochs=1)
    whole = Observations({"x": torch.tensor([[0.0, 1.0], [1.0, 0.0]])})
    assert baselines.rbm(whole, numbers("x", 2), hidden=3, epochs=1)(whole).shape == (2, 3)
