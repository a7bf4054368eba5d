"""The result of a training run."""

from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table
from torch import Tensor

__all__ = ["DivergedError", "FitResult"]


@dataclass(frozen=True)
class FitResult:
    """The outcome of :func:`ppl_mm.fit`.

    Attributes:
        history: A row an epoch: ``epoch``; ``loss`` (the objective's loss per row, with its
            weights and beta; nats); the same with the other sign as ``bound`` where it is a lower
            bound (on log p of the scored modalities, or on a weighted sum of such terms), as
            ``surrogate`` where it is not (weights, beta, annealing, learned auxiliary priors);
            ``validation_elbo`` (neither weights nor beta; nats per row) where rows were validated;
            ``seconds``. Callbacks may add more, such as :class:`ppl_mm.training.LossParts`.
        best_epoch: The epoch of the best validation ELBO, or the last.
        best_state: The system's state after that epoch, on the CPU.
        step: How steps were taken, "recorded", "compiled", "captured" or "eager"; and how many, or
            why.
    """

    history: list[dict[str, float]]
    best_epoch: int
    best_state: dict[str, Tensor]
    step: str = ""

    def table(self) -> Table:
        """The history without the parts of the loss, for ``rich.print``."""
        keys = (key for row in self.history for key in row if "/" not in key)
        columns = list(dict.fromkeys(keys))
        table = Table(*map(escape, columns))
        for row in self.history:
            table.add_row(*(f"{row[c]:.6g}" if c in row else "" for c in columns))
        return table


class DivergedError(FloatingPointError):
    """The loss or a parameter became NaN or infinite; ``result`` holds the epochs before."""

    def __init__(self, message: str, result: FitResult) -> None:
        super().__init__(message)
        self.result = result
