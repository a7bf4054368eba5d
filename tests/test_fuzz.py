"""Two thousand wrong calls of public names: a right call, one argument of which is wrong.

An error is clear if a ``raise`` of this library's makes it, and its text names the argument, what
came, or a modality. A call that succeeds with the wrong value may give no number that is not
finite, unless the right call has it too or a warning says so. None may take long.
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
from fuzzing import Public, public, rows, system
from torch import nn

CALLS, SHARE = 2000, 0.02
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
}


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


def called(thing: Public, arguments: dict[str, Any]) -> tuple[Any, BaseException | None, bool]:
    """What a call gives, or its error; and whether it warns."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    torch.manual_seed(0)
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


def is_clear(error: BaseException, argument: str, value: Any) -> bool:
    """Whether this library raises an error on purpose, and says what it is about."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    on_purpose = last.filename.startswith(OURS) and any(
        last.lineno in lines for lines in raises(last.filename)
    )
    text = str(error)
    about = argument in text or "modality" in text or (isinstance(value, str) and value in text)
    return on_purpose and about and len(text) > 20


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
    found, error, _ = called(thing, thing.arguments())
    return repr(error), frozenset(not_finite(found))


def outcome(thing: Public, argument: str, value: Any) -> str:
    """What becomes of a call with a wrong value."""
    found, error, warned = called(thing, {**thing.arguments(), argument: value})
    if isinstance(error, OutOfTimeError):
        return "hangs"
    if error is not None:
        if is_clear(error, argument, value):
            return "refused clearly"
        return "as the right call" if repr(error) == right(thing)[0] else "refused obscurely"
    if not warned and not_finite(found) - right(thing)[1]:
        return "silently not finite"
    return "accepted"


@pytest.mark.usefixtures("_alone")
def test_wrong_calls_are_refused_clearly(capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(0)
    things = [t for t in public() if any(p.kind not in (2, 4) for p in t.parameters.values())]
    outcomes, seen = Counter(), []
    for _ in range(CALLS):
        thing = draw.choice(things)
        named = [n for n, p in thing.parameters.items() if p.kind not in (2, 4)]
        argument, wrong = draw.choice(named), draw.choice(sorted(WRONG))
        found = outcome(thing, argument, WRONG[wrong]())
        outcomes[found] += 1
        if found not in ("refused clearly", "accepted", "as the right call"):
            seen.append(f"{found}: {thing.name}({argument}={wrong})")
    with capsys.disabled():
        print(f"\n{CALLS} wrong calls of {len(things)} public names: {dict(outcomes)}")
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
        assert is_clear(info.value, "names", "zzz") == clear
    assert not_finite({"a": [1.0, float("nan")]}) == {".a.1"}
    assert not_finite((torch.ones(2), torch.tensor([torch.inf]))) == {".1"}
