"""How the description of a run tells two runs apart, and what a difference is called."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toy_runs import toy

from ppl_mm import Observations, objectives
from ppl_mm.data import MemoryMapped
from ppl_mm.training.fingerprint import check_same_run, of_run

SYSTEM = toy()
VALUES = {"x": torch.arange(6.0).reshape(3, 2), "y": torch.tensor([0, 1, 2])}
PATH = Path("folder/run")


def described(obs, **options):
    return of_run(SYSTEM, [obs], None, options)


def differ(one, other):
    """What a resumed run says of a difference, or None."""
    try:
        check_same_run(PATH, one, other)
    except ValueError as error:
        return str(error)
    return None


def changed_value():
    values = {n: x.clone() for n, x in VALUES.items()}
    values["x"][2, 1] += 1e-3
    return Observations(values)


ROWS = {
    "value": (changed_value, r"data.0.x.values"),
    "class": (lambda: Observations(VALUES | {"y": torch.tensor([0, 1, 1])}), "data.0.y.values"),
    "present": (lambda: Observations(VALUES, {"y": torch.arange(3) > 0}), "data.0.y.present"),
    "element": (
        lambda: Observations(VALUES, elements={"x": torch.arange(6).reshape(3, 2) != 3}),
        "data.0.x.values",
    ),
    "covariate": (
        lambda: Observations(VALUES, covariates={"age": torch.arange(3)}),
        "data.0.covariate age",
    ),
    "name": (lambda: Observations({"x": VALUES["x"]}), "data.0.y"),
    "number of rows": (lambda: Observations(VALUES)[:2], "data.0.rows=3, resumed with 2"),
    "shape": (lambda: Observations(VALUES | {"x": torch.zeros(3, 1)}), r"data.0.x.shape.0=2"),
}


@pytest.mark.parametrize("what", ROWS)
def test_rows_that_differ_are_named_by_their_place(what):
    make, where = ROWS[what]
    told = differ(described(Observations(VALUES)), described(make()))
    assert told is not None
    assert told.startswith(f"{PATH}: saved with {where}")
    assert "a resumed run needs the same. Give another checkpoint, or start without" in told


def test_equal_rows_are_one_run_in_any_order_of_names_and_strides():
    other = Observations({"y": VALUES["y"].clone(), "x": VALUES["x"].T.contiguous().T})
    assert differ(described(Observations(VALUES)), described(other)) is None


def test_covariates_of_other_values_differ():
    one, other = (
        described(Observations(VALUES, covariates={"age": torch.tensor(x)}))
        for x in ([1, 2, 3], [1, 2, 4])
    )
    assert "data.0.covariate age.sum" in differ(one, other)


def test_a_value_that_is_missing_counts_for_nothing():
    held = torch.tensor([True, True, False])
    values = {n: x.clone() for n, x in VALUES.items()}
    values["x"][2] = 77.0
    one, other = (described(Observations(v, {"x": held})) for v in (VALUES, values))
    assert differ(one, other) is None


def test_of_rows_in_files_some_values_are_compared_in_memory_or_not():
    array = np.random.default_rng(0).normal(size=(2500, 1))
    memory = Observations({"x": torch.from_numpy(array)})
    mapped = MemoryMapped({"x": array})
    assert differ(described(memory), described(mapped)) is None
    assert differ(described(mapped), described(memory)) is None
    looked_at, other = array.copy(), array.copy()
    looked_at[3] += 1.0  # every third of 2,500 rows is one of 1,000
    other[4] += 1.0
    assert "data.0.x.values.some" in differ(described(mapped), described(
        MemoryMapped({"x": looked_at})))  # fmt: skip
    assert differ(described(mapped), described(MemoryMapped({"x": other}))) is None
    in_memory = described(Observations({"x": torch.from_numpy(other)}))
    assert "data.0.x.values.all" in differ(described(memory), in_memory)


def test_validation_rows_and_numbers_of_streams_are_compared():
    obs = Observations(VALUES)
    without = of_run(SYSTEM, [obs], None, {})
    held_out = of_run(SYSTEM, [obs], obs, {})
    assert "validation=None" in differ(without, held_out)
    assert "saved with data=[" in differ(without, of_run(SYSTEM, [obs, obs], None, {}))


# ------------------------------------------------------------------ options


class Rule:
    """A user's own option, with a secret that is no part of a run."""

    def __init__(self, rate):
        self.rate, self._cache, self.epoch = rate, object(), 7


OPTIONS = {
    "number": (1, 2, "=1, resumed with 2"),
    "truth": (True, False, "=True, resumed with False"),
    "text": ("a", "b", "='a', resumed with 'b'"),
    "list": ([1, 2], [1, 3], ".1=2, resumed with 3"),
    "length": ([1, 2], [1], r"=[1, 2], resumed with [1]"),
    "set": ({"b", "a"}, {"a"}, "=['a', 'b'], resumed with ['a']"),
    "mapping": ({"k": 1}, {"k": 2}, ".k=1, resumed with 2"),
    "key": ({"k": 1}, {"l": 1}, ".k=1, resumed with None"),
    "partial": (partial(int, base=2), partial(int, base=8), ".2.base=2, resumed with 8"),
    "function": (len, max, "='builtins.len', resumed with 'builtins.max'"),
    "class": (nn.Linear, nn.Conv2d, "torch.nn.modules.linear.Linear"),
    "tensor": (torch.zeros(2), torch.ones(2), ".sum="),
    "shape": (torch.zeros(2), torch.zeros(3), ".shape.0=2, resumed with 3"),
    "object": (Rule(0.1), Rule(0.2), ".rate=0.1, resumed with 0.2"),
    "dataclass": (objectives.IWAE(3), objectives.IWAE(4), "=3, resumed with 4"),
    "module": (nn.Linear(2, 3), nn.Linear(2, 4), ".out_features=3, resumed with 4"),
    "inner module": (
        nn.Sequential(nn.Dropout(0.1)),
        nn.Sequential(nn.Dropout(0.2)),
        ".0.p=0.1, resumed with 0.2",
    ),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_of_any_kind_are_compared(kind):
    one, other, told = OPTIONS[kind]
    found = differ(described(Observations(VALUES), option=one),
                   described(Observations(VALUES), option=other))  # fmt: skip
    assert found is not None
    assert "option" in found
    assert told in found
    same = described(Observations(VALUES), option=one)
    assert differ(same, described(Observations(VALUES), option=one)) is None


def test_what_is_private_or_changes_in_training_is_no_part_of_an_object():
    one, other = Rule(0.1), Rule(0.1)
    other._cache, other.epoch = "another", 8
    assert differ(described(Observations(VALUES), option=one),
                  described(Observations(VALUES), option=other)) is None  # fmt: skip
    trained, evaluated = nn.Dropout(), nn.Dropout().eval()
    assert differ(described(Observations(VALUES), option=trained),
                  described(Observations(VALUES), option=evaluated)) is None  # fmt: skip


def test_an_object_that_holds_itself_is_described():
    rule = Rule(0.1)
    rule.rate = rule
    told = described(Observations(VALUES), option=rule)["option"]
    depth = 0
    while isinstance(told, dict):
        told, depth = told["rate"], depth + 1
    assert (told, depth) == ("Rule", 7)


def test_options_that_are_no_number_are_equal_to_themselves():
    assert differ({"a": float("nan")}, {"a": float("nan")}) is None
    assert "saved with a=nan, resumed with 1.0" in differ({"a": float("nan")}, {"a": 1.0})


def test_options_that_either_run_lacks_are_not_compared():
    assert differ({"a": 1}, {"a": 1, "new": 2}) is None
    assert differ({"a": 1, "old": 2}, {"a": 1}) is None


def test_a_long_value_is_shortened_to_a_hundred_characters():
    exactly, longer = "x" * 98, "x" * 99
    told = differ({"a": exactly}, {"a": longer})
    assert f"saved with a='{exactly}', resumed with '{'x' * 96}... a resumed" not in told
    assert f"saved with a='{exactly}', resumed with '{'x' * 96}...;" in told
