"""What a monitor calls better, equal or no number, and when patience runs out."""

import math
import warnings
from functools import partial

import pytest
import torch
from toy_runs import QUIET, content_of, go_on, rows, same, start, toy

from ppl_mm import fit, log_likelihood
from ppl_mm.training import Callback


def held_out():
    return {"batch_size": 24, "validation": rows(3), **QUIET}


def measured(values, system=None, **options):
    """A run whose monitor gives these values, one an epoch."""
    given = iter(values)
    monitor = lambda system, obs: next(given)  # noqa: E731
    return fit(
        system or toy(), rows(), epochs=len(values), monitor=monitor, **held_out(), **options
    )


class States(Callback):
    """The parameters after each epoch."""

    def __init__(self):
        self.found = []

    def after_epoch(self, training):
        self.found.append({n: x.clone() for n, x in training.system.state_dict().items()})


@pytest.mark.parametrize("mode", ["max", "min"])
def test_an_equal_value_is_no_better_one(mode):
    """An accuracy that stays at 1 ends the run, in the first state that reached it."""
    states, system = States(), toy()
    sign = 1.0 if mode == "max" else -1.0
    values = [sign * x for x in (0.5, 1.0, 1.0, 1.0, 1.0, 1.0)]
    result = measured(values, system, mode=mode, patience=3, callbacks=[states])
    assert (result.best_epoch, len(result.history)) == (2, 5)
    for name, value in system.state_dict().items():
        assert torch.equal(value, states.found[1][name])


def test_a_value_of_minus_infinity_is_the_worst_and_still_a_state():
    assert measured([-math.inf, -math.inf]).best_epoch == 1
    assert measured([-math.inf, -5.0, -math.inf]).best_epoch == 2
    assert measured([math.inf, 5.0, math.inf], mode="min").best_epoch == 2


def test_a_run_without_any_number_ends_with_its_last_state_or_its_patience():
    nan = [math.nan] * 4
    states, system = States(), toy()
    result = measured(nan, system, callbacks=[states])
    assert (result.best_epoch, len(result.history)) == (4, 4)
    for name, value in result.best_state.items():
        assert torch.equal(value, states.found[-1][name])
        assert torch.equal(value, system.state_dict()[name])
    assert len(measured(nan, patience=2).history) == 2


def test_a_better_value_starts_the_patience_anew():
    values = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.0, 9.0]
    result = measured(values, patience=2)
    assert (result.best_epoch, len(result.history)) == (5, 7)


def test_a_resumed_run_whose_patience_has_run_out_takes_no_step(tmp_path):
    class Constant(Callback):
        def after_epoch(self, training):
            training.history[-1]["seen"] = 1.0

    constant = lambda system, obs: 1.0  # noqa: E731
    options = {"validation": rows(3), "monitor": constant, "patience": 2, "callbacks": [Constant()]}
    system, again = toy(), toy()
    first = start(tmp_path / "run", system, epochs=9, **options)
    assert len(first.history) == 3
    found = go_on(tmp_path / "run", again, epochs=9, **options)
    assert found.history == first.history
    assert same(system, again)
    assert content_of(tmp_path / "run")["best_epoch"] == 1
    more = go_on(tmp_path / "run", toy(), epochs=9, **{**options, "patience": 4})
    assert len(more.history) == 5


def test_a_function_is_known_by_its_name_and_an_object_by_its_type():
    def rows_held_out(system, obs):
        return len(obs)

    class Rows:
        def __call__(self, system, obs):
            return torch.tensor(len(obs))

    for monitor, name in ((rows_held_out, "rows_held_out"), (Rows(), "Rows")):
        result = fit(toy(), rows(), epochs=1, monitor=monitor, **held_out())
        assert result.history[0][name] == 24.0
    result = fit(toy(), rows(), epochs=1, monitor=partial(rows_held_out), **held_out())
    assert result.history[0]["partial"] == 24.0


def test_the_elbo_may_be_asked_to_be_small_and_the_loss_never_large():
    result = fit(toy(), rows(), epochs=3, mode="min", **held_out())
    values = [row["validation_elbo"] for row in result.history]
    assert result.best_epoch == 1 + values.index(min(values))
    result = fit(toy(), rows(), epochs=3, monitor="loss", mode="max", **held_out())
    losses = [row["loss"] for row in result.history]
    assert result.best_epoch == 1 + losses.index(min(losses))
    assert "validation_elbo" not in result.history[0]


def test_a_log_likelihood_of_a_target_alone():
    system = toy()
    result = fit(system, rows(), epochs=1, monitor="log_likelihood:a,c", seed=2, **held_out())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = log_likelihood(system, rows(3), ["a", "c"], num_samples=100, seed=2)
    assert result.history[0]["log_likelihood:a,c"] == pytest.approx(found.value.mean().item())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 2}, "^patience needs validation="),
        ({"patience": 2, "monitor": "log_likelihood:a"}, "^patience needs validation="),
        ({"monitor": lambda system, obs: 0.0}, "^monitor needs validation="),
        ({"validation": rows(), "monitor": "log_likelihood"}, "expected 'elbo', 'loss', 'log_l"),
        ({"validation": rows(), "monitor": "log_likelihoods:a"}, "got 'log_likelihoods:a'"),
        ({"validation": rows(), "monitor": ""}, "monitor: expected .*, got ''"),
    ],
)
def test_a_monitor_that_cannot_be_asked_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit(toy(), rows(), epochs=1, **options, **QUIET)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("log_likelihood:d", "unknown target modality 'd'"),
        ("log_likelihood:a|a", "'a' is both target and given"),
        ("log_likelihood:a,a", "'a' is named twice"),
        ("log_likelihood:|a", "at least one target modality"),
    ],
)
def test_a_log_likelihood_of_wrong_names_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        fit(toy(), rows(), epochs=1, monitor=name, **held_out())
