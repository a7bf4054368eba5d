"""Kinds of values that an argument may have: a test of values, and the words for messages.

A kind reads a value. It returns the value, with NumPy's numbers as Python's, or ``NO``.
"""

import math
import numbers
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn

from ppl_mm.arguments.wording import article, either

__all__ = [
    "ANYTHING",
    "ANY_NUMBER",
    "BOOL",
    "DEVICE",
    "FACTORY",
    "FUNCTION",
    "LARGEST",
    "NO",
    "NONE",
    "PATH",
    "READ_PATH",
    "STRING",
    "Kind",
    "Range",
    "instance",
    "integer",
    "literal",
    "real",
]

LARGEST = 2**32 - 1
"""The largest integer that is admitted. Torch and NumPy fail on larger ones with obscure errors."""

NO = object()
"""The result of reading a value that a kind does not admit."""

Parts = Callable[[Any], Iterable[tuple[str, "Kind", Any]]]


@dataclass(frozen=True)
class Kind:
    """The values that an annotation admits.

    Attributes:
        words: The words for one value, such as "an integer of at least 1".
        many: The words for several values.
        read: A function that returns the value to use for a given one, or ``NO`` if it is not
            admitted.
        typed: A function that says whether a value has the right type, in or out of range.
        parts: A function that yields the place, the kind and the value of each element of a value.
        choices: The strings that are admitted, if the kind lists them.
        exact: A type whose direct instances are all admitted unchanged.
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
    """The numbers from ``low`` to ``high``; ``above`` excludes ``low`` itself."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False

    def holds(self, number: float) -> bool:
        """Return whether a number lies in the range."""
        return (self.low < number if self.above else self.low <= number) and number <= self.high

    def __str__(self) -> str:
        if self.low == -math.inf:
            return ""
        if self.high < math.inf:
            return f" from {self.low} to {self.high}"
        return f" above {self.low}" if self.above else f" of at least {self.low}"


ANY_NUMBER = Range()


def _same(value: object) -> Any:
    return value


ANYTHING = Kind("anything", "anything", _same, lambda value: True)
NONE = Kind("None", "None", lambda x: x if x is None else NO, lambda x: x is None)


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


def instance(cls: type) -> Kind:
    """Return the kind of a class's instances; an untestable protocol admits anything."""
    words, many = _WORDS.get(cls.__name__, (article(cls.__name__), f"{cls.__name__} objects"))

    def typed(value: object) -> bool:
        try:
            return isinstance(value, cls)
        except TypeError:
            return True

    return Kind(words, many, lambda value: value if typed(value) else NO, typed, exact=cls)


STRING = instance(str)
FUNCTION = Kind("a function", "functions", lambda x: x if callable(x) else NO, callable)


def _makes_modules(value: object) -> bool:
    return callable(value) and not isinstance(value, nn.Module)


FACTORY = Kind(
    "a function that returns a torch.nn.Module",
    "functions that return a torch.nn.Module",
    lambda x: x if _makes_modules(x) else NO,
    _makes_modules,
)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool | np.bool_)


BOOL = Kind("True or False", "True or False", lambda x: bool(x) if _is_bool(x) else NO, _is_bool)


def integer(limits: Range) -> Kind:
    """Return the kind of integers within limits, NumPy's included and booleans excluded."""

    def typed(value: object) -> TypeGuard[int]:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)

    def read(value: object) -> Any:
        if type(value) is int or typed(value):  # the most common case comes first, for speed
            return int(value) if limits.holds(value) and -LARGEST <= value <= LARGEST else NO
        return NO

    return Kind(f"an integer{limits}", f"integers{limits}", read, typed)


def real(limits: Range) -> Kind:
    """Return the kind of finite numbers within limits, integers and NumPy's included."""

    def typed(value: object) -> TypeGuard[float]:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)

    def read(value: object) -> Any:
        if type(value) is float or typed(value):
            try:
                number = float(value)
            except OverflowError:  # 10**400
                return NO
            return number if math.isfinite(number) and limits.holds(number) else NO
        return NO

    return Kind(f"a finite number{limits}", f"finite numbers{limits}", read, typed)


def literal(options: tuple[Any, ...]) -> Kind:
    """Return the kind that admits the given options alone."""
    types = {type(option) for option in options}
    words = either([repr(option) for option in options])
    return Kind(
        words,
        words,
        lambda x: x if type(x) in types and x in options else NO,
        lambda x: type(x) in types,
        choices=tuple(o for o in options if isinstance(o, str)),
    )


def _is_path(value: object) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(value, str | os.PathLike)


PATH = Kind("a path", "paths", lambda x: x if _is_path(x) and str(x) else NO, _is_path)
READ_PATH = replace(PATH, read=lambda x: Path(x) if _is_path(x) else NO)


def _device(value: object) -> Any:
    """Return the name of a torch device, or ``NO`` if torch does not know it."""
    if isinstance(value, torch.device):
        value = str(value)
    if not isinstance(value, str):
        return NO
    try:
        return value if value == "auto" or torch.device(value) else NO
    except RuntimeError:
        return NO


DEVICE = Kind(
    "a device such as 'cpu', 'cuda' or 'cuda:1'",
    "devices",
    _device,
    lambda x: isinstance(x, str | torch.device),
)
