"""Several trunks in one encoder, against the layers applied by hand; covariates beside rows."""

import pytest
import torch
from torch import nn

from ppl_mm.networks.covariates import beside, checked_sizes
from ppl_mm.networks.joint import JointEncoder
from ppl_mm.networks.layers import draw_normal


def encoder(hidden=(6,), **options):
    trunks = {"a": nn.Linear(2, 3), "b": nn.Linear(1, 4)}
    return JointEncoder(trunks, 2, hidden, "relu", "exp", **options)


A, B = (torch.randn(5, n, dtype=torch.float64) for n in (2, 1))


@pytest.mark.parametrize("hidden", [(), (6,), (6, 4)], ids=str)
def test_the_trunks_features_side_by_side_go_through_the_layers(hidden):
    network = encoder(hidden)
    x = torch.cat([network.trunks["a"](A), network.trunks["b"](B)], -1)
    for layer in network.joined:
        x = layer(x)
    loc, log_variance = network.head(x).chunk(2, -1)
    found = network(A, B)
    torch.testing.assert_close(found[0], loc)
    torch.testing.assert_close(found[1], (0.5 * log_variance).exp())
    assert network.head.in_features == (7, *hidden)[-1]


def test_late_features_have_columns_of_their_own():
    network = encoder(late=2)
    features, late = torch.randn(5, 7), torch.randn(5, 2)
    first = network.joined[0]
    x = torch.relu(features @ first.weight.T + first.bias + late @ network.late.weight.T)
    loc, _ = network.head(x).chunk(2, -1)
    torch.testing.assert_close(network.join(features, late)[0], loc)


def test_late_zeros_change_no_bit():
    network = encoder(late=2)
    features = torch.randn(5, 7)
    for found, without in zip(
        network.join(features, torch.zeros(5, 2)), network.join(features), strict=True
    ):
        assert torch.equal(found, without)


@pytest.mark.parametrize("hidden", [(), (6,)], ids=str)
def test_late_weights_start_as_those_of_one_layer_of_all(hidden):
    network = encoder(hidden, late=50)
    bound = (7 + 50) ** -0.5
    size = network.late.weight.abs()
    assert bool((size <= bound).all())
    assert size.max() > 0.9 * bound


def test_join_takes_any_leading_dimensions():
    network, features = encoder(), torch.randn(3, 4, 7)
    loc, scale = network.join(features)
    assert loc.shape == scale.shape == (3, 4, 2)
    torch.testing.assert_close(loc[1], network.join(features[1])[0])


def test_half_precision_ends_in_single():
    network = encoder().to(torch.bfloat16)
    loc, scale = network(A.bfloat16(), B.bfloat16())
    assert loc.dtype == scale.dtype == torch.float32


class Looks(nn.Linear):
    """A trunk that is told which elements are observed."""

    reads_elements = True

    def forward(self, x, elements=None):
        return super().forward(x if elements is None else torch.where(elements, x, 0.0))


class ByAge(nn.Linear):
    """A trunk that reads a covariate."""

    reads_covariates = ("age",)

    def forward(self, x, covariates):
        return super().forward(x) + covariates["age"][:, None]


def test_masks_of_elements_go_to_the_trunks_that_ask():
    torch.manual_seed(0)
    plain = {"a": nn.Linear(2, 3), "b": Looks(1, 4)}
    network = JointEncoder(plain, 2, (), "relu", "exp")
    assert network.reads_elements
    assert not encoder().reads_elements
    mask = torch.tensor([True, False, True, True, False])[:, None]
    loc, _ = network(A, B, torch.zeros(5, 2, dtype=torch.bool), mask)
    expected, _ = network(A, B * mask)
    torch.testing.assert_close(loc, expected)


def test_covariates_go_to_the_trunks_that_read_them():
    network = JointEncoder({"a": nn.Linear(2, 3), "b": ByAge(1, 4)}, 2, (), "relu", "exp")
    assert network.reads_covariates == ("age",)
    assert encoder().reads_covariates == ()
    given = {"age": torch.arange(5.0), "batch": torch.zeros(5)}
    features = torch.cat([network.trunks["a"](A), network.trunks["b"](B, covariates=given)], -1)
    torch.testing.assert_close(network(A, B, covariates=given)[0], network.join(features)[0])
    with pytest.raises(ValueError, match="covariate 'age': ByAge reads it, and none is given"):
        network(A, B)


def test_the_number_of_arguments_is_that_of_the_trunks():
    with pytest.raises(ValueError, match="zip"):
        encoder()(A)


# ---------------------------------------------------------------- covariates beside rows


def test_classes_become_indicators_and_columns_stay():
    rows = torch.zeros(2, 1)
    found = beside(
        rows,
        {"batch": 3, "age": 1, "both": 2},
        {
            "batch": torch.tensor([2, 0]),
            "age": torch.tensor([[0.5], [1.5]]),
            "both": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        },
        (2,),
    )
    assert found.tolist() == [
        [0.0, 0.0, 0.0, 1.0, 0.5, 1.0, 2.0],
        [0.0, 1.0, 0.0, 0.0, 1.5, 3.0, 4.0],
    ]


def test_rows_without_covariates_are_themselves():
    rows = torch.randn(2, 3)
    assert torch.equal(beside(rows, {}, None, (2,)), rows)


def test_leading_dimensions_are_flattened_with_the_rows():
    batch = torch.tensor([[0, 1, 2], [2, 1, 0]])
    found = beside(torch.zeros(6, 1), {"batch": 3}, {"batch": batch}, (2, 3))
    assert found[:, 1:].argmax(-1).tolist() == batch.flatten().tolist()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (None, ValueError, "the network reads it, and it is not given"),
        ({}, ValueError, "the network reads it, and it is not given"),
        ({"batch": torch.tensor([0, 3])}, ValueError, "knows the classes 0 to 2, got 3"),
        ({"batch": torch.zeros(2, 2)}, ValueError, "reads 3 columns, got 2"),
    ],
    ids=["none", "empty", "class", "columns"],
)
def test_covariates_that_do_not_fit_are_named(given, error, words):
    with pytest.raises(error, match=f"covariate 'batch': .*{words}"):
        beside(torch.zeros(2, 1), {"batch": 3}, given, (2,))


def test_sizes_of_covariates_are_at_least_one():
    assert checked_sizes("MLP", None) == {}
    assert checked_sizes("MLP", {"batch": 1}) == {"batch": 1}
    with pytest.raises(ValueError, match="MLP: covariate 'batch': expected at least 1 class"):
        checked_sizes("MLP", {"batch": 0})


# ---------------------------------------------------------------- initial weights


def test_weights_are_drawn_with_the_scale_and_biases_are_zero():
    network = nn.Sequential(
        nn.Linear(200, 200), nn.Conv1d(30, 30, 5, bias=False), nn.BatchNorm1d(3)
    )
    draw_normal(network, 0.3)
    for module in network[:2]:
        n = module.weight.numel()  # 40,000 and 4,500: the error of the deviation is 0.3 / sqrt(2 n)
        assert abs(module.weight.std().item() - 0.3) < 5 * 0.3 / (2 * n) ** 0.5
    assert not network[0].bias.any()
    assert torch.equal(network[2].weight, torch.ones(3))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_the_scale_of_weights_is_above_zero(scale):
    with pytest.raises(ValueError, match="scale of the weights: expected a number above 0"):
        draw_normal(nn.Linear(1, 1), scale)
