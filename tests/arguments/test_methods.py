"""The door of methods, classes, and functions with arguments of every sort."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict, Unpack

import numpy as np
import pytest
import torch
from torch import nn

from ppl_mm.arguments.kinds import FUNCTION, NO, Range
from ppl_mm.arguments.tensors import Matrix, Numbers
from ppl_mm.arguments.typed import RANGES, remedy, typed


@typed
def several(a: int, /, b: float = 1.0, *rest: str, c: bool = False, **others: Any) -> tuple:
    """Take arguments of every sort."""
    return a, b, rest, c, others


def test_arguments_of_every_sort_are_read():
    assert several(np.int64(1)) == (1, 1.0, (), False, {})
    assert several(1, 2, "x", "y", c=np.bool_(True), z=object) == (
        1,
        2.0,
        ("x", "y"),
        True,
        {"z": object},
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "several: argument a is missing"),
        (("x",), {}, "several, argument a: expected an integer, got 'x'"),
        ((1, 2.0, "x", 3), {}, r"several, argument \*rest: expected a string, got 3"),
        ((1,), {"c": 1}, "several, argument c: expected True or False, got 1"),
        ((1,), {"b": "x"}, "several, argument b: expected a finite number, got 'x'"),
    ],
    ids=str,
)
def test_each_wrong_argument_is_named(args, kwargs, said):
    with pytest.raises(TypeError, match=said):
        several(*args, **kwargs)


@typed
class Thing:
    """A thing."""

    def __init__(self, name: str, num_rows: int = 1) -> None:
        self.name, self.num_rows = name, num_rows

    @typed
    def take(self, *names: str, step: int = 1) -> tuple:
        """Take some."""
        return names, step

    @classmethod
    @typed
    def make(cls, num_rows: int) -> "Thing":
        """Make one."""
        return cls("made", num_rows)

    @staticmethod
    @typed
    def count(values: Sequence[int]) -> int:
        """Count."""
        return len(values)


class Child(Thing):
    """A thing of another kind."""


def test_a_classs_constructor_and_methods_name_the_class():
    with pytest.raises(ValueError, match="Thing 'a', argument num_rows: expected an integer of at"):
        Thing("a", 0)
    with pytest.raises(TypeError, match="Thing, argument name: expected a string, got 3"):
        Thing(3)
    with pytest.raises(TypeError, match="Thing: argument name is missing"):
        Thing()
    with pytest.raises(TypeError, match=r"Thing.take, argument \*names"):
        Thing("a").take(1)
    with pytest.raises(ValueError, match=r"Thing.take, argument step: .* at least 0, got -1"):
        Thing("a").take(step=-1)


def test_a_child_is_named_by_its_own_class():
    with pytest.raises(ValueError, match="Child 'a', argument num_rows"):
        Child("a", num_rows=0)
    with pytest.raises(TypeError, match=r"Child.take, argument \*names"):
        Child("a").take(1)
    with pytest.raises(ValueError, match=r"Child.make, argument num_rows"):
        Child.make(0)
    assert type(Child.make(2)) is Child


def test_a_static_method_is_checked_too():
    assert Thing.count([1, 2]) == 2
    with pytest.raises(TypeError, match="count, argument values: expected a sequence of integers"):
        Thing.count("ab")


@typed
@dataclass(frozen=True)
class Options:
    """Options of something."""

    epochs: int
    lr: float = 1e-3
    weights: Mapping[str, float] = field(default_factory=dict)


def test_a_dataclass_is_checked_and_its_numbers_are_pythons():
    found = Options(np.int64(3), lr=1)
    assert (found.epochs, found.lr, found.weights) == (3, 1.0, {})
    assert type(found.epochs) is int
    for wrong, name in (({"epochs": 0}, "epochs"), ({"epochs": 1, "lr": -1.0}, "lr")):
        with pytest.raises(ValueError, match=f"Options, argument {name}"):
            Options(**wrong)
    with pytest.raises(
        ValueError, match=r"Options, argument weights\['a'\]: .* at least 0, got -1"
    ):
        Options(1, weights={"a": -1.0})


def test_a_context_manager_is_checked_when_it_is_made():
    @typed
    @contextmanager
    def scaled(scale: float) -> Iterator[float]:
        yield scale

    with scaled(2) as found:
        assert found == 2.0
    with pytest.raises(ValueError, match=r"scaled, argument scale: .* above 0, got 0"):
        scaled(0)


def test_a_function_may_name_a_type_that_is_defined_later():
    @typed
    def look(value: "Later") -> None: ...

    globals()["Later"] = int
    try:
        look(3)
        with pytest.raises(TypeError, match="look, argument value: expected an integer"):
            look("3")
    finally:
        del globals()["Later"]


def test_an_argument_without_an_annotation_admits_anything():
    @typed
    def loose(value, num_rows=None):
        return value, num_rows

    assert loose(object, num_rows=-1) == (object, -1)


def test_a_documented_function_says_what_it_raises_once():
    assert inspect.getdoc(several).count("Raises:") == 1
    assert "TypeError: For an argument of another type" in inspect.getdoc(several)

    @typed
    def own() -> None:
        """Do something.

        Raises:
            OSError: Always.
        """

    assert "TypeError" not in inspect.getdoc(own)

    @typed
    def silent() -> None: ...

    assert silent.__doc__ is None


def test_a_checked_function_is_still_itself():
    assert several.__name__ == "several"
    assert list(inspect.signature(several).parameters) == ["a", "b", "rest", "c", "others"]
    assert several.typed


# ---------------------------------------------------------------- ranges by name


@pytest.mark.parametrize("name", sorted(RANGES))
def test_a_range_is_that_of_its_name_everywhere(name):
    scope: dict[str, Any] = {}
    exec(f"def takes({name}): return {name}", scope)
    takes = scope["takes"]
    takes.__annotations__ = {name: float}
    checked, limits = typed(takes), RANGES[name]
    for value in (-1.0, 0.0, 0.5, 1.0, 2.0):
        if limits.holds(value):
            assert checked(value) == value
        else:
            with pytest.raises(ValueError, match=f"argument {name}: expected a finite number"):
                checked(value)


def test_an_annotated_range_replaces_that_of_the_name():
    @typed
    def takes(epochs: Annotated[int, Range(0)], num_rows: Annotated[int, Range(-5)] = 0) -> tuple:
        return epochs, num_rows

    assert takes(0, -5) == (0, -5)
    with pytest.raises(ValueError, match="of at least -5, got -6"):
        takes(0, -6)


# ---------------------------------------------------------------- remedies


def refusal(annotation, value):
    def takes(value):
        return value

    takes.__annotations__ = {"value": annotation}
    with pytest.raises((TypeError, ValueError)) as caught:
        typed(takes)(value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (int, 2**33, "; the largest is 4294967295."),
        (nn.Module, nn.ReLU, "; make one of it: ReLU(...)."),
        (nn.Module, len, "; write it as the forward method of a torch.nn.Module."),
        (torch.Tensor, [1.0], "; make it a tensor: torch.as_tensor(...)."),
        (float, torch.tensor([1.0]), "; take its number: .item()."),
        (Sequence[str], "a", "; put it in a list, ['a']."),
        (Sequence[int], 3, "; put it in a list, [3]."),
    ],
    ids=str,
)
def test_a_refusal_ends_with_its_remedy(annotation, value, said):
    message = refusal(annotation, value)
    assert said in message or said.replace(", [3]", "") in message


def test_what_nothing_helps_has_no_remedy():
    assert refusal(int, "a").endswith("expected an integer, got 'a'.")
    assert refusal(float, torch.ones(2)).endswith("got a tensor of float64 of shape (2,).")
    assert refusal(float, torch.tensor(torch.nan)).endswith("with NaN or infinity.")
    assert refusal(int, torch.tensor(0.5)).endswith("got a tensor of float64 of shape ().")
    assert refusal(Numbers, torch.tensor([torch.inf])).endswith("with NaN or infinity.")
    assert refusal(Matrix, torch.ones(1)).endswith("got a tensor of float64 of shape (1,).")
    assert refusal(float, torch.ones(1, device="meta")).endswith("of shape (1,).")


def test_an_optimiser_itself_is_no_function_that_makes_one():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    assert FUNCTION.read(optimizer) is NO
    assert "functools.partial(torch.optim.Adam" in remedy(FUNCTION, optimizer)


class Handed(TypedDict, total=False):
    """Options that a function hands on to another."""

    alpha: float
    kind: Literal["one", "two"]


@typed
def hands_on(value: int, **options: Unpack[Handed]) -> dict[str, object]:
    return {"value": value, **options}


def test_options_that_are_handed_on_are_checked_at_the_first_door():
    assert hands_on(1, alpha=2, kind="one") == {"value": 1, "alpha": 2.0, "kind": "one"}
    with pytest.raises(ValueError, match=r"hands_on, argument kind: .* Did you mean 'two'\?"):
        hands_on(1, kind="tow")
    with pytest.raises(ValueError, match=r"hands_on, argument alpha: .* at least 0, got -1"):
        hands_on(1, alpha=-1.0)
    with pytest.raises(TypeError, match=r"hands_on: unknown argument 'alpah'.*mean 'alpha'\?"):
        hands_on(1, alpah=1.0)
