"""What the library itself does around a run: validation, the bar, and the checkpoint."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ppl_mm.training.callbacks import Callback
from ppl_mm.training.checkpoint import save
from ppl_mm.training.state import Training

__all__ = ["Bar", "Checkpoints", "Validation"]


class Validation(Callback):
    """Measure the system after each epoch, keep its best state, and stop without a better one.

    Args:
        name: The measure's name in the history.
        measure: From the run to the number, in the first process.
        sign: 1 where larger is better, -1 where smaller is.
        patience: The number of epochs without a better value after which the run ends.
    """

    def __init__(
        self,
        name: str,
        measure: Callable[[Training], float],
        sign: float = 1.0,
        patience: int | None = None,
    ) -> None:
        self.name, self.measure, self.sign, self.patience = name, measure, sign, patience

    def before_fit(self, training: Training) -> None:
        """A run that goes on may have been out of patience."""
        self._stop_without_patience(training)

    def after_epoch(self, training: Training) -> None:
        """All processes have the first one's number, and so stop at one epoch."""
        value = float(training.fabric.broadcast(self.measure(training)))
        training.history[-1][self.name] = value
        best = self.sign * training.best_value
        if not math.isnan(value) and not self.sign * value < best:
            training.best_value, training.best_epoch = value, training.epoch
            training.best_state = training.last_good
        self._stop_without_patience(training)

    def _stop_without_patience(self, training: Training) -> None:
        waited = training.epoch - training.best_epoch
        if self.patience is not None and waited >= self.patience:
            training.stop()


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
        watched: The measure's name in the history, and in the bar.
    """

    def __init__(self, watched: tuple[str, str] | None = None) -> None:
        self.watched = watched
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
        if self.watched is not None:
            key, name = self.watched
            text = f", {name} {training.history[-1][key]:.2f}"
        self.bar.update(self.task, completed=training.epoch, at=at, measure=text)

    def after_fit(self, training: Training) -> None:
        """Leave it as it is."""
        self.bar.stop()
