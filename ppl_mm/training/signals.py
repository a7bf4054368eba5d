"""Ctrl-C, SIGTERM and SIGHUP while a run trains: the step is finished, and nothing is lost.

SIGHUP comes when a terminal is closed, or a connection to another machine is lost.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, ClassVar, Self

from ppl_mm.arguments.wording import counted
from ppl_mm.training.history import FitResult
from ppl_mm.training.state import Training

__all__ = ["Signals", "StoppedError", "deaf", "stopped", "stopped_by", "terminable"]

_ENDING = tuple(getattr(signal, n) for n in ("SIGTERM", "SIGHUP") if hasattr(signal, n))
_ASKED = (signal.SIGINT, *_ENDING)
_SAID = b"\nStopping after this step; a second time stops at once.\n"
_SECONDS = 0.5  # The time from one look for the file of ``stopped_by`` to the next.


class StoppedError(KeyboardInterrupt):
    """Training was stopped by a signal; the system is in the state after the last step.

    Attributes:
        where: The signal that stopped the run, and the step.
        result: The result until then.
        number: The number of the signal.
    """

    def __init__(self, where: str, remedy: str, result: FitResult, number: int) -> None:
        super().__init__(f"{where}. {remedy}")
        self.where, self.result, self.number = where, result, number


Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
"""What Python does when a signal comes, as :func:`signal.getsignal` returns it."""


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does."""
    with _handled(_ENDING, signal.default_int_handler):
        yield


@contextmanager
def deaf() -> Iterator[None]:
    """Inside, these signals have no effect; it is for a process that another process stops."""
    with _handled(_ASKED, signal.SIG_IGN):
        yield


@contextmanager
def _handled(numbers: Iterable[int], handler: Handler) -> Iterator[dict[int, Handler]]:
    """Handle the signals by ``handler`` inside; yield number -> former handler.

    Signals reach only the main thread of a process; in another thread nothing changes. A signal
    that is ignored, as in a background command or after ``nohup``, stays ignored.
    """
    before: dict[int, Handler] = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield before
    finally:
        for number, former in before.items():
            signal.signal(number, former)


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

    A second SIGHUP has none: a terminal that closes often sends several.

    Args:
        stop: The function that the first signal calls.

    Attributes:
        caught: The number of the signal; 0 before there is one.
        running: All that are entered in this process.
    """

    running: ClassVar[list["Signals"]] = []

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop, self.caught = stop, 0
        self.handled = _handled(_ASKED, self._note)

    def __enter__(self) -> Self:
        self.running.append(self)
        self.before = self.handled.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.running.remove(self)
        self.handled.__exit__(kind, error, trace)

    def ask(self, number: int) -> None:
        """Do what the first signal does."""
        if not self.caught:
            self.caught = number
            self.stop()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.caught and number == getattr(signal, "SIGHUP", None):
            return
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
    place = f"after {training.epoch} of {counted(training.epochs, 'epoch')}"
    if training.within is not None:
        place += f" and {training.within.step} of {counted(training.steps, 'step')}"
    remedy = "Nothing of it is kept, as fit has no checkpoint=."
    if file is not None:
        remedy = f"Go on by fit(..., checkpoint={str(file)!r}, resume=True)."
    return StoppedError(f"{name}: training stopped {place}", remedy, training.result(), number)
