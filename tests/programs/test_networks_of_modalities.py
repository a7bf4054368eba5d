"""The networks of a modality are tried on a few rows before any work that takes long."""

import pytest
import torch
from torch import nn

from ppl_mm import Modality, Observations, likelihoods
from ppl_mm.programs.features import ValueFeatures, example, one_hot, value_features
from ppl_mm.programs.networks import (
    check_decoder,
    check_encoder,
    check_trunk,
    decoder_of,
    encoder_of,
)

NORMAL = likelihoods.Normal(scale=1.0)
X = Observations({"x": torch.randn(5, 3)})


class Pair(nn.Linear):
    """An encoder: (loc, scale)."""

    def forward(self, x):
        loc = super().forward(x)
        return loc, torch.ones_like(loc)


def modality(likelihood=NORMAL, decoder=None, **options):
    return Modality("x", likelihood, lambda z: Pair(3, z), decoder or of_size(3), **options)


def of_size(*shape):
    """A decoder of values of this shape."""
    size = torch.Size(shape).numel()
    return lambda z: nn.Sequential(nn.Linear(z, size), nn.Unflatten(-1, shape or (1,)))


# ---------------------------------------------------------------- networks that are made


def test_networks_are_made_for_the_latent_size():
    assert encoder_of(modality(), 4).out_features == 4
    assert decoder_of(modality(), 4)[0].in_features == 4


@pytest.mark.parametrize("made", [None, lambda x: x, torch.zeros(1)], ids=["none", "function", "x"])
def test_what_is_made_is_a_module(made):
    wrong = Modality("x", NORMAL, lambda z: made, lambda z: made)
    kind = type(made).__name__
    with pytest.raises(TypeError, match=rf"'x': expected encoder\(size\) to return .*got {kind}"):
        encoder_of(wrong, 2)
    with pytest.raises(TypeError, match=r"'x': expected decoder\(size\) to return a torch.nn.Mod"):
        decoder_of(wrong, 2)


# ---------------------------------------------------------------- encoders and trunks


def test_a_proper_encoder_passes_and_stays_in_its_mode():
    encoder = nn.Sequential(nn.BatchNorm1d(3), Pair(3, 2))
    mean = encoder[0].running_mean.clone()
    check_encoder("x", encoder, 2, X)
    assert encoder[0].training
    assert torch.equal(encoder[0].running_mean, mean)


def test_an_encoder_is_not_run_for_rows_that_nobody_holds():
    class Never(nn.Module):
        out_features = 2

        def forward(self, *values):
            raise AssertionError("it was run")

    check_encoder("x", Never(), 2, Observations({"y": torch.zeros(2)}))
    check_trunk("x", Never(), Observations({"x": torch.zeros(2)}, {"x": torch.zeros(2).bool()}))


@pytest.mark.parametrize(
    ("output", "error", "words"),
    [
        (lambda x: x, TypeError, r"a pair \(loc, scale\), got Tensor"),
        (lambda x: (x,), TypeError, r"a pair \(loc, scale\), got tuple"),
        (lambda x: (x, "1"), TypeError, "scale as a tensor .* got str"),
        (lambda x: (x[:, :2], x[:, :2]), ValueError, r"loc of shape \(B, latent_dim\) = \(5, 3\)"),
        (lambda x: (x, -x.abs()), ValueError, "a standard deviation, above 0, got values from -"),
    ],
    ids=["tensor", "one", "text", "narrow", "negative"],
)
def test_an_encoder_that_is_none_is_told_by_its_modality(output, error, words):
    class Own(nn.Module):
        def forward(self, x):
            return output(x)

    with pytest.raises(error, match=f"modality 'x': .*{words}"):
        check_encoder("x", Own(), 3, X)


def test_rows_as_many_as_features_hide_no_mistake():
    """A network that sums over rows returns (Z,), which 8 rows of Z = 8 would not show."""

    class OverRows(nn.Module):
        def forward(self, x):
            return x.T @ x[:, :1].expand(-1, 8), torch.ones(())

    obs = Observations({"x": torch.randn(8, 8)})
    with pytest.raises(ValueError, match="modality 'x': expected the encoder's loc of shape"):
        check_encoder("x", OverRows(), 8, obs)


def test_a_trunk_has_the_width_that_it_says():
    check_trunk("x", nn.Linear(3, 4), X)
    wrong = nn.Linear(3, 4)
    wrong.out_features = 5
    with pytest.raises(ValueError, match=r"expected features .* = \(4, 5\), got \(4, 4\)"):
        check_trunk("x", wrong, X)


def test_an_error_inside_a_network_says_whose_it_is():
    with pytest.raises(RuntimeError) as caught:
        check_encoder("x", nn.Linear(7, 2), 2, X)
    assert "the encoder of modality 'x', given values of shape" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError) as caught:
        check_trunk("x", nn.Linear(7, 2), X)
    assert "the features of modality 'x', given values" in caught.value.__notes__[0]


# ---------------------------------------------------------------- decoders


def test_a_decoder_that_fits_the_values_passes():
    check_decoder("x", NORMAL, nn.Linear(2, 3), 2, X)
    check_decoder("x", NORMAL, nn.Linear(9, 9), 2, Observations({"y": torch.zeros(1)}))
    none = Observations({"x": torch.zeros(2, 5)}, {"x": torch.zeros(2, dtype=torch.bool)})
    check_decoder("x", NORMAL, nn.Linear(2, 3), 2, none)


@pytest.mark.parametrize(
    ("likelihood", "decoder", "values", "words"),
    [
        (NORMAL, nn.Linear(2, 4), torch.zeros(5, 3), r"event shape is \(4,\), the data's \(3,\)"),
        (likelihoods.Bernoulli(), nn.Linear(2, 3), torch.full((5, 3), 0.5), "values 0 or 1"),
        (
            likelihoods.Categorical(),
            nn.Linear(2, 3),
            torch.tensor([0, 3]),
            "in the likelihood's support, .*got values from 0 to 3. Compare the decoder's number",
        ),
        (
            likelihoods.Tokens(),
            nn.Sequential(nn.Linear(2, 8), nn.Unflatten(1, (2, 4))),
            torch.tensor([[0, 4]]),
            "Compare the decoder's number of classes",
        ),
    ],
    ids=["shape", "support", "classes", "symbols"],
)
def test_values_that_a_decoder_does_not_know_are_told(likelihood, decoder, values, words):
    with pytest.raises(ValueError, match=f"modality 'x': .*{words}"):
        check_decoder("x", likelihood, decoder, 2, Observations({"x": values}))


def test_a_decoder_that_fits_one_row_alone_is_told():
    class OneRow(nn.Module):
        def forward(self, z):
            return torch.zeros(1, 3)

    with pytest.raises(ValueError, match="modality 'x': the decoder's parameters have the shapes"):
        check_decoder("x", NORMAL, OneRow(), 2, X)


def test_missing_elements_need_independent_ones():
    elements = torch.rand(5, 3) < 0.5
    elements[0, 0] = False
    obs = Observations({"x": torch.zeros(5, 3)}, elements={"x": elements})
    check_decoder("x", NORMAL, nn.Linear(2, 3), 2, obs)
    reads = nn.Linear(2, 3)
    reads.reads_value = True
    with pytest.raises(ValueError, match="the decoder Linear, which reads values, does not fact"):
        check_decoder("x", NORMAL, reads, 2, obs)

    class Joint(likelihoods.Likelihood):
        def __call__(self, parameters, batch_dims=1, event_shape=None):
            raise AssertionError

    with pytest.raises(ValueError, match="the likelihood Joint does not factorise over elements"):
        check_decoder("x", Joint(), nn.Linear(2, 3), 2, obs)


# ---------------------------------------------------------------- features of values


def test_an_example_shows_what_values_look_like():
    p, draw = example(modality(), 2)
    assert draw.shape == (1, 3)
    assert p.event_shape == (3,)
    _, draw = example(modality(likelihoods.Categorical(), of_size(4)), 2)
    assert (draw.shape, draw.is_floating_point()) == ((1,), False)


@pytest.mark.parametrize(
    ("likelihood", "decoder", "values", "width"),
    [
        (NORMAL, of_size(2, 3), torch.randn(4, 2, 3), 6),
        (likelihoods.Bernoulli(), of_size(5), torch.ones(4, 5), 5),
        (likelihoods.Categorical(), of_size(3), torch.tensor([0, 2, 1, 1]), 3),
        (likelihoods.Tokens(), of_size(2, 4), torch.tensor([[0, 3]] * 4), 8),
        (likelihoods.Poisson(), of_size(2), torch.ones(4, 2), 2),
    ],
    ids=["numbers", "binary", "classes", "symbols", "counts"],
)
def test_values_are_their_own_features(likelihood, decoder, values, width):
    trunk = value_features(modality(likelihood, decoder), 2)
    assert trunk.out_features == width
    found = trunk(values)
    assert found.shape == (4, width)
    if values.is_floating_point():
        assert torch.equal(found, values.flatten(1))
    else:
        expected = nn.functional.one_hot(values, width // values[0].numel()).double()
        assert torch.equal(found, expected.flatten(1))


def test_one_hot_rows_are_features_themselves():
    trunk = value_features(modality(likelihoods.Categorical(), of_size(3)), 2)
    rows = torch.eye(3)
    assert torch.equal(trunk(rows), rows)
    trunk.check(rows)


def test_declared_features_come_first():
    trunk = nn.Linear(3, 7)
    assert value_features(modality(features=lambda: trunk), 2) is trunk


def test_classes_beyond_those_of_the_decoder_have_no_features():
    trunk = ValueFeatures("x", torch.Size(()), 3)
    trunk.check(torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"'x': expected classes or symbols below 3.*got 4"):
        trunk.check(torch.tensor([0, 4]))
    ValueFeatures("x", torch.Size((2,))).check(torch.tensor([[9, 9]]))


def test_one_hot_is_torchs_under_any_dimensions():
    classes = torch.tensor([[0, 2], [1, 1]])
    assert torch.equal(one_hot(classes, 3), nn.functional.one_hot(classes, 3))
    assert one_hot(torch.tensor(1, dtype=torch.uint8), 2).tolist() == [0, 1]
