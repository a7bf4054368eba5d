"""An annotation becomes the kind that it says, with the words that messages use."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypeVar, Union

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ppl_mm import Modality, Observations, likelihoods
from ppl_mm.arguments.annotations import kind_of
from ppl_mm.arguments.kinds import NO, Range
from ppl_mm.arguments.tensors import Classes, Matrix, Numbers, Symbols, Vector

T = TypeVar("T")

WORDS = [
    (int, "an integer"),
    (int | None, "an integer or None"),
    (Optional[float], "a finite number or None"),  # noqa: UP045 - an older spelling
    (Union[int, str], "an integer or a string"),  # noqa: UP007 - the same
    (bool | Literal["auto"], "True or False or 'auto'"),
    (Literal["a", "b"] | None, "'a', 'b' or None"),
    (Literal["a", "b", "c"], "'a', 'b' or 'c'"),
    (str, "a string"),
    (Sequence[str], "a sequence of strings"),
    (list[int], "a sequence of integers"),
    (Iterable[str], "a collection of strings"),
    (set[str], "a collection of strings"),
    (tuple[int, ...], "a sequence of integers"),
    (tuple[int, str], "a tuple (an integer, a string)"),
    (Sequence[Sequence[int]], "a sequence of sequences of integers"),
    (Sequence[tuple[str, int]], "a sequence of tuples (a string, an integer)"),
    (Mapping[str, float], "a dict from strings to finite numbers"),
    (dict[str, Sequence[int]], "a dict from strings to sequences of integers"),
    (Mapping[str, Any], "a dict"),
    (Mapping, "a dict"),
    (float | Mapping[str, float], "a finite number or a dict from strings to finite numbers"),
    (str | Path, "a path"),
    (Path | None, "a path or None"),
    (Tensor, "a tensor"),
    (Tensor | None, "a tensor or None"),
    (Float[Tensor, "B Z"], "a tensor"),
    (nn.Module, "a torch.nn.Module"),
    (Callable[[int], nn.Module], "a function that returns a torch.nn.Module"),
    (Callable[[int], int] | None, "a function or None"),
    (Callable, "a function"),
    (Observations, "Observations"),
    (Modality, "a Modality"),
    (Sequence[Modality], "a sequence of Modality objects"),
    (likelihoods.Likelihood, "a likelihood such as likelihoods.Bernoulli()"),
    (Any, "anything"),
    (object, "anything"),
    (T, "anything"),
    (Numbers, "a tensor of finite numbers"),
    (Symbols, "a tensor (N, L) of symbols, integers"),
    (Annotated[float, Range(0, 1)], "a finite number from 0 to 1"),
    (Sequence[Annotated[int, Range(2)]], "a sequence of integers of at least 2"),
]


@pytest.mark.parametrize(("annotation", "words"), WORDS, ids=[words for _, words in WORDS])
def test_an_annotation_is_said_in_words(annotation, words):
    assert kind_of(annotation).words == words


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "an integer of at least 1"),
        (float | None, "a finite number of at least 1 or None"),
        (Sequence[int], "a sequence of integers of at least 1"),
        (Mapping[str, float], "a dict from strings to finite numbers of at least 1"),
        (tuple[int, str], "a tuple (an integer of at least 1, a string)"),
    ],
    ids=str,
)
def test_limits_reach_every_number_inside(annotation, words):
    assert kind_of(annotation, Range(1)).words == words


def test_limits_of_an_annotation_come_before_others():
    assert kind_of(Annotated[int, Range(5)], Range(1)).words == "an integer of at least 5"


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("value", [[1, 2], (1, 2), [], ()], ids=str)
def test_sequences_that_need_no_change_are_given_back_themselves(value):
    assert kind_of(Sequence[int]).read(value) is value


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ([np.int64(1), 2], (1, 2)),
        (np.array([1, 2]), (1, 2)),
        (range(3), (0, 1, 2)),
        ((x for x in (1, 2)), (1, 2)),
        ({1: "a"}.keys(), (1,)),
        ({"a": 1}.values(), (1,)),
        (map(int, "12"), (1, 2)),
    ],
    ids=["NumPy's", "array", "range", "generator", "keys", "values", "map"],
)
def test_other_iterables_become_tuples(value, read):
    assert kind_of(Sequence[int]).read(value) == read


@pytest.mark.parametrize("value", ["ab", b"ab", {1: 2}, torch.ones(2), 3, None], ids=str)
def test_what_is_no_sequence(value):
    assert kind_of(Sequence[int]).read(value) is NO
    assert kind_of(Iterable[int]).read(value) is NO


def test_a_set_has_no_order():
    assert kind_of(Sequence[str]).read({"a"}) is NO
    assert kind_of(Iterable[str]).read({"a"}) == ("a",)
    assert kind_of(Set[str]).read({"a"}) == ("a",)


def test_a_mapping_is_changed_only_where_a_value_is():
    kind = kind_of(Mapping[str, float])
    same = {"a": 1.0}
    assert kind.read(same) is same
    found = kind.read({"a": np.float32(0.5), "b": 2})
    assert found == {"a": 0.5, "b": 2.0}
    assert [type(x) for x in found.values()] == [float, float]
    assert kind.read([("a", 1.0)]) is NO
    assert kind.read({1: 1.0}) is NO
    assert kind.read({}) == {}


def test_a_mapping_of_anything_is_not_looked_into():
    given = {1: object()}
    assert kind_of(Mapping[Any, Any]).read(given) is given
    assert kind_of(dict).read(given) is given


def test_a_tuple_has_each_of_its_elements():
    kind = kind_of(tuple[int, float])
    same = (1, 2.0)
    assert kind.read(same) is same
    assert kind.read([np.int64(1), 2]) == (1, 2.0)
    assert all(kind.read(x) is NO for x in [(1,), (1, 2.0, 3), ("a", 1.0), {1, 2}, "ab"])


def test_the_first_kind_of_a_union_that_admits_a_value_reads_it():
    assert kind_of(int | float).read(2) == 2
    assert type(kind_of(int | float).read(2)) is int
    assert type(kind_of(float | int).read(2)) is float
    assert kind_of(bool | int).read(True) is True
    assert kind_of(str | Sequence[str]).read("ab") == "ab"
    assert kind_of(str | None).read(3) is NO


def test_a_path_is_made_unless_a_string_may_stay_one():
    assert kind_of(Path).read("a") == Path("a")
    assert kind_of(str | Path).read("a") == "a"
    assert kind_of(str | Path | None).read(None) is None
    assert kind_of(str | Path).read("") is NO


@pytest.mark.parametrize("annotation", [Float[Tensor, "B Z"], Float[Tensor, ""], Tensor], ids=str)
def test_shapes_are_not_the_doors_matter(annotation):
    x = torch.ones(3)
    assert kind_of(annotation).read(x) is x
    assert kind_of(annotation).read([1.0]) is NO


def test_choices_of_a_union_are_known_for_suggestions():
    assert kind_of(Literal["a", "b"] | None).choices == ("a", "b")
    assert kind_of(int | str).choices == ()


# ---------------------------------------------------------------- tensors of measures

ADMITTED = {
    Numbers: [torch.ones(2, 3), torch.ones(1), torch.ones(1, dtype=torch.int64)],
    Matrix: [torch.ones(2, 3), torch.ones(1, 1, dtype=torch.float16)],
    Vector: [torch.ones(2), torch.arange(3)],
    Classes: [torch.arange(3), torch.tensor([True])],
    Symbols: [torch.zeros(2, 3, dtype=torch.int64)],
}
REFUSED = {
    Numbers: [torch.ones(0), torch.tensor([float("nan")]), torch.ones(1, dtype=torch.complex64)],
    Matrix: [torch.ones(2), torch.ones(2, 0), torch.tensor([[float("inf")]])],
    Vector: [torch.ones(2, 1), torch.tensor(1.0)],
    Classes: [torch.ones(3), torch.arange(4).reshape(2, 2)],
    Symbols: [torch.arange(3), torch.ones(2, 3)],
}


@pytest.mark.parametrize("annotation", ADMITTED, ids=lambda a: kind_of(a).words)
def test_tensors_that_measures_take(annotation):
    kind = kind_of(annotation)
    for value in ADMITTED[annotation]:
        assert kind.read(value) is value
    for value in REFUSED[annotation]:
        assert kind.read(value) is NO
        assert kind.typed(value)
    for value in ([1.0], np.ones((1, 1)), None, 1.0):
        assert kind.read(value) is NO
        assert not kind.typed(value)
