"""The library's own callbacks: the learning rate, the progress bar and the checkpoints."""

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
"""A function from an optimiser to a scheduler of its learning rate."""


class Schedule(Callback):
    """Step the scheduler of the learning rate.

    Args:
        every: "epoch" or "step".
        watch: The monitor whose value a ``ReduceLROnPlateau`` reads; with None it reads the loss.
    """

    def __init__(self, every: str, watch: Watch | None) -> None:
        self.every, self.name = every, "loss" if watch is None else watch.name

    def after_step(self, training: Training) -> None:
        """Step a scheduler of steps."""
        if self.every == "step" and training.scheduler is not None:
            training.scheduler.step()

    def after_epoch(self, training: Training) -> None:
        """Step a scheduler of epochs, with the measure if it reads one."""
        if self.every == "epoch" and training.scheduler is not None:
            plateau = isinstance(training.scheduler, ReduceLROnPlateau)
            training.scheduler.step(*([training.history[-1][self.name]] if plateau else []))


class Checkpoints(Callback):
    """Write the checkpoint every few epochs and every few minutes, and at the end.

    Args:
        path: The file.
        every: The number of epochs between checkpoints.
        minutes: The largest number of minutes between checkpoints, also within an epoch.
    """

    def __init__(self, path: Path, every: int, minutes: float) -> None:
        self.path, self.every, self.seconds = path, every, 60 * minutes

    def before_fit(self, training: Training) -> None:
        """Let the run write its checkpoint from now on."""
        self.last = time.monotonic()
        training.due = lambda: time.monotonic() - self.last >= self.seconds
        training.write = lambda: self._write(training)

    def after_epoch(self, training: Training) -> None:
        """Write the checkpoint after every few epochs, after the last one, or if one is due."""
        due = training.agreed() or training.epoch == training.epochs
        if due or training.epoch % self.every == 0:
            self._write(training)

    def _write(self, training: Training) -> None:
        save(training, self.path)
        self.last = time.monotonic()


class Bar(Callback):
    """Show a progress bar over epochs with the current loss and the last validation measure.

    Args:
        watch: The monitor whose value the bar shows; None shows none.
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
        """Show the bar."""
        self.shown = float("nan")
        done, total = training.epoch, training.epochs
        self.task = self.bar.add_task(
            "", total=total, completed=done, at=f"{done}/{total}", loss="-", measure=""
        )
        self.bar.start()

    def after_step(self, training: Training) -> None:
        """Show the finished share of the epoch, and the mean loss so far."""
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
        """Close the bar."""
        self.bar.stop()
