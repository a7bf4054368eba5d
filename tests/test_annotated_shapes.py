"""The shapes in the library's signatures are checked in every test."""

import ast
from pathlib import Path

import pyro.distributions as dist
import pytest
import torch
from annotated import (
    CHECKED,
    ENOUGH,
    REPEATS,
    has_shape,
    modules_with_shapes,
    once_for_each_shape,
    shapes,
)
from jaxtyping import Bool, Float, TypeCheckError, jaxtyped
from torch import Tensor

from ppl_mm.distributions import StratifiedMixture

Rows = Float[Tensor, "B Z"]


@jaxtyped(typechecker=shapes)
def product(x: Rows, y: Float[Tensor, "Z F"], name: int = 0) -> Float[Tensor, "B F"]:
    if x.shape[1] != y.shape[0]:
        raise ValueError("the library's own message")
    return x @ y


@jaxtyped(typechecker=shapes)
def wrong(x: Rows) -> Float[Tensor, "Z B"]:
    return x


@jaxtyped(typechecker=shapes)
def nothing(x: Rows, mask: Bool[Tensor, " B"] | None = None) -> None:
    pass


def test_what_holds_passes_and_what_does_not_is_told():
    assert product(torch.ones(2, 3), torch.ones(3, 4)).shape == (2, 4)
    assert wrong(torch.ones(2, 2)).shape == (2, 2)
    with pytest.raises(TypeCheckError, match="wrong"):
        wrong(torch.ones(2, 3))
    with pytest.raises(TypeCheckError, match="nothing"):
        nothing(torch.ones(2))
    with pytest.raises(TypeCheckError, match="nothing"):
        nothing(torch.ones(2, 3), torch.ones(3).bool())
    nothing(torch.ones(2, 3), torch.ones(2).bool())
    nothing(torch.ones(2, 3))


def test_the_librarys_own_error_comes_first():
    with pytest.raises(ValueError, match="the library's own message"):
        product(torch.ones(2, 3), torch.ones(2, 4))


def test_types_other_than_shapes_are_the_doors_matter():
    assert product(torch.ones(2, 3), torch.ones(3, 4), name="not a number").shape == (2, 4)


@pytest.mark.parametrize(
    ("annotation", "shaped"),
    [
        (Rows, True),
        (Rows | None, True),
        (tuple[Rows, int], True),
        (dict[str, list[Rows]], True),
        (Tensor, False),
        (int | None, False),
        ("Rows", False),
    ],
    ids=str,
)
def test_which_annotations_have_shapes(annotation, shaped):
    assert has_shape(annotation) is shaped


def test_every_module_with_shapes_is_checked():
    found = modules_with_shapes()
    assert len(found) > 25
    assert {"ppl_mm.distributions.experts", "ppl_mm.objectives.iwae"} <= set(found)
    mixture = StratifiedMixture(
        dist.Normal(torch.zeros(2, 3, 1), 1.0).to_event(1), torch.zeros(2, 3)
    )
    with pytest.raises(TypeCheckError, match="log_density"):
        mixture.log_prob_each(torch.zeros(2, 3, 1).long())


def test_a_function_is_checked_once_for_each_shape_in_a_test():
    calls = []

    def plain(x, factor=1):
        return x * factor

    def checked(*args, **kwargs):
        calls.append((*args, *kwargs.values()))
        return plain(*args, **kwargs)

    call = once_for_each_shape(plain, checked)
    two, three = torch.ones(2), torch.ones(3)
    assert [call(x).sum() for x in (two, three, two, three)] == [2, 3, 2, 3]
    assert torch.equal(call(two, factor=three[:1]), two)
    call(two, factor=three[:1])
    assert [len(given) for given in calls] == [1, 1, 2]
    CHECKED.clear()  # as every test begins
    call(two)
    assert len(calls) == 4
    for _ in range(ENOUGH):
        call(two)
    call(three)
    assert len(calls) == 4
    REPEATS.clear()  # as every test begins
    call(three)
    assert len(calls) == 5


@pytest.mark.parametrize("folder", ["ppl_mm", "models", "guides", "experiments"])
def test_functions_within_others_carry_no_shapes(folder: str) -> None:
    """Python evaluates their annotations in each call of the function outside."""
    found = []
    for path in (Path(__file__).parents[1] / folder).rglob("*.py"):
        for outer in ast.walk(ast.parse(path.read_text())):
            if isinstance(outer, ast.FunctionDef):
                inner = [f for f in ast.walk(outer) if isinstance(f, ast.FunctionDef)]
                found += [f"{path}: {f.name}" for f in inner if f is not outer and shaped(f)]
    assert not found


def shaped(function: ast.FunctionDef) -> bool:
    signature = [function.args, *filter(None, [function.returns])]
    names = [n for part in signature for n in ast.walk(part) if isinstance(n, ast.Name)]
    return any(n.id in ("Float", "Int", "Bool", "Shaped") for n in names)
