"""What would depend on the number of rows is refused for every number, by the modality's name."""

from math import prod

import pyro.distributions as dist
import pytest
import torch
from lean_decoders import Decoder, From, StudentT, modality, whole
from pyro.infer import Trace_ELBO
from torch import nn

from ppl_mm import Observations, guides, likelihoods, models, systems
from ppl_mm.evaluation import elbo

Z = 2
ROWS = range(1, 13)


REFUSED = {
    "rows beside a dimension": ((4, 5), (whole((4, 5)), ("rows", 5)), r"\({b}, 4, 5\), \({b}, 5\)"),
    "rows alone": ((4,), (whole((4,)), ("rows",)), r"\({b}, 4\), \({b},\)"),
    "a last dimension of 1": ((4, 1), (whole((4, 1)), ("rows", 1)), r"\({b}, 1\)"),
    "shared in parts": ((4, 5), (whole((4, 5)), (5,)), r"\({b}, 4, 5\), \(5,\)"),
    "shared, with a dimension of 1": ((4, 5), (whole((4, 5)), (4, 1)), r"\(4, 1\)"),
    "another size": ((4, 5), (whole((4, 5)), ("rows", 3, 1)), r"\({b}, 3, 1\)"),
    "all smaller": (
        (4, 5),
        (("rows", 1), ("rows", 1)),
        r"event shape is \(1,\), the data's \(4, 5\)",
    ),
    "all shared": ((4, 5), ((4, 5), ()), r"\(4, 5\), \(\)"),
    "loc shared, scale a row": ((4,), ((4,), ("rows", 1)), r"\(4,\), \({b}, 1\)"),
    "numbers": ((4,), (0.0, 1.0), "returned no tensor"),
    "a column for scalars": (
        (),
        (("rows", 1), ("rows", 1)),
        r"event shape is \(1,\), the data's \(\)",
    ),
    "a column beside scalars": (
        (),
        (("rows",), ("rows", 1)),
        r"event shape is \(1,\), the data's \(\)",
    ),
}


@pytest.mark.parametrize(("event", "shapes", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("likelihood", [likelihoods.Normal(None), likelihoods.Laplace(None)])
def test_what_could_depend_on_the_number_of_rows_is_refused_for_all(
    likelihood, event, shapes, message
):
    both = dict(zip(("loc", "scale"), shapes, strict=True))
    system = systems.vae([modality("x", event, lambda d: Decoder(d, event, both), likelihood)], Z)
    for rows in ROWS:
        obs = Observations({"x": torch.randn(rows, *event)})
        with pytest.raises(ValueError, match="modality 'x': the decoder") as caught:
            elbo(system, obs)
        pattern = message.replace("{b}", r"\d+")
        caught.match(pattern)
        if "event shape" not in message:
            whole_shape = ", ".join(["B", *map(str, event)])
            caught.match(rf"Expected one parameter at least of shape \({whole_shape}")


@pytest.mark.parametrize(
    ("likelihood", "outputs", "event"),
    [
        (likelihoods.Bernoulli(), (1,), (4, 5)),
        (likelihoods.Bernoulli(), (5,), (4, 5)),
        (likelihoods.Poisson(), (), (4,)),
        (likelihoods.Normal(1.0), (1,), (4,)),
        (likelihoods.Tokens(), (1, 6), (4,)),
        (likelihoods.Tokens(), (6,), (4,)),
    ],
)
def test_one_parameter_alone_says_the_whole_event(likelihood, outputs, event):
    """A model draws without data: the decoder must say what a value looks like."""

    class Logits(nn.Linear):
        def forward(self, z):
            return super().forward(z).reshape(len(z), *outputs)

    given = modality("x", event, lambda d: Logits(d, prod(outputs)), likelihood)
    model = models.SharedLatent([given], Z)
    integers = isinstance(likelihood, likelihoods.Tokens)
    for rows in ROWS:
        x = torch.zeros(rows, *event)
        with pytest.raises(ValueError, match="modality 'x': "):
            model.check(Observations({"x": x.long() if integers else x}))


def run(decoder, likelihood=likelihoods.Normal(None), rows=4, event=(4,)):  # noqa: B008
    """Inside a run, without the checks at a public function's door."""
    model = models.SharedLatent([modality("x", event, lambda d: decoder, likelihood)], Z)
    guide = guides.ProductOfExperts(model.modalities, Z)
    return Trace_ELBO().loss(model, guide, Observations({"x": torch.zeros(rows, *event)}))


@pytest.mark.parametrize(
    ("of", "error", "message"),
    [
        (lambda z: (torch.zeros(3, 4), 1.0), ValueError, r"\(3, 4\), float for B = 4\. Expected"),
        (lambda z: (z.new_zeros(len(z) // 2, 4), 1.0), ValueError, r"\(2, 4\), float for B = 4"),
        (lambda z: (z.new_zeros(len(z), 4), None), TypeError, "tensors or numbers, got NoneType"),
        (lambda z: (z.new_zeros(len(z), 3), 1.0), ValueError, r"event shape is \(3,\), the data's"),
        (lambda z: z.new_zeros(len(z), 4), ValueError, r"must return a pair \(loc, scale\)"),
        (lambda z: (), ValueError, "returned no tensor"),
        (lambda z: (1.0, 1.0, 1.0), ValueError, "returned no tensor"),
    ],
)
def test_errors_inside_a_run_name_the_modality(of, error, message):
    with pytest.raises(error, match="modality 'x': ") as caught:
        run(From(of))
    caught.match(message)


def test_errors_of_networks_and_likelihoods_inside_a_run_say_whose_they_are():
    with pytest.raises(RuntimeError) as caught:
        run(nn.Linear(7, 4))
    assert "decoder of modality 'x', given z of shape (4, 2)" in caught.value.__notes__[0]
    system = systems.vae([modality("x", (4,), lambda d: nn.Linear(7, 4))], Z)
    with pytest.raises(ValueError, match="expected shape") as caught:
        system.guide(Observations({"x": torch.zeros(3, 5)}))
    assert "network of modality 'x', given values of shape (3, 5)" in caught.value.__notes__[0]


class Plain(StudentT):
    """A likelihood that does not say that its parameters are those of elements."""

    elementwise = False


@pytest.mark.parametrize("second", [("rows", 1), (4, 5)], ids=str)
def test_a_likelihood_that_does_not_say_so_is_told(second):
    shapes = {"loc": whole((4, 5)), "scale": second, "df": 3.0}
    given = modality("x", (4, 5), lambda d: Decoder(d, (4, 5), shapes), Plain())
    model = models.SharedLatent([given], Z)
    for rows in ROWS:
        with pytest.raises(ValueError, match="modality 'x': Plain"):
            model.check(Observations({"x": torch.zeros(rows, 4, 5)}))


def test_a_likelihood_that_forgets_its_event_is_told():
    class Forgetful(likelihoods.Likelihood):
        def __call__(self, parameters, batch_dims=1, event_shape=None):
            return dist.Normal(parameters, 1.0).to_event(1)

    with pytest.raises(ValueError, match=r"modality 'x': the decoder's event shape is \(5,\)"):
        run(From(lambda z: z.new_zeros(len(z), 4, 5)), Forgetful(), event=(4, 5))
