"""Which values each kind admits, what it makes of them, and the words for it."""

import math
from pathlib import Path, PurePath

import numpy as np
import pytest
import torch
from torch import nn

from ppl_mm.arguments.kinds import (
    BOOL,
    DEVICE,
    FACTORY,
    FUNCTION,
    LARGEST,
    NO,
    NONE,
    PATH,
    READ_PATH,
    STRING,
    Range,
    instance,
    integer,
    literal,
    real,
)

# ---------------------------------------------------------------- ranges


@pytest.mark.parametrize(
    ("limits", "words", "inside", "outside"),
    [
        (Range(), "", [-1e300, 0.0, 1e300], []),
        (Range(0), " of at least 0", [0, 0.5, 10**9], [-1e-300]),
        (Range(0, above=True), " above 0", [1e-300, 1], [0, -0.0]),
        (Range(0, 1), " from 0 to 1", [0, 0.5, 1], [-0.1, 1.1]),
        (Range(1), " of at least 1", [1], [0.999]),
        (Range(0, 1, above=True), " from 0 to 1", [0.1, 1], [0, 1.01]),
    ],
    ids=str,
)
def test_a_range_holds_its_numbers_and_says_so(limits, words, inside, outside):
    assert str(limits) == words
    assert all(limits.holds(x) for x in inside)
    assert not any(limits.holds(x) for x in outside)


def test_no_range_holds_what_is_no_number():
    assert not any(r.holds(math.nan) for r in (Range(), Range(0), Range(0, 1)))


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("made", [int, np.int8, np.uint16, np.int64])
def test_integers_become_pythons(made):
    found = integer(Range(0)).read(made(3))
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), 1.0, np.float64(1), "1", None, 1j], ids=str
)
def test_what_is_no_integer_is_none_of_them(value):
    kind = integer(Range())
    assert kind.read(value) is NO
    assert not kind.typed(value)


@pytest.mark.parametrize("value", [-1, 11, LARGEST + 1, -LARGEST - 1])
def test_integers_out_of_range_have_the_type_and_are_not_admitted(value):
    kind = integer(Range(0, 10)) if abs(value) < 100 else integer(Range())
    assert kind.read(value) is NO
    assert kind.typed(value)


def test_the_largest_integers_are_admitted():
    assert integer(Range()).read(LARGEST) == LARGEST == 2**32 - 1
    assert integer(Range()).read(-LARGEST) == -LARGEST


@pytest.mark.parametrize("made", [int, float, np.float16, np.float64, np.int32])
def test_numbers_become_floats(made):
    found = real(Range()).read(made(2))
    assert (found, type(found)) == (2.0, float)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), 10**400])
def test_numbers_are_finite(value):
    kind = real(Range())
    assert kind.read(value) is NO
    assert kind.typed(value)


@pytest.mark.parametrize("value", [True, "1.0", None, 1j, [1.0], torch.tensor(1.0)], ids=str)
def test_what_is_no_number_has_another_type(value):
    assert real(Range()).read(value) is NO
    assert not real(Range()).typed(value)


def test_numbers_are_named_with_their_range():
    assert integer(Range(1)).words == "an integer of at least 1"
    assert integer(Range(1)).many == "integers of at least 1"
    assert real(Range(0, 1)).words == "a finite number from 0 to 1"
    assert real(Range()).many == "finite numbers"


@pytest.mark.parametrize("value", [True, False, np.bool_(True), np.bool_(False)])
def test_booleans_become_pythons(value):
    assert BOOL.read(value) is bool(value)


@pytest.mark.parametrize("value", [0, 1, 1.0, "True", None, torch.tensor(True)], ids=str)
def test_what_is_no_boolean_is_refused(value):
    assert BOOL.read(value) is NO
    assert not BOOL.typed(value)


# ---------------------------------------------------------------- strings and choices


def test_strings_and_none():
    assert STRING.read("") == ""
    assert STRING.read(np.str_("a")) == "a"
    assert STRING.read(b"a") is NO
    assert NONE.read(None) is None
    assert NONE.read(False) is NO


def test_choices_are_of_the_same_type_too():
    kind = literal(("a", 1, None))
    assert [kind.read(x) for x in ("a", 1, None)] == ["a", 1, None]
    assert all(kind.read(x) is NO for x in ("b", True, 1.0, b"a", ["a"]))
    assert kind.typed("b")
    assert not kind.typed(True)
    assert (kind.words, kind.choices) == ("'a', 1 or None", ("a",))


# ---------------------------------------------------------------- functions and objects


@pytest.mark.parametrize("value", [len, lambda: 0, nn.Linear, nn.ReLU()], ids=["f", "g", "c", "m"])
def test_whatever_can_be_called_is_a_function(value):
    assert FUNCTION.read(value) is value


def test_a_module_is_no_function_that_makes_one():
    assert FACTORY.read(nn.ReLU) is nn.ReLU
    assert FACTORY.read(nn.ReLU()) is NO
    assert FACTORY.read(3) is NO


def test_instances_are_named_as_messages_name_them():
    assert instance(nn.Module).words == "a torch.nn.Module"
    assert instance(torch.Tensor).many == "tensors"
    assert instance(dict).words == "a dict"
    assert instance(OSError).words == "an OSError"
    assert instance(OSError).many == "OSError objects"
    relu = nn.ReLU()
    assert instance(nn.Module).read(relu) is relu
    assert instance(nn.Module).read(nn.ReLU) is NO


def test_a_class_that_cannot_be_tested_admits_anything():
    class Never(type):
        def __instancecheck__(cls, value):
            raise TypeError

    class Odd(metaclass=Never):
        pass

    assert instance(Odd).read(3) == 3


# ---------------------------------------------------------------- paths and devices


@pytest.mark.parametrize("value", ["a/b", Path("a"), PurePath("a")], ids=str)
def test_paths(value):
    assert PATH.read(value) is value
    found = READ_PATH.read(value)
    assert isinstance(found, Path)
    assert str(found) == str(value)


@pytest.mark.parametrize("value", [b"a", 3, None, ["a"]], ids=str)
def test_what_is_no_path(value):
    assert PATH.read(value) is NO
    assert READ_PATH.read(value) is NO


def test_an_empty_string_is_no_path_for_a_function_that_reads_one():
    assert PATH.read("") is NO
    assert PATH.typed("")


@pytest.mark.parametrize("value", ["auto", "cpu", "cuda", "cuda:1", "mps", "meta"])
def test_a_device_is_named(value):
    assert DEVICE.read(value) == value
    if value != "auto":
        assert DEVICE.read(torch.device(value)) == value


@pytest.mark.parametrize("value", ["gpu", "cuda:x", "", 0, None], ids=str)
def test_torch_does_not_know_every_name_of_a_device(value):
    assert DEVICE.read(value) is NO
    assert DEVICE.typed(value) == isinstance(value, str)
