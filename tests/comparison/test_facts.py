"""The facts of a comparison in words, and how alike rows must be to be one curve."""

from dataclasses import replace

import pytest

from ppl_mm.comparison import Outcome, plan
from ppl_mm.comparison.facts import duration, facts
from ppl_mm.comparison.training import Training


def outcomes(systems=("mvae",), seconds=30.0, hardware="CPU", **options):
    training = Training(1, 1, seconds, 30, hardware, "torch 2")
    return [
        Outcome(trial, None, training) for trial in plan("nowhere", "digits", systems, **options)
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"),
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (60.0, "1 min 0 s"),
        (119.6, "2 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (3660.0, "1 h 01 min"),
        (360000.0, "100 h 00 min"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_data_are_told_by_rows_shapes_and_likelihoods():
    found = facts(outcomes())["Data"]
    assert found.startswith("digits: 1,200 training, 200 validation, 397 test rows of top (")
    assert "label (Categorical)" in found
    (one,) = outcomes()
    alone = replace(one.trial.dataset, validation=None, origin="a drawer")
    told = facts([replace(one, trial=replace(one.trial, dataset=alone))])["Data"]
    assert "1,200 training, 397 test rows" in told
    assert told.endswith(" Origin: a drawer.")


def test_time_is_the_sum_and_hardware_is_told_once():
    first, second = outcomes(("mvae", "mopoe"), seconds=45.0)
    told = facts([first, second, replace(first, training=None)])
    assert told["Time"].startswith("1 min 30 s of training in all; page written ")
    assert told["Hardware"] == "CPU"
    other = replace(second, training=replace(second.training, hardware="GPU"))
    assert facts([first, other])["Hardware"] == "CPU; GPU"
    nothing = facts([replace(first, training=None)])
    assert nothing["Hardware"] == nothing["Versions"] == ""
    assert nothing["Time"].startswith("0.0 s of training")


def test_what_is_left_out_has_the_probability_of_an_empty_row():
    assert facts(outcomes())["Missing values"] == "Nothing is left out of the data."
    some = facts(outcomes(missing=[0.0, 0.5]))["Missing values"]
    assert "(probability 0.125 at 0.5)" in some  # 0.5 ** 3 modalities


def test_settings_name_what_is_set_and_each_systems_own():
    plain = facts(outcomes())["Settings"]
    assert "annealing" not in plain
    assert "patience" not in plain
    assert "paired" not in plain
    assert plain.endswith("; mvae: terms=all.")
    options = {"epochs": 3, "learning_rate": 0.01, "patience": 2, "beta": 0.5, "paired": 0.25}
    told = facts(outcomes(weights={"label": 5.0}, annealing_epochs=1, **options))["Settings"]
    for words in (
        "3 epochs, ",
        "Adam at 0.01;",
        "weights {'label': 5.0}; annealing epochs 1; 0.25 of the rows paired; beta 0.5; patience 2",
    ):
        assert words in told
