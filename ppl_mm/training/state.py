"""A training run: its position, its history and its checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.processes import is_first
from ppl_mm.systems import System
from ppl_mm.training.history import FitResult
from ppl_mm.training.moments import Options, options_of
from ppl_mm.training.plan import Missing

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Training", "Within", "parameters_of"]


@dataclass
class Within:
    """The position within an unfinished epoch.

    Attributes:
        step: The number of finished steps.
        total: The sum of their losses.
        rows: The number of rows of these steps.
        bound: Whether the losses are bounds with the other sign.
        noise: The states of torch's generators at that position, by device.
    """

    step: int
    total: float
    rows: int
    bound: bool
    noise: dict[str, Tensor]


class Training:
    """A training run, which callbacks receive.

    Attributes:
        system: The system that is trained.
        optimizer: Torch's optimiser.
        scheduler: Torch's scheduler of the learning rate, or None.
        validation: The rows that are held out, or None.
        epochs: The number of epochs of the run.
        epoch: The number of finished epochs.
        step: The number of finished steps of the epoch that has begun.
        steps: The number of steps of an epoch.
        loss: The mean loss per row of this epoch so far, in nats; on a CUDA device it is read every
            50 steps.
        history: A row for each finished epoch, see :class:`ppl_mm.training.FitResult`. A callback
            may add numbers to the last row after its epoch.
        some_rows: A function that returns the first training rows, up to 256 of each stream, as
            steps get them.
    """

    def __init__(
        self,
        system: System,
        optimizer: torch.optim.Optimizer,
        fabric: "Fabric",
        setting: dict[str, Any],
        *,
        epochs: int = 1,
        scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
        validation: Observations | None = None,
        missing: Missing | None = None,
        some_rows: Callable[[], Observations] | None = None,
    ) -> None:
        self.system, self.optimizer = system, optimizer
        self.fabric, self.setting, self.validation = fabric, setting, validation
        self.missing = Missing(0) if missing is None else missing
        self.given: Options = options_of(optimizer)  # before a scheduler adds its own
        self.scheduler: Any = None if scheduler is None else scheduler(optimizer)
        self.some_rows = partial(Observations.blank, 0) if some_rows is None else some_rows
        self.epochs, self.epoch, self.step, self.steps = epochs, 0, 0, 0
        self.loss = float("nan")
        self.history: list[dict[str, float]] = []
        self.best_epoch, self.best_value = 0, float("nan")
        self.best_state: dict[str, Tensor] | None = None
        self.last_good = parameters_of(system)
        self.within: Within | None = None
        self.stopping = self.save_wanted = False
        self.due: Callable[[], bool] = lambda: False
        self.write: Callable[[], None] = lambda: None

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return is_first()

    @property
    def epoch_seed(self) -> int:
        """The seed of the next epoch's order and noise."""
        return int(self.setting["seed"]) * 1_000_003 + self.epoch

    def stop(self) -> None:
        """End the training after this step, or before the next epoch.

        It is enough that one of several processes calls it.
        """
        self.stopping = True

    def save(self) -> None:
        """Write the checkpoint after this step, or before the next epoch, if ``fit`` has one."""
        self.save_wanted = True

    def agreed(self) -> bool:
        """Whether any process wants a checkpoint or the end; ``stopping`` agrees in all of them."""
        wish = 2 if self.stopping else int(self.save_wanted or self.due())
        if self.fabric.world_size > 1:
            wish = int(self.fabric.all_reduce(torch.tensor(wish), reduce_op="max"))
        self.stopping, self.save_wanted = wish == 2, False
        return wish > 0

    def gradient_norm(self) -> float:
        """Return the norm of the last step's gradient, after clipping."""
        gradients = [p.grad for p in self.system.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0

    def end_epoch(self, row: dict[str, float]) -> None:
        """Add a finished epoch to the history."""
        self.epoch, self.step, self.within = self.epoch + 1, 0, None
        self.history.append(row)
        self.last_good = parameters_of(self.system)

    def result(self) -> FitResult:
        """Return the history and the best state, or the last state without a monitor."""
        state = self.last_good if self.best_state is None else self.best_state
        if self.within is not None and self.best_state is None:
            state = parameters_of(self.system)
        epoch = self.epoch if self.best_state is None else self.best_epoch
        return FitResult(list(self.history), epoch, state)


def parameters_of(system: System) -> dict[str, Shaped[Tensor, "..."]]:
    """Copy a system's state to the CPU."""
    return {n: t.detach().to("cpu", copy=True) for n, t in system.state_dict().items()}
