"""A training run: where it stands, what it has been, and its checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.processes import is_first
from ppl_mm.systems import System
from ppl_mm.training.history import FitResult
from ppl_mm.training.moments import Options, options_of

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Training", "Within", "parameters_of"]


@dataclass
class Within:
    """Where an epoch stands that has begun.

    Attributes:
        step: How many of its steps are done.
        total: The sum of their losses.
        rows: The rows of these steps.
        bound: Whether the losses are bounds with the other sign.
        noise: The states of torch's generators then, by device.
    """

    step: int
    total: float
    rows: int
    bound: bool
    noise: dict[str, Tensor]


class Training:
    """A training run, as callbacks see it.

    Attributes:
        system: The system that is trained.
        optimizer: Torch's optimiser.
        scheduler: Torch's scheduler of the learning rate, or None.
        validation: The rows that are held out, or None.
        epochs: How many epochs there are to be.
        epoch: The number of finished epochs.
        step: The number of finished steps of the epoch that has begun.
        steps: The number of steps of an epoch.
        loss: The mean loss per row of this epoch so far, in nats; on a CUDA device it is read every
            50 steps.
        history: A row for each finished epoch, see :class:`ppl_mm.training.FitResult`. A callback
            may add numbers to the last row after its epoch.
    """

    def __init__(
        self,
        system: System,
        optimizer: torch.optim.Optimizer,
        fabric: "Fabric",
        setting: dict[str, Any],
        *,
        epochs: int = 1,
        scheduler: Any = None,
        given: Options | None = None,
        validation: Observations | None = None,
    ) -> None:
        self.system, self.optimizer, self.scheduler = system, optimizer, scheduler
        self.fabric, self.setting, self.validation = fabric, setting, validation
        self.given = options_of(optimizer) if given is None else given
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

        Of several processes one is enough.
        """
        self.stopping = True

    def save(self) -> None:
        """Write the checkpoint after this step, or before the next epoch, if ``fit`` has one."""
        self.save_wanted = True

    def agreed(self) -> bool:
        """Whether a checkpoint is wanted now, and with ``stopping`` the end; in all processes."""
        wish = 2 if self.stopping else int(self.save_wanted or self.due())
        if self.fabric.world_size > 1:
            wish = int(self.fabric.all_reduce(torch.tensor(wish), reduce_op="max"))
        self.stopping, self.save_wanted = wish == 2, False
        return wish > 0

    def gradient_norm(self) -> float:
        """The norm of the last step's gradient, as the optimiser was given it."""
        gradients = [p.grad for p in self.system.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0

    def end_epoch(self, row: dict[str, float]) -> None:
        """Take in a finished epoch."""
        self.epoch, self.step, self.within = self.epoch + 1, 0, None
        self.history.append(row)
        self.last_good = parameters_of(self.system)

    def result(self) -> FitResult:
        """The history and the best state; the last one where nothing was validated."""
        state = self.last_good if self.best_state is None else self.best_state
        if self.within is not None and self.best_state is None:
            state = parameters_of(self.system)
        epoch = self.epoch if self.best_state is None else self.best_epoch
        return FitResult(list(self.history), epoch, state)


def parameters_of(system: System) -> dict[str, Tensor]:
    """Copies on the CPU of all that a system's state holds."""
    return {n: t.detach().to("cpu", copy=True) for n, t in system.state_dict().items()}
