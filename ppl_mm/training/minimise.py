"""The minimisation of a loss of rows by Adam, which trains classifiers and baselines.

Systems are trained by :func:`ppl_mm.fit`, which also resumes, validates and runs in parallel.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from rich.progress import track
from torch import Tensor, nn

from ppl_mm.processes import one_thread

__all__ = ["Batches", "Drawn", "Shuffled", "minimise", "seeded"]


class Batches(Protocol):
    """The batches of a training run, in order."""

    def __len__(self) -> int:
        """The number of batches, which is the number of steps."""

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the row indices of every batch, (B,) int64, on the CPU."""


@dataclass(frozen=True)
class Shuffled:
    """Passes through all rows, each in a new random order.

    Attributes:
        num_rows: The number of rows, N.
        batch_size: The number of rows of a batch.
        epochs: The number of passes.
        whole: Leave out an incomplete last batch where a pass has another.

    Example:
        >>> len(Shuffled(10, batch_size=4, epochs=2)), len(Shuffled(10, 4, 2, whole=True))
        (6, 4)
    """

    num_rows: int
    batch_size: int
    epochs: int
    whole: bool = False

    def __len__(self) -> int:
        """The number of batches of all passes."""
        whole, rest = divmod(self.num_rows, self.batch_size)
        return self.epochs * (whole + (rest > 0 and not (self.whole and whole > 0)))

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the row indices of every batch."""
        per_pass = len(self) // max(self.epochs, 1)
        for _ in range(self.epochs):
            yield from torch.randperm(self.num_rows).split(self.batch_size)[:per_pass]


@dataclass(frozen=True)
class Drawn:
    """Batches of rows drawn with replacement.

    Attributes:
        num_rows: The number of rows, N.
        batch_size: The number of rows of a batch.
        num_steps: The number of batches.

    Example:
        >>> [len(rows) for rows in Drawn(3, batch_size=5, num_steps=2)]
        [5, 5]
    """

    num_rows: int
    batch_size: int
    num_steps: int

    def __len__(self) -> int:
        """The number of batches."""
        return self.num_steps

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the row indices of every batch."""
        for _ in range(self.num_steps):
            yield torch.randint(self.num_rows, (self.batch_size,))


@contextmanager
def seeded(seed: int, device: str | torch.device) -> Iterator[None]:
    """Draw random numbers from this seed inside; torch's generators are unchanged afterwards.

    Other threads of the process wait.
    """
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with one_thread(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def minimise(
    module: nn.Module,
    loss: Callable[[Int[Tensor, " B"]], Float[Tensor, ""]],
    batches: Batches,
    *,
    learning_rate: float,
    decay: bool = False,
    progress: str | None = None,
) -> None:
    """Minimise a loss by Adam, one step per batch; the module ends in evaluation mode.

    Args:
        module: The module whose parameters are trained.
        loss: The function from a batch's row indices (B,) to the scalar to minimise.
        batches: The batches, such as :class:`Shuffled`.
        learning_rate: The learning rate of Adam.
        decay: Whether the learning rate falls to 0, by the same amount each step.
        progress: The text before a progress bar; None shows no bar.

    Raises:
        FloatingPointError: If the loss becomes NaN or infinite.

    Example:
        >>> line, x = nn.Linear(1, 1), torch.linspace(-1, 1, 20)[:, None]
        >>> def error(rows):
        ...     return (line(x[rows]) - 3 * x[rows]).square().mean()
        >>> minimise(line, error, Shuffled(20, 5, epochs=200), learning_rate=0.05, decay=True)
        >>> round(line.weight.item(), 3)
        3.0
    """
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate)
    end, steps = 0.0 if decay else 1.0, len(batches)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, end, total_iters=steps)
    module.train()
    total = torch.zeros(())
    for rows in track(batches, progress or "", steps, disable=progress is None):
        optimizer.zero_grad()
        value = loss(rows)
        value.backward()
        optimizer.step()
        schedule.step()
        total = total.to(value.device) + value.detach()
    module.eval()
    if not math.isfinite(total.item()):
        raise FloatingPointError(
            f"training of a {type(module).__name__} diverged: its loss became NaN or infinite; "
            f"give a lower learning rate than {learning_rate:g}."
        )
