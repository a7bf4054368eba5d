"""What ``fit`` refuses before its first step, and what it warns of."""

import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of
from linear_gaussian import LinearGaussian
from pyro.infer import Trace_ELBO
from torch import nn
from toy_runs import QUIET, rows, toy

from ppl_mm import Observations, System, fit, guides, objectives
from ppl_mm.data import MemoryMapped, streams
from ppl_mm.objectives import Reweighted, subset_terms
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.training import Callback


def refused(system, data, error=ValueError, **options):
    """The message, and that nothing has changed."""
    before = {n: x.clone() for n, x in system.state_dict().items()}
    with pytest.raises(error) as caught:
        fit(system, data, **{"epochs": 1, **options}, **QUIET)
    assert all(torch.equal(x, before[n]) for n, x in system.state_dict().items())
    return str(caught.value)


# ------------------------------------------------------------------ optimisers


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        (lambda parameters: list(parameters), "to a torch optimiser, got one to list"),
        (lambda parameters: None, "to a torch optimiser, got one to NoneType"),
        (
            lambda parameters: pyro.optim.Adam({"lr": 1e-3}),
            "got one to PyroOptim; Pyro's optimisers go with pyro.infer.SVI",
        ),
        (
            partial(torch.optim.LBFGS, lr=0.1),
            "LBFGS needs a closure that computes the loss several times a step",
        ),
    ],
    ids=["list", "none", "pyro", "closure"],
)
def test_what_is_no_optimiser_of_single_steps_is_refused(factory, told):
    message = refused(toy(), rows(), TypeError, optimizer=factory)
    assert message.startswith("optimizer: ")
    assert told in message


def test_parameters_that_are_frozen_are_not_given_to_the_optimiser():
    system, given = toy(), []
    first = next(system.parameters()).requires_grad_(requires_grad=False)
    before = first.clone()

    def optimizer(parameters):
        given.extend(parameters)
        return torch.optim.SGD(given, lr=1e-3)

    fit(system, rows(), epochs=1, optimizer=optimizer, **QUIET)
    assert len(given) == len(list(system.parameters())) - 1
    assert all(p is not first for p in given)
    assert torch.equal(first, before)


def test_a_system_without_a_parameter_cannot_be_trained():
    system = toy()
    system.requires_grad_(requires_grad=False)
    assert refused(system, rows()) == "fit: the system has no parameter to train."


# ------------------------------------------------------------------ objectives


def test_only_an_objective_with_a_beta_is_annealed():
    plain = toy(Trace_ELBO(max_plate_nesting=1))
    message = refused(plain, rows(), annealing_epochs=1)
    assert message.startswith("annealing_epochs: Trace_ELBO has no beta to anneal; wrap it as obj")
    seen = []

    class Look(Callback):
        def before_step(self, training):
            seen.append(training.system.objective.annealing)

    wrapped = toy(Reweighted(Trace_ELBO(max_plate_nesting=1)))
    fit(wrapped, rows(), epochs=2, batch_size=12, annealing_epochs=2, callbacks=[Look()], **QUIET)
    assert seen == [objectives.linear_annealing(i, epochs=2, steps_per_epoch=2) for i in range(4)]


def test_a_term_of_one_modality_counts_on_one_stream():
    system = toy()
    data = streams(rows(), 0.5)
    system.objective = objectives.ELBOTerms(subset_terms()(("a", "b", "c")), mean="rows")
    message = refused(system, data)
    assert "the term of modality 'a' alone would count on 2 of the streams" in message
    assert "unpaired='disjoint', or give one set of rows" in message
    fit(system, rows(), epochs=1, **QUIET)  # of one set of rows it is what it is
    fit(system, [rows().without("c"), rows(1).without("a", "b")], epochs=1, **QUIET)


# ------------------------------------------------------------------ data


def test_modalities_that_no_row_holds_are_warned_of_once_each():
    obs = Observations(rows().values, {"b": torch.zeros(24, dtype=torch.bool)}).drop("c")
    with pytest.warns(UserWarning, match="no training row holds") as told:
        fit(toy(), obs, epochs=1, **QUIET)
    found = [str(w.message) for w in told]
    assert [m for m in found if "holds modality 'b'; its networks learn nothing" in m]
    assert [m for m in found if "holds modality 'c'; its networks learn nothing" in m]
    assert len(found) == 2


def test_a_modality_that_one_of_the_streams_holds_is_trained():
    parts = [rows().only("a", "b"), rows(1).only("c")]
    fit(toy(), parts, epochs=1, **QUIET)  # a warning would be an error


def test_a_model_that_conditions_on_a_modality_learns_from_rows_that_hold_it():
    system = build("cvae")
    (name,) = conditioned_on(system.model)
    obs = complete(8).without(name)
    message = refused(system, obs)
    assert f"no row of the data holds {name}, which the model conditions on" in message


def test_rows_in_files_are_checked_where_they_hold_something():
    """The first rows hold nothing of b; a wrong value stands in a row that does."""
    values = {n: x.numpy().copy() for n, x in rows().values.items()}
    held = torch.arange(24) > 20
    values["b"][21:] = float("nan")
    mapped = MemoryMapped(values, {"b": held})
    assert "'b'" in refused(toy(), mapped)


def test_data_without_a_modality_and_an_objective_that_would_score_its_draws():
    message = refused(toy(Trace_ELBO(max_plate_nesting=1)), rows().drop("b"))
    assert "the data do not hold modality 'b' at all, and Trace_ELBO would score draws" in message


class Scaled(nn.Module):
    """A model with a parameter of Pyro's own, which is made where it runs."""

    names = ("a",)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3))

    def forward(self, obs):
        scale = pyro.param("own scale", torch.ones(()), constraint=dist.constraints.positive)
        with obs.plates():
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            x, scored = obs.filled("a")
            fn = dist.Normal(z @ self.weight, scale).to_event(1)
            pyro.sample("a", fn.mask(scored), obs=x)


def test_a_parameter_of_pyros_own_is_refused_by_its_name():
    made = LinearGaussian()
    guide = guides.ProductOfExperts(made.modalities, 2)
    system = System(Scaled(), guide, objectives.IWAE())
    message = refused(system, rows().only("a"))
    assert message.startswith("fit: 'own scale' is a pyro.param, which a torch optimiser does not")


class Negative(Scaled):
    """A model whose scale is below 0."""

    def forward(self, obs):
        with obs.plates():
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            x, scored = obs.filled("a")
            fn = dist.Normal(z @ self.weight, torch.tensor(-1.0)).to_event(1)
            pyro.sample("a", fn.mask(scored), obs=x)


def test_parameters_are_checked_though_pyro_is_told_to_check_nothing():
    made = LinearGaussian()
    guide = guides.ProductOfExperts(made.modalities, 2)
    system = System(Negative(), guide, objectives.IWAE())
    with pyro.validation_enabled(False):
        assert "scale" in refused(system, rows().only("a"))


def test_validation_rows_are_checked_before_the_first_step():
    wrong = rows()
    wrong.values["a"][5] = float("nan")
    assert "'a'" in refused(toy(), rows(), validation=wrong)
    other = Observations({"a": torch.zeros(3, 5)})
    assert "'a'" in refused(toy(), rows(), validation=other)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_learns_from_one_row(name):
    system, obs = build(name), complete(1, *kinds_of(name))
    before = {n: p.clone() for n, p in system.named_parameters()}
    (row,) = fit(system, obs, epochs=1, **QUIET).history
    assert math.isfinite(row["loss"])
    assert any(not torch.equal(p, before[n]) for n, p in system.named_parameters())
