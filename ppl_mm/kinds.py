"""What an annotation admits: a test of values, and the words for it.

A kind reads a value and gives it back, as Python's own number where it was NumPy's, or says no.
"""

import math
import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
import torch
from torch import Tensor, nn

from ppl_mm.wording import article, either

__all__ = ["ANYTHING", "DEVICE", "LARGEST", "NO", "Kind", "Range", "kind_of"]

LARGEST = 2**32 - 1
"""No integer is larger: it would be of no use, and torch and NumPy fail on it obscurely."""

NO = object()
"""What a kind gives for a value that it does not admit."""

Parts = Callable[[Any], Iterable[tuple[str, "Kind", Any]]]


@dataclass(frozen=True)
class Kind:
    """The values that an annotation admits.

    Attributes:
        words: What one is called, such as "an integer of at least 1".
        many: What several are called.
        read: From a value to itself, or to what it stands for; ``NO`` where it is not admitted.
        typed: Whether a value is of the right type, be it out of range or not.
        parts: Where each element of a value is, of which kind it must be, and itself.
        choices: The strings to choose from.
        exact: A type all of whose direct instances are admitted, as they are.
    """

    words: str
    many: str
    read: Callable[[Any], Any]
    typed: Callable[[Any], bool]
    parts: Parts | None = None
    choices: tuple[str, ...] = ()
    exact: type | None = None


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``; ``above`` leaves out ``low`` itself."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False

    def holds(self, number: float) -> bool:
        """Whether a number lies in it."""
        return (self.low < number if self.above else self.low <= number) and number <= self.high

    def __str__(self) -> str:
        if self.low == -math.inf:
            return ""
        if self.high < math.inf:
            return f" from {self.low} to {self.high}"
        return f" above {self.low}" if self.above else f" of at least {self.low}"


def _same(value: Any) -> Any:
    return value


ANYTHING = Kind("anything", "anything", _same, lambda value: True)
_NONE = Kind("None", "None", lambda x: x if x is None else NO, lambda x: x is None)


_WORDS: dict[str, tuple[str, str]] = {
    "ELBO": ("a pyro.infer.ELBO", "ELBOs"),
    "Likelihood": ("a likelihood such as likelihoods.Bernoulli()", "likelihoods"),
    "Module": ("a torch.nn.Module", "torch modules"),
    "Observations": ("Observations", "Observations"),
    "Tensor": ("a tensor", "tensors"),
    "PathLike": ("a path", "paths"),
    "device": ("a torch.device", "devices"),
    "str": ("a string", "strings"),
}


def _instance(cls: type) -> Kind:
    """Instances of a class; of a protocol that cannot be tested, anything."""
    words, many = _WORDS.get(cls.__name__, (article(cls.__name__), f"{cls.__name__} objects"))

    def typed(value: Any) -> bool:
        try:
            return isinstance(value, cls)
        except TypeError:
            return True

    return Kind(words, many, lambda value: value if typed(value) else NO, typed, exact=cls)


_STRING = _instance(str)
_FUNCTION = Kind("a function", "functions", lambda x: x if callable(x) else NO, callable)


def _makes_modules(value: Any) -> bool:
    return callable(value) and not isinstance(value, nn.Module)


_FACTORY = Kind(
    "a function that returns a torch.nn.Module",
    "functions that return a torch.nn.Module",
    lambda x: x if _makes_modules(x) else NO,
    _makes_modules,
)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


_BOOL = Kind("True or False", "True or False", lambda x: bool(x) if _is_bool(x) else NO, _is_bool)


def _integer(limits: Range) -> Kind:
    def typed(value: Any) -> bool:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)

    def read(value: Any) -> Any:
        if type(value) is not int and not typed(value):  # the usual case first, for speed
            return NO
        return int(value) if limits.holds(value) and -LARGEST <= value <= LARGEST else NO

    return Kind(f"an integer{limits}", f"integers{limits}", read, typed)


def _real(limits: Range) -> Kind:
    def typed(value: Any) -> bool:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)

    def read(value: Any) -> Any:
        if type(value) is not float and not typed(value):
            return NO
        try:
            number = float(value)
        except OverflowError:  # 10**400
            return NO
        return number if math.isfinite(number) and limits.holds(number) else NO

    return Kind(f"a finite number{limits}", f"finite numbers{limits}", read, typed)


def _literal(options: tuple[Any, ...]) -> Kind:
    types = {type(option) for option in options}
    words = either([repr(option) for option in options])
    return Kind(
        words,
        words,
        lambda x: x if type(x) in types and x in options else NO,
        lambda x: type(x) in types,
        choices=tuple(o for o in options if isinstance(o, str)),
    )


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


_PATH = Kind("a path", "paths", lambda x: Path(x) if _is_path(x) else NO, _is_path)


def _device(value: Any) -> Any:
    """A torch device by its name, once torch knows it."""
    if isinstance(value, torch.device):
        value = str(value)
    if not isinstance(value, str):
        return NO
    try:
        kind = "cpu" if value == "auto" else torch.device(value).type
    except RuntimeError:
        return NO
    return value if kind in ("cpu", "cuda", "meta") else NO


DEVICE = Kind(
    "a device such as 'auto', 'cpu', 'cuda' or 'cuda:1'",
    "devices",
    _device,
    lambda x: isinstance(x, str | torch.device),
)


def _all_of(parts: Iterable[tuple[str, Kind, Any]]) -> list[Any] | None:
    """What the parts read; None if one of them is not admitted."""
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
    """Lists, tuples and other iterables, which become tuples; no strings, mappings or tensors."""
    not_these = (str, bytes, Mapping, Tensor, *((Set,) if ordered else ()))

    def typed(value: Any) -> bool:
        return isinstance(value, Iterable) and (
            not isinstance(value, not_these) or type(value) in (type({}.keys()), type({}.values()))
        )

    def parts(value: Any) -> Iterator[tuple[str, Kind, Any]]:
        return ((f"[{i}]", element, item) for i, item in enumerate(value))

    def read(value: Any) -> Any:
        if not isinstance(value, list | tuple) and not typed(value):
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
    """A tuple of certain kinds, one after the other."""

    def typed(value: Any) -> bool:
        return isinstance(value, tuple | list) and len(value) == len(elements)

    def parts(value: Any) -> Iterator[tuple[str, Kind, Any]]:
        pairs = zip(elements, value, strict=True)
        return ((f"[{i}]", kind, item) for i, (kind, item) in enumerate(pairs))

    def read(value: Any) -> Any:
        found = _all_of(parts(value)) if typed(value) else None
        if found is None:
            return NO
        return tuple(found) if _changed(found, value) else value

    inside = ", ".join(kind.words for kind in elements)
    return Kind(f"a tuple ({inside})", f"tuples ({inside})", read, typed, parts)


def _mapping(key: Kind, value: Kind) -> Kind:
    def parts(given: Any) -> Iterator[tuple[str, Kind, Any]]:
        for name, item in given.items():
            yield f"'s key {name!r}", key, name
            yield f"[{name!r}]", value, item

    def typed(given: Any) -> bool:
        return isinstance(given, Mapping)

    def read(given: Any) -> Any:
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
    def read(value: Any) -> Any:
        for kind in kinds:
            got = kind.read(value)
            if got is not NO:
                return got
        return NO

    def parts(value: Any) -> Iterator[tuple[str, Kind, Any]]:
        """Those of the one container that the value is."""
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


_PLAIN = {str: _STRING, bool: _BOOL, NoneType: _NONE, Any: ANYTHING, object: ANYTHING, Path: _PATH}


def kind_of(annotation: Any, limits: Range = Range()) -> Kind:
    """The kind of an annotation, its numbers within limits.

    ``Annotated[int, Range(0)]`` has limits of its own. What has no test at run time, such as a
    type variable, admits anything; a tensor's shape is not looked at.
    """
    if get_origin(annotation) is Annotated:
        annotation, limits = get_args(annotation)
    if annotation in (int, float):
        return _integer(limits) if annotation is int else _real(limits)
    if isinstance(annotation, type(Any)) or annotation in _PLAIN:
        return _PLAIN.get(annotation, ANYTHING)
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _union([kind_of(a, limits) for a in inside])
    if origin is Literal:
        return _literal(inside)
    if annotation is Callable or origin is Callable:
        return _FACTORY if inside and inside[-1] is nn.Module else _FUNCTION
    if origin is tuple and inside[-1] is not Ellipsis:
        return _fixed([kind_of(a, limits) for a in inside])
    cls = origin or getattr(annotation, "array_type", annotation)  # that of a jaxtyping shape
    if not isinstance(cls, type):
        return ANYTHING
    if issubclass(cls, Mapping):
        key, value = (kind_of(a, limits) for a in inside or (Any, Any))
        return _mapping(key, value)
    if issubclass(cls, Iterable) and inside:
        return _sequence(kind_of(inside[0], limits), ordered=issubclass(cls, Sequence))
    return _instance(cls)
