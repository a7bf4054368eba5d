"""Callbacks and loggers from the words of a command line, and rows for the trial of a monitor."""

import sys
from types import ModuleType

import pytest
import torch

from ppl_mm import Observations, data, systems
from ppl_mm.runs.steering import callback_of, check_monitor, log_of, monitor_of
from ppl_mm.training import Callback


class Own(Callback):
    """A callback of a user's module."""


@pytest.fixture(autouse=True)
def module(monkeypatch):
    made = ModuleType("users_module")
    made.Own, made.ready, made.make, made.wrong = Own, Own(), lambda: Own(), lambda: 3
    made.number, made.needy, made.broken = 7.0, lambda rate: Own(), lambda: 1 + "a"
    monkeypatch.setitem(sys.modules, "users_module", made)
    return made


def test_a_callback_is_an_object_or_what_makes_one(module):
    assert callback_of("users_module:ready") is module.ready
    for name in ("Own", "make"):
        assert type(callback_of(f"users_module:{name}")) is Own


@pytest.mark.parametrize(
    "text",
    ["users_module", "users_module:", ":Own", "users_module:own", "no_module:Own", "", "a b:c"],
)
def test_what_names_no_callback_is_told_with_an_example(text):
    message = rf"^callback: expected MODULE:NAME such as my_module:MyCallback, got '{text}' \("
    with pytest.raises(ValueError, match=message):
        callback_of(text)


@pytest.mark.parametrize(("name", "kind"), [("wrong", "int"), ("number", "float")])
def test_what_is_no_callback_is_told_by_its_type(name, kind):
    message = rf"^callback: 'users_module:{name}' makes a {kind}, not a ppl_mm.training.Callback\.$"
    with pytest.raises(ValueError, match=message):
        callback_of(f"users_module:{name}")


def test_what_needs_arguments_is_told_and_an_error_of_its_own_is_kept():
    message = (
        r"^callback: 'users_module:needy' is called without arguments, .* argument: 'rate'\)\.$"
    )
    with pytest.raises(ValueError, match=message):
        callback_of("users_module:needy")
    with pytest.raises(TypeError, match="unsupported operand"):
        callback_of("users_module:broken")


def test_an_unknown_logger_is_told_with_the_known_ones(tmp_path):
    message = r"^unknown logger 'cvs'; known: csv, tensorboard\. Did you mean 'csv'\?$"
    with pytest.raises(ValueError, match=message):
        log_of("cvs", tmp_path)


def test_the_empty_monitor_is_the_bound():
    assert monitor_of("") == monitor_of(None) == "elbo"
    assert monitor_of("accuracies:label") == "accuracies:label"
    made = monitor_of("accuracy:my label")
    assert (made.__name__, made.__qualname__) == ("accuracy:my label",) * 2


@pytest.fixture(scope="module")
def digits():
    return data.digits()


def test_a_trial_of_a_monitor_looks_at_two_rows_that_hold_the_label(digits, monkeypatch):
    system = systems.mvae(digits.modalities, 2)
    seen = []
    monkeypatch.setattr(
        "ppl_mm.runs.steering.accuracy", lambda s, obs, name: seen.append((obs, name))
    )
    rows = digits.validation
    held = Observations(rows.values, {"label": torch.arange(len(rows)) >= 150})
    check_monitor("accuracy:label", system, held)
    check_monitor("accuracy:top", system, rows)
    (of_label, label), (of_top, top) = seen
    assert (label, top) == ("label", "top")
    assert torch.equal(of_label["top"], rows["top"][150:152])
    assert torch.equal(of_top["top"], rows["top"][:2])


def test_a_trial_of_a_likelihood_reads_names_between_commas(digits, monkeypatch):
    seen = []

    def asked(system, obs, target, given, **options):
        seen.append((len(obs), target, given, options))

    monkeypatch.setattr("ppl_mm.runs.steering.log_likelihood", asked)
    system = systems.mvae(digits.modalities, 2)
    for text in ("log_likelihood:top,bottom|label", "log_likelihood:top"):
        check_monitor(text, system, digits.validation)
    few = {"num_samples": 2, "refine": "none"}
    assert seen == [(2, ["top", "bottom"], ["label"], few), (2, ["top"], [], few)]
