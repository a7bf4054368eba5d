"""What the library itself does around a run: the learning rate, the bar, and the checkpoint."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ppl_mm.training.callbacks import Callback
from ppl_mm.training.checkpoint import save
from ppl_mm.training.monitor import Watch
from ppl_mm.training.state import Training

__all__ = ["Bar", "Checkpoints", "Schedule", "Scheduler"]


Scheduler = Callable[[torch.optim.Optimizer], Any]
"""From an optimiser to a scheduler of its learning rate."""


class Schedule(Callback):
    """Let the scheduler set the learning rate.

    Args:
        every: "epoch" or "step".
        watch: What a scheduler that looks at a measure is given; the loss with None.
    """

    def __init__(self, every: str, watch: Watch | None) -> None:
        self.every, self.name = every, "loss" if watch is None else watch.name

    def after_step(self, training: Training) -> None:
        """A step of the scheduler."""
        if self.every == "step":
            training.scheduler.step()

    def after_epoch(self, training: Training) -> None:
        """A step of the scheduler, with the measure if it looks at one."""
        if self.every == "epoch":
            plateau = isinstance(training.scheduler, ReduceLROnPlateau)
            training.scheduler.step(*([training.history[-1][self.name]] if plateau else []))


class Checkpoints(Callback):
    """Write the checkpoint every few epochs and every few minutes, and at the end.

    Args:
        path: The file.
        every: The number of epochs from one to the next.
        minutes: The most minutes from one to the next, within an epoch too.
    """

    def __init__(self, path: Path, every: int, minutes: float) -> None:
        self.path, self.every, self.seconds = path, every, 60 * minutes

    def before_fit(self, training: Training) -> None:
        """From now on the run can be saved."""
        self.last = time.monotonic()
        training.due = lambda: time.monotonic() - self.last >= self.seconds
        training.write = lambda: self._write(training)

    def after_epoch(self, training: Training) -> None:
        """Write it where an epoch is one of those, or the last, or a checkpoint is due."""
        due = training.agreed() or training.epoch == training.epochs
        if due or training.epoch % self.every == 0:
            self._write(training)

    def _write(self, training: Training) -> None:
        save(training, self.path)
        self.last = time.monotonic()


class Bar(Callback):
    """A bar over epochs with the current loss and the last validation measure.

    Args:
        watch: The measure that it shows; none with None.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        self.watch = watch
        self.bar = Progress(
            TextColumn("epoch {task.fields[at]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}{task.fields[measure]}"),
            TimeRemainingColumn(),
        )

    def before_fit(self, training: Training) -> None:
        """Show it."""
        self.shown = float("nan")
        done, total = training.epoch, training.epochs
        self.task = self.bar.add_task(
            "", total=total, completed=done, at=f"{done}/{total}", loss="-", measure=""
        )
        self.bar.start()

    def after_step(self, training: Training) -> None:
        """Show the share of the epoch that is done, and the mean loss so far."""
        if training.loss != self.shown:
            self.shown = training.loss
            done = training.epoch + training.step / training.steps
            self.bar.update(self.task, completed=done, loss=f"{training.loss:.2f}")

    def after_epoch(self, training: Training) -> None:
        """Show a finished epoch."""
        at, text = f"{training.epoch}/{training.epochs}", ""
        if self.watch is not None:
            name = {"validation_elbo": "ELBO"}.get(self.watch.name, self.watch.name)
            text = f", {name} {training.history[-1][self.watch.name]:.4g}"
        self.bar.update(self.task, completed=training.epoch, at=at, measure=text)

    def after_fit(self, training: Training) -> None:
        """Leave it as it is."""
        self.bar.stop()
