"""From a decoder's output to the distribution of its rows, and what does not fit on the way."""

from collections import namedtuple

import pyro.distributions as dist
import pytest
import torch
from torch import nn

from ppl_mm import likelihoods as kinds
from ppl_mm.likelihoods.decoder import check_factorises, of_decoder

close = torch.testing.assert_close
ROWS = torch.Size([6])


class Mixture(kinds.Likelihood):
    """A likelihood of the user's own, whose elements depend on each other."""

    def __call__(self, parameters, batch_dims=1, event_shape=None):
        loc, scale = parameters["loc"], parameters["scale"]
        return dist.Normal(loc, scale).to_event(loc.dim() - batch_dims)


class Alone(kinds.Likelihood):
    """One distribution for all rows, which is a mistake."""

    def __call__(self, parameters, batch_dims=1, event_shape=None):
        return dist.Normal(parameters.sum(0), 1.0).to_event(1)


class Broken(kinds.Likelihood):
    def __call__(self, parameters, batch_dims=1, event_shape=None):
        return {}[len(parameters)]


# ------------------------------------------------------------------ rows and particles


@pytest.mark.parametrize("batch", [(6,), (2, 3), (3, 1, 2)], ids=str)
def test_flat_rows_take_the_batch_shape_in_their_order(batch):
    loc, scale = torch.randn(6, 4), torch.rand(6, 4) + 0.5
    x = torch.randn(6, 4)
    flat = dist.Normal(loc, scale).log_prob(x).sum(-1)
    for likelihood, output in (
        (kinds.Normal(), (loc, scale)),
        (Mixture(), {"loc": loc, "scale": scale}),
    ):
        p = of_decoder(likelihood, output, torch.Size(batch), (4,))
        assert (p.batch_shape, p.event_shape) == (batch, (4,))
        close(p.log_prob(x.reshape(*batch, 4)), flat.reshape(batch))


@pytest.mark.parametrize("shared", [0.5, torch.tensor(0.5)], ids=["number", "tensor"])
def test_numbers_and_tensors_without_dimensions_are_of_all_rows(shared):
    loc, x = torch.randn(6, 4), torch.randn(2, 3, 4)
    p = of_decoder(Mixture(), {"loc": loc, "scale": shared}, torch.Size([2, 3]), (4,))
    close(p.log_prob(x), dist.Normal(loc.reshape(2, 3, 4), 0.5).log_prob(x).sum(-1))


def test_a_named_tuple_and_a_list_are_as_a_pair():
    Pair = namedtuple("Pair", "loc scale")
    loc, scale, x = torch.randn(6, 4), torch.rand(6, 4) + 0.5, torch.randn(6, 4)
    expected = of_decoder(kinds.Normal(), (loc, scale), ROWS).log_prob(x)
    for output in (Pair(loc, scale), [loc, scale]):
        close(of_decoder(kinds.Normal(), output, ROWS, (4,)).log_prob(x), expected)


def test_without_data_any_event_is_right():
    assert of_decoder(kinds.Normal(1.0), torch.zeros(6, 2, 5), ROWS).event_shape == (2, 5)
    assert of_decoder(kinds.Categorical(), torch.zeros(6, 5), ROWS).event_shape == ()
    assert of_decoder(kinds.Categorical(), torch.zeros(6, 5), ROWS, (5,)).event_shape == (5,)
    assert of_decoder(kinds.Tokens(), torch.zeros(6, 4, 5), ROWS, (4,)).event_shape == (4,)


# ------------------------------------------------------------------ what does not fit

WRONG = {
    "event": (
        *(kinds.Normal(1.0), torch.zeros(6, 4), ValueError),
        r"^modality 'm m': the decoder's event shape is \(4,\), the data's \(3,\). Change",
    ),
    "rows": (
        *(Mixture(), {"loc": torch.zeros(5, 3), "scale": 1.0}, ValueError),
        r"^modality 'm m': Mixture: the decoder returned a tensor of shape \(5, 3\) for B = 6",
    ),
    "batch": (
        *(Alone(), torch.zeros(6, 3), ValueError),
        r"^modality 'm m': Alone: expected one distribution a row, batch shape \(6,\), got \(\)",
    ),
    "text": (
        *(Mixture(), {"loc": torch.zeros(6, 3), "scale": "one"}, TypeError),
        "^modality 'm m': expected the decoder to return tensors or numbers, got str",
    ),
    "text, elementwise": (
        *(kinds.Normal(), (torch.zeros(6, 3), "one"), TypeError),
        "^modality 'm m': expected the decoder to return tensors or numbers, got str",
    ),
    "several": (
        *(kinds.Bernoulli(), (torch.zeros(6, 3), 1.0), TypeError),
        "^modality 'm m': Bernoulli: the decoder must return logits as one tensor, got tuple",
    ),
    "one": (
        *(kinds.Normal(), torch.zeros(6, 3), ValueError),
        r"^modality 'm m': Normal\(scale=None\): the decoder must return a pair",
    ),
    "constraint": (
        *(kinds.Normal(), (torch.zeros(6, 3), -torch.ones(6, 3)), ValueError),
        "^modality 'm m': .*scale",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_errors_name_the_modality(what):
    likelihood, output, kind, message = WRONG[what]
    with pytest.raises(kind, match=message) as caught:
        of_decoder(likelihood, output, ROWS, (3,), "m m")
    assert type(caught.value) is kind
    with pytest.raises(kind) as without:
        of_decoder(likelihood, output, ROWS, (3,))
    assert str(caught.value) == f"modality 'm m': {without.value}"


def test_another_error_is_left_as_it_is_and_told_the_shapes():
    with pytest.raises(KeyError) as caught:
        of_decoder(Broken(), (torch.zeros(6, 3), 2.0), ROWS, (3,), "m")
    note = "modality 'm': the decoder's parameters have the shapes (6, 3), float."
    assert caught.value.__notes__ == [note]


# ------------------------------------------------------------------ elements


class Reads(nn.Module):
    def __init__(self, value, elements):
        super().__init__()
        self.reads_value, self.reads_elements = value, elements


@pytest.mark.parametrize(
    ("likelihood", "decoder", "message"),
    [
        (kinds.Tokens(), nn.Linear(1, 1), "the likelihood Tokens does not factorise"),
        (kinds.Categorical(), nn.Linear(1, 1), "the likelihood Categorical does not"),
        (Mixture(), nn.Linear(1, 1), "the likelihood Mixture does not factorise"),
        (kinds.Normal(), Reads(True, False), "the decoder Reads, which reads values, does not"),
    ],
)
def test_elements_of_what_does_not_factorise_cannot_be_missing(likelihood, decoder, message):
    with pytest.raises(ValueError, match=f"modality 'm': elements are missing .*{message}"):
        check_factorises("m", likelihood, decoder)


@pytest.mark.parametrize("decoder", [nn.Linear(1, 1), Reads(True, True), Reads(False, False)])
def test_elements_of_what_factorises_may_be_missing(decoder):
    for name in kinds.__all__:
        if name not in ("Likelihood", "Categorical", "Tokens"):
            check_factorises("m", getattr(kinds, name)(), decoder)


# ------------------------------------------------------------------ dtypes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_in_half_precision_are_scored_in_single(dtype):
    half = torch.tensor([[0.3, 1.7]], dtype=dtype)
    single = half.float()
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float32)
    outputs = {
        kinds.Bernoulli(): lambda t: t,
        kinds.SoftBernoulli(): lambda t: t,
        kinds.ContinuousBernoulli(): lambda t: t,
        kinds.Poisson(): lambda t: t,
        kinds.NegativeBinomial(): lambda t: (t, t),
        kinds.ZeroInflatedNegativeBinomial(): lambda t: (t, t, t),
        kinds.Normal(): lambda t: (t, t),
        kinds.Normal(scale=0.3): lambda t: t,
        kinds.Laplace(): lambda t: t,
        kinds.Laplace(scale=None): lambda t: (t, t),
    }
    for likelihood, of in outputs.items():
        found = likelihood(of(half)).log_prob(x)
        assert found.dtype == torch.float32
        assert torch.equal(found, likelihood(of(single)).log_prob(x))
    classes = torch.tensor([1])
    found = kinds.Categorical()(half).log_prob(classes)
    assert torch.equal(found, kinds.Categorical()(single).log_prob(classes))
    found = kinds.Tokens()(half[:, None]).log_prob(classes[:, None])
    assert torch.equal(found, kinds.Categorical()(single).log_prob(classes))
    found = kinds.LogNormal()((half, half)).log_prob(x + 1)
    assert torch.equal(found, kinds.LogNormal()((single, single)).log_prob(x + 1))


def test_symbols_in_a_grid_are_one_event():
    logits, x = torch.randn(3, 2, 4, 5), torch.randint(5, (3, 2, 4))
    each = logits.log_softmax(-1).gather(-1, x[..., None])[..., 0]
    p = kinds.Tokens()(logits)
    assert (p.batch_shape, p.event_shape) == ((3,), (2, 4))
    close(p.log_prob(x), each.sum((1, 2)))
    padded = kinds.Tokens(padding=0)(logits)
    close(padded.log_prob(x), torch.where(x == 0, 0.0, each).sum((1, 2)))
    close(kinds.Tokens(padding=0)(logits, 2).log_prob(x), torch.where(x == 0, 0.0, each).sum(2))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_classes_and_symbols_are_integers_of_any_size(dtype):
    kinds.Categorical().check("m", torch.tensor([0, 2], dtype=dtype))
    kinds.Tokens().check("m", torch.tensor([[0, 2]], dtype=dtype))
    kinds.Poisson().check("m", torch.tensor([[0, 2]], dtype=dtype))


def test_yes_and_no_are_no_classes_and_the_remedy_is_a_conversion():
    yes = torch.tensor([True, False])
    with pytest.raises(ValueError, match=r"integer class indices, got torch.bool .*\.long\(\)\)"):
        kinds.Categorical().check("m", yes)
    with pytest.raises(ValueError, match=r"integers \(N, T\), got torch.bool .*\.long\(\)\)"):
        kinds.Tokens().check("m", yes[:, None])
    with pytest.raises(ValueError, match=r"floating-point values, got torch.bool"):
        kinds.Bernoulli().check("m", yes[:, None])
    with pytest.raises(ValueError, match=r"with values from 0.25 to 3.0\. They number"):
        kinds.Categorical().check("m", torch.tensor([3.0, 0.25]))
