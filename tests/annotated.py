"""Shapes in signatures hold in every call that succeeds; the library's own errors come first."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

from beartype import beartype
from jaxtyping import AbstractArray

__all__ = ["modules_with_shapes", "shapes"]

ROOT = Path(__file__).resolve().parents[1]


def modules_with_shapes() -> list[str]:
    """The library's modules that import jaxtyping, by their names."""
    found = []
    for folder in ("ppl_mm", "models", "guides"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if re.search("^from jaxtyping import", path.read_text(), re.MULTILINE):
                parts = path.relative_to(ROOT).with_suffix("").parts
                found.append(".".join(parts if folder == "ppl_mm" else ("ppl_mm", *parts)))
    return [name.removesuffix(".__init__") for name in found]


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
    parts = get_args(annotation)
    return get_origin(annotation)[tuple(shape_of(x) if has_shape(x) else Any for x in parts)]
