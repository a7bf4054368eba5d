"""Nested values as named tensors and text: each comes back, or is refused by its place."""

import json
import math
from collections import Counter, OrderedDict, namedtuple

import numpy as np
import pytest
import torch

from ppl_mm.files.nested import pack, unpack


def there_and_back(value):
    return unpack(*pack(value))


SAME = {
    "none": None,
    "booleans": [True, False],
    "numbers": {"a": 1, "b": -2.5, "large": 2**60, "small": 5e-324},
    "not finite": [math.inf, -math.inf],
    "text": {"ünï": "\n\"'{}"},
    "empty": [{}, [], (), ""],
    "tuples in lists": [(1, (2, [3])), ()],
    "dtypes": [torch.float16, torch.int64, torch.bool, torch.bfloat16],
    "counter": Counter({"a": 2, "b": 1}),
    "numbers counted": Counter({3: 1, 10: 2}),
    "names like kinds": {"tensor": "x", "dict": {"tuple": 1}, "list": [], "dtype": "float16"},
    "optimiser": {"state": {"0": {"step": 3}}, "param_groups": [{"betas": (0.9, 0.999)}]},
}


@pytest.mark.parametrize("name", SAME)
def test_a_value_comes_back_with_its_types(name):
    value = SAME[name]
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value)


def test_what_is_not_a_number_comes_back_too():
    assert math.isnan(there_and_back([math.nan])[0])


@pytest.mark.parametrize(
    ("value", "plain"),
    [(np.float64(0.5), 0.5), (np.int32(3), 3), (np.bool_(True), True), (np.str_("a"), "a")],
    ids=str,
)
def test_numpys_numbers_become_pythons(value, plain):
    found = there_and_back({"x": value})["x"]
    assert (found, type(found)) == (plain, type(plain))


def test_other_mappings_and_tuples_become_plain_ones():
    Pair = namedtuple("Pair", "a b")
    assert type(there_and_back(OrderedDict(a=1))) is dict
    assert there_and_back(Pair(1, 2)) == (1, 2)


def test_tensors_are_named_by_their_place():
    x, y, z = torch.ones(2), torch.zeros(1), torch.arange(3)
    tensors, text = pack({"a": x, "b": [y, (0, {"c": z})]})
    assert list(tensors) == ["/a", "/b/0", "/b/1/1/c"]
    found = unpack(tensors, text)
    assert found["a"] is x
    assert found["b"][1][1]["c"] is z
    assert "tensor" in json.loads(text)["dict"]["a"]


def test_one_tensor_alone_comes_back():
    x = torch.ones(2)
    assert there_and_back(x) is x


def test_names_with_slashes_do_not_take_each_others_tensors():
    x, y, z = torch.zeros(1), torch.ones(1), torch.full((1,), 2.0)
    found = there_and_back({"a/b": x, "a": {"b": y}, "a/b'": z})
    assert found["a/b"] is x
    assert found["a"]["b"] is y
    assert found["a/b'"] is z


def test_keys_of_a_counter_may_be_tuples():
    counted = Counter({("a", 1): 2, ("b", 2): 1})
    assert there_and_back(counted) == counted


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "it: a object cannot be written"),
        ({"a": {1: 2}}, "/a: a dict cannot be written"),
        ([0, {1, 2}], "/1: a set cannot be written"),
        ({"a": [b"x"]}, "/a/0: a bytes cannot be written"),
        ((1j,), "/0: a complex cannot be written"),
        ({"a": np.ones(2)}, "/a: a ndarray cannot be written"),
    ],
    ids=["object", "keys", "set", "bytes", "complex", "array"],
)
def test_what_cannot_be_written_is_named_by_its_place(value, words):
    with pytest.raises(TypeError, match=f"{words} to a file"):
        pack(value)


def test_what_was_taken_apart_is_needed_whole():
    tensors, text = pack({"a": torch.ones(1)})
    with pytest.raises(KeyError, match="/a"):
        unpack({}, text)
    with pytest.raises(ValueError, match="Expecting"):
        unpack(tensors, text[:-3])
