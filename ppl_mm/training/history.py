"""What a training run returns and shows."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from torch import Tensor

__all__ = ["DivergedError", "FitResult", "Progress"]


@dataclass(frozen=True)
class FitResult:
    """The outcome of :func:`ppl_mm.fit`.

    Attributes:
        history: A row an epoch: ``epoch``; ``loss`` (the objective's loss per row, with its
            weights and beta; nats); the same with the other sign as ``bound`` where it is a lower
            bound (on log p of what is scored, or on a weighted sum of such), as ``surrogate``
            where it is not (weights, beta, annealing, learned auxiliary priors);
            ``validation_elbo`` (neither weights nor beta; nats per row) where rows were
            validated; ``seconds``.
        best_epoch: The epoch of the best validation ELBO, or the last.
        best_state: The system's state then, on the CPU.
        step: How steps were taken, "recorded", "compiled", "captured" or "eager"; and how many, or
            why.
    """

    history: list[dict[str, float]]
    best_epoch: int
    best_state: dict[str, Tensor]
    step: str = ""

    def table(self) -> Table:
        """The history, for ``rich.print``."""
        columns = list(dict.fromkeys(key for row in self.history for key in row))
        table = Table(*columns)
        for row in self.history:
            table.add_row(*(f"{row[c]:.6g}" if c in row else "" for c in columns))
        return table


class DivergedError(FloatingPointError):
    """Training stopped being finite; ``result`` is what there was before."""

    def __init__(self, message: str, result: FitResult) -> None:
        super().__init__(message)
        self.result = result


class Progress:
    """A bar over epochs with the current loss and the last validation ELBO."""

    def __init__(self, epochs: int, done: int, *, show: bool) -> None:
        self.bar = RichProgress(
            TextColumn("epoch {task.fields[at]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}{task.fields[validation]}"),
            TimeRemainingColumn(),
            disable=not show,
        )
        self.epochs, self.done = epochs, done
        self.task = self.bar.add_task(
            "", total=epochs, completed=done, at=f"{done}/{epochs}", loss="-", validation=""
        )

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def step(self, share: float, loss: float) -> None:
        """Show a step: the share of the epoch that is done, and the mean loss so far."""
        self.bar.update(self.task, completed=self.done + share, loss=f"{loss:.2f}")

    def epoch(self, row: dict[str, float]) -> None:
        """Show a finished epoch."""
        self.done += 1
        text = f", ELBO {row['validation_elbo']:.2f}" if "validation_elbo" in row else ""
        at = f"{self.done}/{self.epochs}"
        self.bar.update(self.task, completed=self.done, at=at, validation=text)
