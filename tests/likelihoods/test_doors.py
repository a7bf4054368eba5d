"""What each likelihood says of data and of decoders that do not fit it."""

import pytest
import torch

from ppl_mm import likelihoods as kinds

HALF = torch.full((2, 3), 0.5)

REFUSED = {
    "bernoulli, grey": (kinds.Bernoulli(), HALF, "values 0 or 1, .*or use SoftBernoulli"),
    "bernoulli, integers": (
        kinds.Bernoulli(),
        torch.ones(2, 3, dtype=torch.int64),
        r"floating-point values.*obs\['m'\]\.to\(torch.get_default_dtype\(\)\)\)",
    ),
    "labels, grey": (kinds.MultiLabel(), HALF, "values 0 or 1"),
    "grey, pixels": (kinds.SoftBernoulli(), 255.0 * HALF, r"values in \[0, 1\].*Divide 8-bit"),
    "grey, negative": (kinds.SoftBernoulli(), -HALF, r"values from -0.5 to -0.5"),
    "continuous, pixels": (kinds.ContinuousBernoulli(), 3.0 * HALF, r"values in \[0, 1\]"),
    "counts, negative": (kinds.Poisson(), -torch.ones(2, 3), "from -1.0 to -1.0"),
    "counts, halves": (kinds.Poisson(), HALF, "whole numbers"),
    "counts of genes": (kinds.NegativeBinomial(), HALF, "whole numbers"),
    "counts with zeros": (kinds.ZeroInflatedNegativeBinomial(), -HALF, "whole numbers"),
    "class, negative": (
        kinds.Categorical(),
        torch.tensor([0, -1]),
        r"class indices of at least 0.*np.ma.masked_less\(x, 0\).*present=\{'m': x >= 0\}",
    ),
    "class, floats": (
        kinds.Categorical(),
        torch.tensor([0.0, 1.0]),
        r"integer class indices.*obs.replace\('m', obs\['m'\].long\(\)\)",
    ),
    "class, halves": (kinds.Categorical(), torch.tensor([0.5]), "They number classes or symbols"),
    "class, column": (
        kinds.Categorical(),
        torch.tensor([[0], [2]]),
        r"one-hot rows \(N, C\).*obs\['m'\]\[:, 0\]\)",
    ),
    "one-hot, two": (kinds.Categorical(), torch.ones(2, 3), "Each row needs exactly one 1"),
    "one-hot, none": (kinds.Categorical(), torch.zeros(2, 3), "a missing label is missing"),
    "one-hot, image": (kinds.Categorical(), torch.ones(2, 1, 1), r"one-hot rows \(N, C\)"),
    "symbols, flat": (kinds.Tokens(), torch.tensor([0, 1]), r"integers \(N, T\).*with padding"),
    "symbols, floats": (kinds.Tokens(), torch.zeros(2, 3), r"integers \(N, T\).*long\(\)"),
    "symbols, negative": (kinds.Tokens(), -torch.ones(2, 3).long(), "symbol indices of at least 0"),
    "positive, zero": (kinds.LogNormal(), torch.zeros(2, 3), "values above 0.*kind 'real'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_out_of_the_support_are_refused_with_the_remedy(case):
    likelihood, values, words = REFUSED[case]
    with pytest.raises(ValueError, match=f"modality 'm': expected .*{words}"):
        likelihood.check("m", values)


ACCEPTED = {
    "bernoulli": (kinds.Bernoulli(), torch.tensor([[0.0, 1.0]])),
    "labels": (kinds.MultiLabel(), torch.tensor([[0.0, 1.0]])),
    "grey": (kinds.SoftBernoulli(), torch.tensor([[0.0, 0.5, 1.0]])),
    "continuous": (kinds.ContinuousBernoulli(), torch.tensor([[0.0, 0.5, 1.0]])),
    "counts": (kinds.Poisson(), torch.tensor([[0.0, 3.0, 1e9]])),
    "integer counts": (kinds.NegativeBinomial(), torch.tensor([[0, 3]])),
    "counts with zeros": (kinds.ZeroInflatedNegativeBinomial(), torch.tensor([[0.0, 3.0]])),
    "classes": (kinds.Categorical(), torch.tensor([0, 5])),
    "one-hot": (kinds.Categorical(), torch.eye(3)),
    "one-hot integers": (kinds.Categorical(), torch.eye(3).long()),
    "symbols": (kinds.Tokens(padding=0), torch.tensor([[0, 5]])),
    "positive": (kinds.LogNormal(), torch.tensor([[1e-30, 1e30]])),
    "real": (kinds.Normal(), torch.tensor([[-1e30, 0.0]])),
    "laplace": (kinds.Laplace(), torch.tensor([[-1e30, 0.0]])),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_values_in_the_support_pass_and_so_do_no_rows(case):
    likelihood, values = ACCEPTED[case]
    likelihood.check("m", values)
    likelihood.check("m", values[:0])


# ---------------------------------------------------------------- decoders

ONE_TENSOR = [
    *(kinds.Bernoulli(), kinds.SoftBernoulli(), kinds.ContinuousBernoulli(), kinds.Poisson()),
    *(kinds.Categorical(), kinds.Tokens()),
]


@pytest.mark.parametrize("likelihood", ONE_TENSOR, ids=lambda k: type(k).__name__)
@pytest.mark.parametrize("output", [(HALF, HALF), [HALF], 0.5, None], ids=["2", "1", "x", "-"])
def test_a_likelihood_of_one_parameter_takes_one_tensor(likelihood, output):
    words = rf"{type(likelihood).__name__}: the decoder must return .* as one tensor, got"
    with pytest.raises(TypeError, match=words):
        likelihood(output)


PAIRS = [
    *(kinds.Normal(scale=None), kinds.Laplace(scale=None), kinds.LogNormal(scale=None)),
    kinds.NegativeBinomial(),
]


@pytest.mark.parametrize("likelihood", PAIRS, ids=lambda k: type(k).__name__)
@pytest.mark.parametrize("output", [HALF, (HALF,), (HALF, HALF, HALF)], ids=["one", "1", "3"])
def test_a_likelihood_of_two_parameters_takes_a_pair(likelihood, output):
    with pytest.raises(ValueError, match=r"the decoder must return a pair \("):
        likelihood(output)


@pytest.mark.parametrize("likelihood", PAIRS, ids=lambda k: type(k).__name__)
def test_a_pair_may_come_as_a_list_and_share_a_number(likelihood):
    first = likelihood([HALF, torch.full((2, 1), 2.0)])
    second = likelihood((HALF, 2.0))
    x = torch.ones(2, 3)
    assert (first.batch_shape, first.event_shape) == ((2,), (3,))
    torch.testing.assert_close(first.log_prob(x), second.log_prob(x))


@pytest.mark.parametrize("kind", [kinds.Normal, kinds.Laplace, kinds.LogNormal])
def test_a_fixed_scale_leaves_one_parameter_to_the_decoder(kind):
    with pytest.raises(
        ValueError, match=r"\(scale=2.0\): the decoder must return loc alone, got t"
    ):
        kind(scale=2.0)((HALF, HALF))
    for scale in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="scale"):
            kind(scale=scale)


def test_three_parameters_of_counts_with_zeros():
    likelihood = kinds.ZeroInflatedNegativeBinomial()
    with pytest.raises(ValueError, match=r"must return three tensors .*, got Tensor"):
        likelihood(HALF)
    with pytest.raises(ValueError, match=r"must return three tensors .*, got tuple"):
        likelihood((HALF, HALF))


def test_logits_have_the_dimensions_of_their_likelihood():
    with pytest.raises(ValueError, match=r"one event dimension \(C,\), got \(3, 4\)"):
        kinds.Categorical()(torch.zeros(2, 3, 4))
    with pytest.raises(
        ValueError, match=r"Tokens: expected logits \(..., T, V\), got \(2, 4\) with"
    ):
        kinds.Tokens()(torch.zeros(2, 4))


@pytest.mark.parametrize("likelihood", [*ONE_TENSOR[:4], kinds.Normal(scale=1.0)], ids=repr)
@pytest.mark.parametrize("dims", [0, 1, 2, 3])
def test_the_dimensions_after_the_batch_are_the_event(likelihood, dims):
    p = likelihood(torch.zeros(2, 3, 4), batch_dims=dims)
    assert (p.batch_shape, p.event_shape) == ((2, 3, 4)[:dims], (2, 3, 4)[dims:])


def test_one_hot_data_make_a_one_hot_distribution():
    logits = torch.randn(2, 3)
    classes, rows = kinds.Categorical()(logits), kinds.Categorical()(logits, event_shape=(3,))
    x = torch.tensor([0, 2])
    torch.testing.assert_close(rows.log_prob(torch.eye(3)[x]), classes.log_prob(x))
    torch.testing.assert_close(classes.log_prob(x), logits.log_softmax(-1)[[0, 1], x])


def test_likelihoods_with_equal_options_are_equal():
    assert kinds.Normal(scale=1) == kinds.Normal(scale=1.0)
    assert kinds.Normal(scale=1.0) != kinds.Normal(scale=2.0)
    assert kinds.Normal(scale=1.0) != kinds.Laplace(scale=1.0)
    assert hash(kinds.Tokens(padding=0)) == hash(kinds.Tokens(padding=0))
