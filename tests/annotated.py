"""Shapes in signatures hold in calls that succeed; the library's own errors come first."""

import functools
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped
from torch import Tensor

__all__ = ["CHECKED", "ENOUGH", "REPEATS", "checked_shapes", "modules_with_shapes", "shapes"]

ROOT = Path(__file__).resolve().parents[1]
CHECKED: set[object] = set()  # functions with the shapes that they were checked for in this test
REPEATS: Counter[object] = Counter()  # function -> its latest calls with shapes that it had before
ENOUGH = 50


def modules_with_shapes() -> list[str]:
    """The library's modules that import jaxtyping, by their names."""
    found = []
    for folder in ("ppl_mm", "models", "guides"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if re.search("^from jaxtyping import", path.read_text(), re.MULTILINE):
                parts = path.relative_to(ROOT).with_suffix("").parts
                found.append(".".join(parts if folder == "ppl_mm" else ("ppl_mm", *parts)))
    return [name.removesuffix(".__init__") for name in found]


@contextmanager
def checked_shapes(modules: list[str]) -> Iterator[None]:
    """Check the shapes in signatures of the modules that are first imported inside.

    jaxtyping's hook wraps every function of a module, and a wrapper takes longer than many of the
    functions. So only those whose signature carries a shape are wrapped, in their first call.
    Functions inside others are made in every call, so jaxtyping's decorator is replaced for good.
    """
    jaxtyping.jaxtyped = _where_shaped
    with jaxtyping.install_import_hook(modules, f"{__name__}.shapes"):
        yield


def _where_shaped(*, typechecker: Any) -> Callable[[Any], Any]:
    def decorated(made: Any) -> Any:
        if not carries_shape(made):
            return made
        checked = functools.cache(lambda: jaxtyped(made, typechecker=typechecker))
        return once_for_each_shape(made, lambda *args, **kwargs: checked()(*args, **kwargs))

    return decorated


def once_for_each_shape(plain: Callable[..., Any], checked: Callable[..., Any]) -> Any:
    """A function that is checked in its first call with arguments of these shapes in each test.

    A check takes longer than many of the functions, and most calls repeat the shapes of another.
    After ``ENOUGH`` repeats in a row the function is left alone until the test ends.
    """

    @functools.wraps(plain)
    def call(*args: Any, **kwargs: Any) -> Any:
        if REPEATS[plain] == ENOUGH:
            return plain(*args, **kwargs)
        given = (*args, *kwargs.values())
        key = plain, tuple(map(_shape, given))
        if key in CHECKED:
            REPEATS[plain] += 1
            return plain(*args, **kwargs)
        REPEATS[plain] = 0
        CHECKED.add(key)
        return checked(*args, **kwargs)

    return call


def _shape(x: object) -> tuple[int, ...] | None:
    """The shape of an argument; None of what has none, as nested tensors."""
    return x.shape if isinstance(x, Tensor) and not x.is_nested else None


def carries_shape(made: Any) -> bool:
    """Whether a function's signature has a shape to check.

    Fields of dataclasses and functions inside others are not checked: jaxtyping compiles a checker
    for every object and in every call of the function outside.
    """
    if inspect.isclass(made) or "<locals>" in made.__qualname__:
        return False
    kinds = made.__annotations__
    return kinds.get("return", Any) is not Any and any(map(has_shape, kinds.values()))


def shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """The type checker of jaxtyping's import hook: it checks the annotations with shapes alone.

    jaxtyping gives it two signatures of each function: the arguments', before the call, and the
    arguments' with the result's, after it. Only the second one is checked, so that a call which
    the library refuses raises the library's own error.
    """
    annotations = dict(function.__annotations__)
    if annotations.get("return") in (Any, inspect.Signature.empty):
        return lambda *args, **kwargs: None
    shaped = {name: shape_of(kind) for name, kind in annotations.items() if has_shape(kind)}
    if not shaped:
        return lambda *args, **kwargs: None
    function.__annotations__ = shaped
    return beartype(function)


def has_shape(annotation: object) -> bool:
    """Whether an annotation is a jaxtyping shape, or holds one."""
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(map(has_shape, get_args(annotation)))


def shape_of(annotation: Any) -> Any:
    """An annotation without what is no shape in its tuples and lists, such as ``Self``."""
    if get_origin(annotation) not in (tuple, list, dict):
        return annotation
    kept = (x if x is ... else shape_of(x) if has_shape(x) else Any for x in get_args(annotation))
    return get_origin(annotation)[tuple(kept)]
