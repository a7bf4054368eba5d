"""Two thousand wrong calls of public names: a right call, one argument of which is wrong.

An error is clear if a ``raise`` of this library's makes it, and its text names the argument, the
function, what came, or a modality. A call that succeeds with the wrong value may give no number
that is not finite, unless the right call has it too or a warning says so. None may take long.
"""

import ast
import dataclasses
import linecache
import random
import signal
import socket
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from every_system import build, complete, modalities
from fuzzing import LABEL, NORMAL, Public, public, rows, system
from torch import nn

from ppl_mm import Observations

CALLS, SHARE = 1000, 0.02
SECONDS = 8.0  # of processor time for a call: the slowest right one takes a second
ROOT = Path(__file__).resolve().parents[1]
OURS = tuple(str(ROOT / folder) for folder in ("ppl_mm", "models", "guides"))
HUGE = 10**20
WRONG = {
    **{repr(x): (lambda x=x: x) for x in (-1, 0, 3, 2.5, HUGE, -HUGE, True, None, "", "zzz", b"x")},
    **{repr(x): (lambda x=x: x) for x in (float("nan"), float("inf"), -0.5, 1j, (), [], {}, set())},
    **{repr(x): (lambda x=x: x) for x in (["zzz"], [1, "a"], [[]], {"zzz": 1}, {1: 2}, [None])},
    **{repr(x): (lambda x=x: x) for x in (np.float32(2.5), np.int64(-3), slice(2), int, nn.Linear)},
    "an object": object,
    "a function": lambda: lambda *_: 0,
    "a module": lambda: nn.Linear(2, 2),
    "a tensor": lambda: torch.rand(2, 3),
    "NaN": lambda: torch.full((6, 3), torch.nan),
    "no rows": lambda: torch.zeros(0, 3),
    "classes too many": lambda: torch.full((6,), 99),
    "an array": lambda: np.ones((6, 3)),
    "other rows": lambda: rows(2),
    "blank rows": lambda: rows().only(),
    "a system": system,
    "a path": lambda: Path("no-such-file"),
    "a generator": lambda: (x for x in "ab"),
    "another tensor": lambda: torch.rand(7, 2, 2),
    "a row": lambda: torch.rand(3),
    "negative classes": lambda: -torch.ones(6, dtype=torch.long),
    "single precision": lambda: torch.rand(6, 3).float(),
    "whole numbers": lambda: torch.ones(6, 3).long(),
    "infinities": lambda: torch.full((6, 3), torch.inf),
    "rows of another": lambda: complete(6, "bernoulli"),
    "half of the rows": lambda: rows().only("normal"),
    "one row": lambda: rows(1),
    "far rows": lambda: Observations({**rows().values, "normal": torch.full((6, 3), 1e200)}),
    "another system": lambda: build("mvae", modalities("bernoulli")),
    "a function of nothing": lambda: lambda: None,
    "the same name twice": lambda: ("normal", "normal"),
    "modalities, the same twice": lambda: modalities("normal", "normal"),
    "a module by name": lambda: {"zzz": nn.Linear(2, 2)},
    "a wrong module": lambda: {"normal": nn.Linear(7, 2)},
    "a tensor by name": lambda: {"zzz": torch.rand(2, 3)},
    "a wrong tensor": lambda: {"normal": torch.rand(2)},
    "numbers by name": lambda: {"zzz": 1.0},
    "a wrong number": lambda: {"normal": float("nan")},
}
ALIKE = {
    "Tensor": (
        *("a tensor", "NaN", "no rows", "classes too many", "another tensor", "a row"),
        *("negative classes", "single precision", "whole numbers", "infinities"),
    ),
    "Observations": (
        *("other rows", "blank rows", "rows of another", "half of the rows", "one row", "far rows"),
    ),
    "System": ("another system",),
    "Callable": ("a function", "a function of nothing", repr(int)),
    "Modality": ("modalities, the same twice", "()", "[]"),
    "Mapping": (
        *("a module by name", "a wrong module", "a tensor by name", "a wrong tensor", "{}"),
        *("numbers by name", "a wrong number"),
    ),
    "Module": ("a module",),
    "Sequence[str]": ("()", "['zzz']", "the same name twice"),
    "Sequence[int]": ("()",),
    "str": ("''", "'zzz'"),
    "int": ("-1", "0", "3", repr(HUGE), repr(np.int64(-3))),
    "float": ("-1", "nan", "inf", "-0.5", repr(HUGE)),
}
"""The wrong values of a right type, by what an annotation says: half of the calls have one."""
STEPWISE = (
    *("iwae_bound", "kernel_width", "log_weights", "row_elbo", "squared_mmd", "trace_pair"),
    *("squared_mmd_of_normals", "contrastive_loss", "Term"),
)
"""What a training step calls, which reads no value: the loss of NaN is NaN, and ``fit`` stops."""
OF_ONE_ROW = (".standard_error", ".per_class")
"""What one row cannot tell: a standard error over rows, the precision of a class that none has."""


class OutOfTimeError(BaseException):
    """A call takes too long."""


def _stop(*_: Any) -> None:
    raise OutOfTimeError


@pytest.fixture
def _alone(tmp_path, monkeypatch) -> Iterator[None]:
    """In an empty folder, without a network, and with a limit of time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PPL_MM_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(socket.socket, "connect", _no_network)
    before = signal.signal(signal.SIGPROF, _stop)
    yield
    signal.signal(signal.SIGPROF, before)


def _no_network(*_: Any) -> None:
    raise OSError("no network in tests")


def called(thing: Public, wrong: dict[str, Any]) -> tuple[Any, BaseException | None, bool]:
    """What a call gives that is right but for these arguments, or its error; whether it warns."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = {**thing.arguments(), **wrong}
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            return thing.call(**arguments), None, bool(warned)
        except (Exception, OutOfTimeError) as error:
            return None, error, bool(warned)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


@cache
def raises(file: str) -> list[range]:
    """The lines of a file's ``raise`` statements."""
    tree = ast.parse("".join(linecache.getlines(file)))
    return [
        range(n.lineno, (n.end_lineno or 0) + 1) for n in ast.walk(tree) if isinstance(n, ast.Raise)
    ]


def is_clear(error: BaseException, name: str, argument: str, value: Any) -> bool:
    """Whether this library raises an error on purpose, and says what it is about."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    on_purpose = last.filename.startswith(OURS) and any(
        last.lineno in lines for lines in raises(last.filename)
    )
    notes = getattr(error, "__notes__", [])  # what network of a modality failed, of the user's
    text = " ".join([str(error), *notes])
    named = {argument, argument.removesuffix("s"), name, "modality", NORMAL, LABEL, *strings(value)}
    named.add(type(value).__name__)
    return (on_purpose or bool(notes)) and any(n in text for n in named) and len(text) > 20


def strings(value: Any) -> set[str]:
    """The strings that a value is or holds."""
    inside = value if isinstance(value, list | tuple | dict) else [value]
    return {repr(x) for x in inside if isinstance(x, str)}


def not_finite(found: Any, where: str = "") -> set[str]:
    """Where in a result a number is not finite."""
    if isinstance(found, float):
        return set() if np.isfinite(found) else {where}
    if isinstance(found, torch.Tensor):
        real = found.is_floating_point() and not found.is_sparse
        return {where} if real and not bool(found.isfinite().all()) else set()
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        found = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    if isinstance(found, list | tuple):
        found = dict(enumerate(found))
    if not isinstance(found, dict):
        return set()
    return set().union(*(not_finite(x, f"{where}.{name}") for name, x in found.items()))


@cache
def right(thing: Public) -> tuple[str, frozenset[str]]:
    """The error of the right call, if it has one, and its numbers that are not finite."""
    found, error, _ = called(thing, {})
    return repr(error), frozenset(not_finite(found))


def outcome(thing: Public, argument: str, value: Any) -> str:
    """What becomes of a call with a wrong value."""
    found, error, warned = called(thing, {argument: value})
    if isinstance(error, OutOfTimeError):
        return "hangs"
    if error is not None:
        if is_clear(error, thing.name.rpartition(".")[2].removesuffix("_of"), argument, value):
            return "refused clearly"
        return "as the right call" if repr(error) == right(thing)[0] else "refused obscurely"
    holes = not_finite(found) - right(thing)[1]
    holes = {where for where in holes if not where.endswith(OF_ONE_ROW)}
    if holes and not warned and not thing.name.endswith(STEPWISE):
        return "silently not finite"
    return "accepted"


def wrong_calls(number: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How many of so many calls come out how, and those that come out badly."""
    draw = random.Random(seed)
    things = [t for t in public() if any(p.kind not in (2, 4) for p in t.parameters.values())]
    outcomes: Counter[str] = Counter()
    seen = []
    for _ in range(number):
        thing = draw.choice(things)
        named = [n for n, p in thing.parameters.items() if p.kind not in (2, 4)]
        argument = draw.choice(named)
        annotation = str(thing.parameters[argument].annotation)
        alike = [wrong for kind, some in ALIKE.items() if kind in annotation for wrong in some]
        wrong = draw.choice(alike if alike and draw.random() < 0.5 else sorted(WRONG))
        found = outcome(thing, argument, WRONG[wrong]())
        outcomes[found] += 1
        if found not in ("refused clearly", "accepted", "as the right call"):
            seen.append(f"{found}: {thing.name}({argument}={wrong})")
    return outcomes, seen


@pytest.mark.usefixtures("_alone")
def test_wrong_calls_are_refused_clearly(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes, seen = wrong_calls(CALLS, seed=0)
    with capsys.disabled():
        print(f"\n{CALLS} wrong calls: {dict(outcomes)}")
    shown = "\n".join(seen)
    assert outcomes["hangs"] == outcomes["silently not finite"] == 0, shown
    assert outcomes["refused obscurely"] <= SHARE * CALLS, shown


def test_the_judge_tells_clear_from_obscure() -> None:
    """Errors of torch, and slips of ours, are obscure, whatever they say."""
    for broken, clear in (
        (partial(rows().only, "zzz"), True),
        (partial(rows().only, 3), True),
        (lambda: torch.zeros(2) + torch.zeros(3), False),
        (lambda: {}["modality"], False),
    ):
        with pytest.raises((TypeError, ValueError, RuntimeError, KeyError)) as info:
            broken()
        assert is_clear(info.value, "only", "names", "zzz") == clear
    assert not_finite({"a": [1.0, float("nan")]}) == {".a.1"}
    assert not_finite((torch.ones(2), torch.tensor([torch.inf]))) == {".1"}
