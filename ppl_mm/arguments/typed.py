"""The decorator ``@typed``, which checks a public function's arguments against its annotations.

    @typed
    def draw(obs: Observations, names: Sequence[str], num_samples: int = 1, seed: int = 0): ...

A value that does not fit is refused before anything else happens. The message names the function,
the argument, what was expected, what was given and, if one is known, the remedy. A wrong type
raises TypeError, and a value out of range raises ValueError. Numbers must be finite. An argument's
name determines its range, which is the same in the whole library (``RANGES``). NumPy's numbers
become Python's, a ``torch.device`` becomes its name, and an iterable becomes a tuple.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, SimpleNamespace
from typing import (
    Any,
    NoReturn,
    TypeGuard,
    TypeVar,
    Unpack,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
import torch
from torch import Tensor

from ppl_mm.arguments.annotations import kind_of
from ppl_mm.arguments.kinds import ANYTHING, DEVICE, LARGEST, NO, Kind, Range
from ppl_mm.arguments.shown import shown
from ppl_mm.arguments.wording import unknown_name

__all__ = ["RANGES", "typed"]

T = TypeVar("T")

_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_FROM_0, _FROM_1, _ABOVE_0, _SHARE = Range(0), Range(1), Range(0, above=True), Range(0, 1)

_NAMES = {
    _FROM_1: """
        batch_size bins channels checkpoint_every chunk columns dpi embedding epochs event_shape
        first_stage hidden in_features latent_dim length max_channels max_iterations
        max_per_class max_samples out_features patience prior_hidden private_dim private_features
        repeats rows steps steps_per_epoch strata vocab_size
        """,
    _FROM_0: """
        alpha annealing_epochs beta gammas k lambdas learning_rate lr margin mmd_weight
        num_pools num_warmup padding ridge shares start step unlabelled validation
        weight weights
        """,
    _ABOVE_0: """
        clip_norm init_scale initial_scale kernel min_scale penalties penalty scale span
        target_standard_error width
        """,
    _SHARE: """
        dropout fraction lam missing omega paired probability shrinkage word_dropout
        """,
    Range(0, LARGEST): "seed",  # the range that NumPy and scikit-learn accept
}
RANGES = {name: limits for limits, names in _NAMES.items() for name in names.split()}
"""The range of each argument by its name; in addition, every ``num_...`` is at least 1."""


_RAISES = """Raises:
    TypeError: For an argument of another type than its annotation, or of an unknown name.
    ValueError: For a number out of its range, or none of the choices.
"""


def typed(public: T) -> T:
    """Check the arguments of a function, a method, or a class's constructor.

    If the docstring has no "Raises:" section, one for these checks is added.
    """
    if isinstance(public, type):
        if "__init__" in vars(public):
            public.__init__ = typed(public.__init__)  # type: ignore[misc]
        _say_what_is_raised(public)
        return public
    function = cast(Callable[..., Any], public)
    door: _Door | None = None

    @functools.wraps(function)
    def checked(*args: object, **kwargs: object) -> object:
        nonlocal door
        if door is None:  # annotations may name later definitions
            door = _Door(function)
        given, named = door.read(args, kwargs)
        return function(*given, **named)

    checked.typed = True  # type: ignore[attr-defined]
    _say_what_is_raised(checked)
    return checked  # type: ignore[return-value]


def _say_what_is_raised(public: object) -> None:
    """Add the exceptions of the checks to a docstring without a "Raises:" section."""
    text = inspect.cleandoc(public.__doc__ or "")
    if text and "Raises:" not in text and getattr(public, "__name__", "") != "__init__":
        public.__doc__ = f"{text}\n\n{_RAISES}"


class _Door:
    """The arguments that a function takes: their kinds, by position and by name."""

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = inspect.signature(function).parameters.values()
        hints = _hints(inspect.unwrap(function))
        each = [(p, _kind(p.name, hints.get(p.name, p.annotation))) for p in parameters]
        self.name: str = function.__qualname__
        self.by_position = [(p.name, k) for p, k in each if p.kind in _PLACED]
        self.by_name = {p.name: k for p, k in each if p.kind in _NAMED}
        self.others = next(((f"*{p.name}", k) for p, k in each if p.kind == p.VAR_POSITIONAL), None)
        options = [hints.get(p.name) for p in parameters if p.kind == p.VAR_KEYWORD]
        handed_on = [_options(annotation) for annotation in options]
        for kinds in handed_on:
            self.by_name |= kinds
        self.open = {} in handed_on
        needed = [p for p in parameters if p.default is p.empty]
        self.needed_places = [p.name for p in needed if p.kind in _PLACED]
        self.needed_names = {p.name for p in needed if p.kind == p.KEYWORD_ONLY}

    def read(
        self, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[Iterable[object], dict[str, object]]:
        """Return the checked arguments, by position and by name."""
        places = self.by_position
        if len(args) > len(places):
            if self.others is None:
                raise TypeError(
                    f"{self._who(args, kwargs)}: expected at most {len(places)} arguments without "
                    f"a name ({', '.join(name for name, _ in places)}), got {len(args)}."
                )
            places = [*places, *[self.others] * (len(args) - len(places))]
        if not (self.open or kwargs.keys() <= self.by_name.keys()):
            unknown = next(name for name in kwargs if name not in self.by_name)
            raise TypeError(
                f"{self._who(args, kwargs)}: {unknown_name('argument', unknown, self.by_name)}"
            )
        if len(args) < len(self.needed_places) or not kwargs.keys() >= self.needed_names:
            self._find_missing(args, kwargs)
        found = [kind.read(value) for (_, kind), value in zip(places, args, strict=False)]
        for (name, kind), got, value in zip(places, found, args, strict=False):
            if got is NO:
                self._refuse(args, kwargs, name, kind, value)
        read = {}
        for name, value in kwargs.items():
            kind = self.by_name.get(name, ANYTHING)
            read[name] = kind.read(value)
            if read[name] is NO:
                self._refuse(args, kwargs, name, kind, value)
        return found, read

    def _find_missing(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        given = {name for name, _ in self.by_position[: len(args)]} | kwargs.keys()
        missing = [name for name in (*self.needed_places, *self.needed_names) if name not in given]
        if missing:
            raise TypeError(f"{self._who(args, kwargs)}: argument {missing[0]} is missing.")

    def _refuse(
        self,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        name: str,
        kind: Kind,
        value: object,
    ) -> NoReturn:
        """Raise for a value that its kind does not admit, or for its first such element."""
        what = name
        while kind.typed(value) and kind.parts is not None:
            place, kind, value = next(
                (part for part in kind.parts(value) if part[1].read(part[2]) is NO),
                ("", kind, value),
            )
            if not place:
                break
            what += place
        error = ValueError if kind.typed(value) else TypeError
        near = ""
        if kind.choices and isinstance(value, str):
            close = difflib.get_close_matches(value, kind.choices, n=1)
            near = f" Did you mean {close[0]!r}?" if close else ""
        raise error(
            f"{self._who(args, kwargs)}, argument {what}: expected {kind.words}, got "
            f"{shown(value)}{remedy(kind, value)}.{near}"
        )

    def _who(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
        """Return the name of the function, method or class, and that of the object it makes."""
        *outer, name = self.name.split(".")
        if not outer or not args:
            return name
        owner = args[0] if isinstance(args[0], type) else type(args[0])
        if name != "__init__":
            return f"{owner.__name__}.{name}"
        given = dict(zip([n for n, _ in self.by_position], args, strict=False)) | dict(kwargs)
        called = given.get("name")
        return f"{owner.__name__} {called!r}" if isinstance(called, str) else owner.__name__


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of the arguments.

    The return type is left out, since it may name a type that is not loaded.
    """
    own = {name: kind for name, kind in function.__annotations__.items() if name != "return"}
    asked = SimpleNamespace(__annotations__=own)
    return get_type_hints(asked, cast(FunctionType, function).__globals__, include_extras=True)


def _kind(name: str, annotation: object) -> Kind:
    """Return the kind of an argument, which its annotation and its name determine."""
    if annotation is inspect.Parameter.empty:
        return ANYTHING
    if name == "device" and annotation in (str, str | torch.device):
        return DEVICE
    return kind_of(annotation, RANGES.get(name, _FROM_1 if name.startswith("num_") else Range()))


def _options(annotation: object) -> dict[str, Kind]:
    """Return the kinds of the arguments in ``**options: Unpack[...]``, or none."""
    if get_origin(annotation) is not Unpack:
        return {}
    (options,) = get_args(annotation)
    hints = get_type_hints(options, include_extras=True)
    return {name: _kind(name, kind) for name, kind in hints.items()}


def remedy(kind: Kind, value: object) -> str:
    """Return the remedy for a refused value, or an empty string if none is known."""
    words = kind.words.lower()
    if isinstance(value, int) and abs(value) > LARGEST and "integer" in words:
        return f"; the largest is {LARGEST}"
    if isinstance(value, type) and any(c.__name__.lower() in words for c in value.__mro__[:-1]):
        return f"; make one of it: {value.__name__}(...)"
    if isinstance(value, torch.optim.Optimizer):
        return " itself; write functools.partial(torch.optim.Adam, lr=1e-3)"
    if "Observations" in kind.words and isinstance(value, Mapping):
        return "; wrap a dict of tensors as Observations({...})"
    if "Observations" in kind.words and hasattr(value, "train"):
        return "; give a part of it, such as dataset.train or dataset.test"
    if "function that returns" in kind.words:
        return "; write lambda size: MyNetwork(size), where the size is an argument"
    if "nn.Module" in kind.words and callable(value):
        return "; write it as the forward method of a torch.nn.Module"
    if "a tensor" in kind.words and isinstance(value, np.ndarray | list | tuple):
        return "; make it a tensor: torch.as_tensor(...)"
    if _has_number(value) and kind.read(value.item()) is not NO:
        return "; take its number: .item()"
    if not isinstance(value, Mapping | None) and kind.read([value]) is not NO:
        return f"; put it in a list{f', [{value!r}]' if isinstance(value, str) else ''}"
    return ""


def _has_number(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.numel() == 1 and value.device.type != "meta"
