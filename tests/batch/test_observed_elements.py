"""The log-probability of the elements that are observed is a marginal, by closed forms."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from ppl_mm import Observations
from ppl_mm.batch.observed_elements import (
    SCORES_ELEMENTS,
    ObservedElements,
    OfElements,
    elements_of,
    refuse_holes,
)
from ppl_mm.batch.plate import ROWS, Plate, of_rows

HELD = torch.tensor([[True, False, True], [False, False, True]])
LOC = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.5, 0.0]])
X = torch.tensor([[0.5, 9.0, -2.0], [7.0, 7.0, 1.0]])

FAMILIES = {
    "normal": (dist.Normal(LOC, 2.0), X),
    "laplace": (dist.Laplace(LOC, 0.5), X),
    "bernoulli": (dist.Bernoulli(logits=LOC), (X > 1).double()),
    "poisson": (dist.Poisson(LOC.exp()), X.abs().round()),
    "log-normal": (dist.LogNormal(LOC, 1.0), X.abs() + 0.1),
    "beta": (dist.Beta(LOC.exp(), 2.0), X.abs() / 10.0),
    "categorical": (dist.Categorical(logits=torch.randn(2, 3, 4)), torch.tensor([[3, 0, 1]] * 2)),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_log_probability_is_the_sum_over_observed_elements(name):
    base, x = FAMILIES[name]
    p = OfElements(base.to_event(1), HELD)
    expected = (base.log_prob(x) * HELD).sum(-1)
    torch.testing.assert_close(p.log_prob(x), expected)
    all_held = OfElements(base.to_event(1), torch.ones_like(HELD))
    torch.testing.assert_close(all_held.log_prob(x), base.to_event(1).log_prob(x))
    assert not OfElements(base.to_event(1), torch.zeros_like(HELD)).log_prob(x).any()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("junk", [0, -3])
def test_what_stands_in_a_hole_changes_nothing(name, junk):
    base, x = FAMILIES[name]
    p = OfElements(base.to_event(1), HELD)
    other = torch.where(HELD, x, torch.tensor(junk, dtype=x.dtype))
    assert torch.equal(p.log_prob(other), p.log_prob(x))


def test_no_gradient_reaches_a_parameter_of_a_hole():
    loc = LOC.clone().requires_grad_()
    x = torch.where(HELD, X, torch.nan)
    OfElements(dist.Normal(loc, 1.0).to_event(1), HELD).log_prob(x).sum().backward()
    torch.testing.assert_close(loc.grad, torch.where(HELD, X - LOC, 0.0))


def test_draws_are_of_all_elements_with_their_gradient():
    loc = LOC.clone().requires_grad_()
    p = OfElements(dist.Normal(loc, 1.0).to_event(1), HELD)
    assert p.has_rsample
    assert p.rsample((5,)).shape == (5, 2, 3)
    assert p.rsample().requires_grad
    assert not p.sample().requires_grad
    counts = OfElements(dist.Poisson(LOC.exp()).to_event(1), HELD)
    assert not counts.has_rsample
    assert counts.support.base_constraint is dist.Poisson.support


def test_more_batch_dimensions_keep_the_holes():
    base = dist.Normal(LOC, 1.0).to_event(1)
    wide = OfElements(base, HELD).expand((4, 2))
    assert (wide.batch_shape, wide.event_shape) == ((4, 2), (3,))
    torch.testing.assert_close(wide.log_prob(X), OfElements(base, HELD).log_prob(X).expand(4, 2))


def test_elements_of_events_with_more_dimensions():
    base = dist.Normal(torch.zeros(2, 3, 4), 1.0)
    held = torch.rand(2, 3, 4) < 0.5
    x = torch.randn(2, 3, 4)
    for p in (base.to_event(2), base.to_event(1).to_event(1)):
        torch.testing.assert_close(
            OfElements(p, held).log_prob(x), (base.log_prob(x) * held).sum((-1, -2))
        )


def test_which_distributions_have_elements():
    base = dist.Normal(LOC, 1.0)
    assert elements_of(base.to_event(1)).batch_shape == (2, 3)
    assert elements_of(base) is None
    assert elements_of(dist.MultivariateNormal(torch.zeros(2), torch.eye(2))) is None
    assert elements_of(dist.OneHotCategorical(logits=LOC)) is None
    assert elements_of(dist.Dirichlet(torch.ones(2, 3)).to_event(1)) is None


# ---------------------------------------------------------------- in programs


def program(fn, where=True, x=X):
    pyro.sample("x", fn.mask(where) if where is not True else fn, obs=x)
    pyro.sample("z", dist.Normal(0.0, 1.0))


def score(*args, **options):
    with ObservedElements({"x": HELD}):
        trace = poutine.trace(program).get_trace(*args, **options)
    trace.compute_log_prob()
    return trace


def test_observed_sites_score_their_elements_alone():
    trace = score(dist.Normal(LOC, 1.0).to_event(1))
    expected = (dist.Normal(LOC, 1.0).log_prob(X) * HELD).sum(-1)
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], expected)
    assert trace.nodes["x"]["infer"][SCORES_ELEMENTS]
    assert SCORES_ELEMENTS not in trace.nodes["z"]["infer"]


def test_a_mask_of_rows_stays_around_the_elements():
    rows = torch.tensor([False, True])
    trace = score(dist.Normal(LOC, 1.0).to_event(1), rows)
    expected = (dist.Normal(LOC, 1.0).log_prob(X) * HELD).sum(-1) * rows
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], expected)


@pytest.mark.parametrize(
    "fn",
    [dist.MultivariateNormal(LOC, torch.eye(3)), dist.OneHotCategorical(logits=LOC)],
    ids=["normal", "categorical"],
)
def test_dependent_elements_have_no_marginal_here(fn):
    with pytest.raises(
        ValueError, match=r"modality 'x': elements are missing .*not factorise over"
    ):
        score(fn, x=None if fn.event_shape == () else torch.eye(3)[:2])


def test_the_refusal_names_what_does_not_factorise_and_two_remedies():
    error = refuse_holes("x", "the decoder Text")
    assert isinstance(error, ValueError)
    for words in ("modality 'x'", "the decoder Text", "present={'x': elements", "of its own"):
        assert words in str(error)


def test_rows_with_holes_open_the_handler_by_themselves():
    obs = Observations({"x": X}, elements={"x": HELD})

    def model(rows):
        with rows.plates():
            x, scored = rows.filled("x")
            pyro.sample("x", dist.Normal(LOC, 1.0).to_event(1).mask(scored), obs=x)

    trace = poutine.trace(model).get_trace(obs)
    trace.compute_log_prob()
    expected = (dist.Normal(LOC, 1.0).log_prob(X) * HELD).sum(-1)
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], expected)


# ---------------------------------------------------------------- plates


def test_a_plate_holds_all_its_indices_and_leaves_no_site():
    def model():
        with Plate("strata", 2, dim=-2), Plate(ROWS, 3, dim=-1):
            pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("shared", dist.Normal(0.0, 1.0))

    trace = poutine.trace(model).get_trace()
    assert list(trace.stochastic_nodes) == ["z", "shared"]
    assert [n for n in trace.nodes if n not in ("_INPUT", "_RETURN")] == ["z", "shared"]
    assert trace.nodes["z"]["value"].shape == (2, 3)
    assert of_rows(trace.nodes["z"])
    assert not of_rows(trace.nodes["shared"])
    frames = {f.name: (f.dim, f.size) for f in trace.nodes["z"]["cond_indep_stack"]}
    assert frames == {"strata": (-2, 2), ROWS: (-1, 3)}


def test_a_plate_scales_nothing():
    def model():
        with Plate(ROWS, 3, dim=-1):
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=torch.zeros(3))

    assert poutine.trace(model).get_trace().nodes["x"]["scale"] == 1.0
