"""Conversion of an argument's annotation into the kind of values that it admits."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from torch import Tensor, nn

from ppl_mm.arguments.kinds import (
    ANY_NUMBER,
    ANYTHING,
    BOOL,
    FACTORY,
    FUNCTION,
    NO,
    NONE,
    PATH,
    READ_PATH,
    STRING,
    Kind,
    Range,
    instance,
    integer,
    literal,
    real,
)
from ppl_mm.arguments.wording import either

__all__ = ["kind_of"]


def _all_of(parts: Iterable[tuple[str, Kind, Any]]) -> list[Any] | None:
    """Return the values that all parts read, or None if one part is not admitted."""
    found = []
    for _, kind, value in parts:
        got = kind.read(value)
        if got is NO:
            return None
        found.append(got)
    return found


def _changed(found: Iterable[Any], values: Iterable[Any]) -> bool:
    return any(new is not old for new, old in zip(found, values, strict=True))


def _sequence(element: Kind, *, ordered: bool) -> Kind:
    """Return the kind of lists, tuples and other iterables, which it reads as tuples.

    It does not admit strings, mappings or tensors.
    """
    not_these = (str, bytes, Mapping, Tensor, *((Set,) if ordered else ()))

    def typed(value: object) -> bool:
        return isinstance(value, Iterable) and (
            not isinstance(value, not_these) or type(value) in (type({}.keys()), type({}.values()))
        )

    def parts(value: Iterable[object]) -> Iterator[tuple[str, Kind, Any]]:
        return ((f"[{i}]", element, item) for i, item in enumerate(value))

    def read(value: object) -> Any:
        if not isinstance(value, Iterable) or not (isinstance(value, list | tuple) or typed(value)):
            return NO
        values = value if isinstance(value, list | tuple) else tuple(value)
        if element is ANYTHING or {*map(type, values)} == {element.exact}:
            return values
        found = _all_of(parts(values))
        if found is None:
            return NO
        return tuple(found) if _changed(found, values) else values

    noun = "sequence" if ordered else "collection"
    of = f" of {element.many}"
    return Kind(f"a {noun}{of}", f"{noun}s{of}", read, typed, parts)


def _fixed(elements: list[Kind]) -> Kind:
    """Return the kind of tuples whose elements have the given kinds, in order."""

    def typed(value: object) -> TypeGuard[Sequence[object]]:
        return isinstance(value, tuple | list) and len(value) == len(elements)

    def parts(value: Iterable[object]) -> Iterator[tuple[str, Kind, Any]]:
        pairs = zip(elements, value, strict=True)
        return ((f"[{i}]", kind, item) for i, (kind, item) in enumerate(pairs))

    def read(value: object) -> Any:
        if not typed(value):
            return NO
        found = _all_of(parts(value))
        if found is None:
            return NO
        return tuple(found) if _changed(found, value) else value

    inside = ", ".join(kind.words for kind in elements)
    return Kind(f"a tuple ({inside})", f"tuples ({inside})", read, typed, parts)


def _mapping(key: Kind, value: Kind) -> Kind:
    def parts(given: Mapping[object, object]) -> Iterator[tuple[str, Kind, Any]]:
        for name, item in given.items():
            yield f"'s key {name!r}", key, name
            yield f"[{name!r}]", value, item

    def typed(given: object) -> bool:
        return isinstance(given, Mapping)

    def read(given: object) -> Any:
        if not isinstance(given, Mapping):
            return NO
        if key is ANYTHING and value is ANYTHING:
            return given
        found = _all_of(parts(given))
        if found is None:
            return NO
        keys, values = found[::2], found[1::2]
        if _changed(keys, given.keys()) or _changed(values, given.values()):
            return dict(zip(keys, values, strict=True))
        return given

    of = "" if value is ANYTHING else f" from {key.many} to {value.many}"
    return Kind(f"a dict{of}", f"dicts{of}", read, typed, parts)


def _union(kinds: list[Kind]) -> Kind:
    def read(value: object) -> Any:
        for kind in kinds:
            got = kind.read(value)
            if got is not NO:
                return got
        return NO

    def parts(value: object) -> Iterator[tuple[str, Kind, Any]]:
        """Yield the parts of the value, if exactly one kind of the union fits its type."""
        fitting = [k for k in kinds if k.typed(value)]
        if len(fitting) == 1 and fitting[0].parts is not None:
            yield from fitting[0].parts(value)

    return Kind(
        either(list(dict.fromkeys(kind.words for kind in kinds))),
        either(list(dict.fromkeys(kind.many for kind in kinds))),
        read,
        lambda value: any(kind.typed(value) for kind in kinds),
        parts,
        choices=tuple(c for kind in kinds for c in kind.choices),
    )


def _alternatives(annotation: object, limits: Range) -> list[Kind]:
    """Return the kinds that an annotation adds to a union: one for each option of a Literal."""
    if get_origin(annotation) is Literal:
        return [literal((option,)) for option in get_args(annotation)]
    return [kind_of(annotation, limits)]


_PLAIN = {str: STRING, bool: BOOL, NoneType: NONE, Any: ANYTHING, object: ANYTHING, Path: READ_PATH}


def _is_path_type(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, os.PathLike)


def kind_of(annotation: object, limits: Range = ANY_NUMBER) -> Kind:
    """Return the kind of an annotation, whose numbers lie within limits.

    ``Annotated[int, Range(0)]`` has its own limits, and ``Annotated[X, kind]`` its own kind. An
    annotation that cannot be tested at run time, such as a type variable, admits anything. The
    shapes of tensors are not checked.
    """
    if get_origin(annotation) is Annotated:
        annotation, more = get_args(annotation)
        if isinstance(more, Kind):
            return more
        limits = more
    if annotation in (int, float):
        return integer(limits) if annotation is int else real(limits)
    if isinstance(annotation, type(Any)) or annotation in _PLAIN:
        return _PLAIN.get(annotation, ANYTHING)
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        if any(_is_path_type(get_origin(a) or a) for a in inside):
            path = PATH if str in inside else READ_PATH
            return _union([path, *(kind_of(a, limits) for a in inside if a is NoneType)])
        return _union([kind for a in inside for kind in _alternatives(a, limits)])
    if origin is Literal:
        return literal(inside)
    if annotation is Callable or origin is Callable:
        return FACTORY if inside and inside[-1] is nn.Module else FUNCTION
    if origin is tuple and inside[-1] is not Ellipsis:
        return _fixed([kind_of(a, limits) for a in inside])
    cls = origin or getattr(annotation, "array_type", annotation)  # of a jaxtyping shape
    if not isinstance(cls, type):
        return ANYTHING
    if issubclass(cls, Mapping):
        key, value = (kind_of(a, limits) for a in inside or (Any, Any))
        return _mapping(key, value)
    if issubclass(cls, Iterable) and inside:
        return _sequence(kind_of(inside[0], limits), ordered=issubclass(cls, Sequence))
    return instance(cls)
