"""One epoch of training steps."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pyro
import torch
from torch import Tensor

from ppl_mm.batch.host_masks import constants
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives import Stages, linear_annealing
from ppl_mm.objectives.handlers import OfTheDataSet
from ppl_mm.objectives.stock import is_bound
from ppl_mm.systems import System
from ppl_mm.training.batches import Streams
from ppl_mm.training.checks import Found, Transform, parameters
from ppl_mm.training.graphed import Graphed
from ppl_mm.training.history import DivergedError, Progress
from ppl_mm.training.parallel import JointNoise, own_noise
from ppl_mm.training.recorded import Recorded, Step
from ppl_mm.training.state import TrainingState

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Loop"]


class Loop:
    """The steps of training, an epoch at a time.

    Args:
        fabric: The processes, their devices and precision.
        module: The loss of a batch, summed over its rows.
        optimizer: Of Fabric.
        system: What is trained.
        streams: The rows, on the device.
        transform: Of every batch.
        clip_norm: Largest norm of the gradient.
        found: What is known of the programs.
        recorded: From loss and gradients to the same, replayed where they can be.
        graphed: From a step to one that is a CUDA graph where it can be.
    """

    def __init__(
        self,
        fabric: "Fabric",
        module: Any,
        optimizer: Any,
        system: System,
        streams: Streams,
        transform: Transform | None,
        clip_norm: float | None,
        found: Found,
        recorded: Callable[[Step], Recorded],
        graphed: Callable[[Step], Graphed],
    ) -> None:
        self.fabric, self.module, self.optimizer, self.system = fabric, module, optimizer, system
        self.streams, self.transform, self.clip_norm = streams, transform, clip_norm
        self.num_rows, self.found, self.trained = len(streams), found, parameters(system)
        self.unchecked = streams.mapped  # rows in files are checked in their first epoch
        self.check_every = 1 if fabric.device.type == "cpu" else 50  # reading a loss waits for CUDA
        self.gradients = recorded(self.backward)
        self.graphed = graphed(self.update)
        steady = streams.one_pattern and transform is None  # else masks are ever new ones
        self.kept: dict[Any, Tensor] | None = {} if steady else None

    def epoch(
        self, state: TrainingState, batch_size: int, annealing_epochs: int, bar: Progress
    ) -> dict[str, float]:
        """Run one epoch; its row of the history."""
        start = time.perf_counter()
        torch.manual_seed(state.epoch_seed)
        batches = self.streams.epoch(batch_size)
        sizes = [sum(len(rows) for rows in batch) for batch in batches]
        shares = [_share(size, self.fabric.global_rank, self.fabric.world_size) for size in sizes]
        read = self.streams.read(batches, shares)
        total, rows = torch.zeros((), dtype=torch.float64, device=self.fabric.device), 0
        self.system.train()
        bound = True
        with pyro.validation_enabled(False), _annealed(self.system.objective) as objective:
            if isinstance(objective, Stages):
                objective.epoch = state.epoch
            for i, (batch, share, size) in enumerate(zip(read, shares, sizes, strict=True)):
                step = state.epoch * len(batches) + i
                objective.annealing = linear_annealing(
                    step, epochs=annealing_epochs, steps_per_epoch=len(batches)
                )
                total += self.step(batch, share, size)
                rows += size
                if i == 0:
                    bound = is_bound(objective) and not self.found.points
                if i % self.check_every == 0 or i == len(batches) - 1:
                    value = total.item()
                    if not math.isfinite(value):
                        raise self._diverged(state, f"the loss is {value} at step {i + 1}")
                    bar.step((i + 1) / len(batches), value / rows)
        self.unchecked = False
        if not all(bool(torch.isfinite(p).all()) for p in self.trained):
            raise self._diverged(state, "a parameter is not finite")
        loss = self.fabric.all_reduce(total, reduce_op="sum").item() / rows
        seconds = time.perf_counter() - start
        kind = "bound" if bound else "surrogate"
        return {"epoch": state.epoch + 1, "loss": loss, kind: -loss, "seconds": seconds}

    def step(self, batch: Observations, share: range, size: int) -> Tensor:
        """One gradient step on a joint batch; this process's part of its loss, a sum over rows.

        Args:
            batch: This process's rows.
            share: Which rows of the joint batch they are.
            size: Rows of the joint batch.
        """
        rank, world = self.fabric.global_rank, self.fabric.world_size
        if self.transform is not None:
            with own_noise(rank) if world > 1 else nullcontext():
                batch = self.transform(batch).to(self.system.dtype)
        if self.unchecked:
            self.system.check(batch)
        if rank >= size:  # fewer rows than processes: this one's counts for nothing
            batch = batch.only()
        with nullcontext() if self.kept is None else constants(self.kept):
            return self.graphed(batch, share, size)

    def update(self, batch: Observations, share: range, size: int) -> Tensor:
        """Loss, gradients and the optimiser's step; the same work for batches of one shape."""
        self.optimizer.zero_grad()
        loss = self.gradients(batch, share, size)
        if any(p.grad is not None for p in self.trained):
            if self.clip_norm is not None:
                self.fabric.clip_gradients(
                    self.module, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
                )
            self.optimizer.step()
        return loss

    def backward(self, batch: Observations, share: range, size: int) -> Tensor:
        """The loss, and as the parameters' gradients those of its mean over the joint batch."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        noise = JointNoise(share, size, rank) if world > 1 else nullcontext()
        shares = self.found.shares  # their KL has a gradient whatever the rows hold
        some = world > 1 or shares or bool(batch.any_data.any())  # see AlwaysDifferentiable
        own = len(share) if rank < size else 0
        part = OfTheDataSet(own / self.num_rows) if shares else nullcontext()
        with noise, part, torch.set_grad_enabled(some):
            loss = self.module(batch)
        if loss.requires_grad:  # a batch with nothing present has no gradient
            self.fabric.backward(loss * (world / size))
        return loss.detach().double()

    def _diverged(self, state: TrainingState, what: str) -> DivergedError:
        self.system.load_state_dict(state.last_good)
        return DivergedError(
            f"training diverged: {what} of epoch {state.epoch + 1}. The system is back in its "
            f"state after epoch {state.epoch}. Lower the learning rate, give clip_norm, or "
            "look at the scales of the data and of Normal likelihoods.",
            state.result(),
        )


def _share(size: int, rank: int, world: int) -> range:
    """Which rows of a joint batch are one process's; one at least, which counts for nothing."""
    each, more = divmod(size, world)
    first = rank * each + min(rank, more)
    return range(first, first + each + (rank < more)) if rank < size else range(1)


@contextmanager
def _annealed(objective: Any) -> Iterator[Any]:
    """Whatever happens, leave the objective's schedule as results need it."""
    try:
        yield objective
    finally:
        objective.annealing = 1.0
        if isinstance(objective, Stages):
            objective.epoch = 0
