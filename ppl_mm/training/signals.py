"""Ctrl-C and SIGTERM while a run trains: the step is finished, and nothing is lost."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, ClassVar, Self

from ppl_mm.training.history import FitResult
from ppl_mm.training.state import Training

__all__ = ["Signals", "StoppedError", "deaf", "stopped", "stopped_by", "terminable"]

_ASKED = (signal.SIGINT, signal.SIGTERM)
_SAID = b"\nStopping after this step; a second time stops at once.\n"
_SECONDS = 0.5  # The time from one look for the file of ``stopped_by`` to the next.


class StoppedError(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM; the system is in the state after the last step.

    Attributes:
        where: The signal that stopped the run, and the step.
        result: The result until then.
        number: The number of the signal.
    """

    def __init__(self, where: str, remedy: str, result: FitResult, number: int) -> None:
        super().__init__(f"{where}. {remedy}")
        self.where, self.result, self.number = where, result, number


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def deaf() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM have no effect; a process that another one stops is so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ASKED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_by(file: Path) -> Iterator[None]:
    """Inside, a run of ``fit`` stops as after SIGTERM once the file exists.

    A file reaches runs in any thread of any machine that shares the folder. A thread looks for it.
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(_SECONDS):
            if file.exists():
                for run in list(Signals.running):
                    run.ask(signal.SIGTERM)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Signals:
    """Inside, the first signal calls ``stop``, and a second one has its former effect.

    Signals reach only the main thread of a process; in another thread nothing changes. A signal
    that is ignored, as in a background command, stays ignored.

    Args:
        stop: The function that the first signal calls.

    Attributes:
        caught: The number of the signal; 0 before there is one.
        running: All that are entered in this process.
    """

    running: ClassVar[list["Signals"]] = []

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop, self.caught = stop, 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.running.append(self)
        if threading.current_thread() is threading.main_thread():
            for number in _ASKED:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.running.remove(self)
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def ask(self, number: int) -> None:
        """Do what the first signal does."""
        if not self.caught:
            self.caught = number
            self.stop()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.caught:
            signal.signal(number, self.before[number])
            signal.raise_signal(number)
            return
        self.ask(number)
        with suppress(OSError):  # Ctrl-C may have ended the reader of a pipe.
            os.write(2, _SAID)  # Printing is not safe in a signal handler.


def stopped(training: Training, number: int, file: Path | None) -> StoppedError:
    """Build the error after a signal, which says where the run stopped and how to resume it."""
    name = signal.Signals(number).name
    place = f"after {training.epoch} of {training.epochs} epochs"
    if training.within is not None:
        place += f" and {training.within.step} of {training.steps} steps"
    remedy = "Nothing of it is kept, as fit has no checkpoint=."
    if file is not None:
        remedy = f"Go on by fit(..., checkpoint={str(file)!r}, resume=True)."
    return StoppedError(f"{name}: training stopped {place}", remedy, training.result(), number)
