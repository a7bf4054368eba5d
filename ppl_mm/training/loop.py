"""One epoch of training steps."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pyro
import torch
from jaxtyping import Float
from pyro.infer import ELBO
from torch import Tensor, nn
from torch.optim import Optimizer

from ppl_mm.batch.host_masks import constants
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.unread import some as may_be
from ppl_mm.objectives import Stages, linear_annealing
from ppl_mm.objectives.handlers import OfTheDataSet
from ppl_mm.objectives.stock import is_bound
from ppl_mm.systems import System
from ppl_mm.training.accumulated import Summed
from ppl_mm.training.batches import Streams
from ppl_mm.training.callbacks import Callbacks
from ppl_mm.training.checks import Found, Transform, parameters
from ppl_mm.training.graphed import Graphed, obstacle_of, set_capturable
from ppl_mm.training.history import DivergedError
from ppl_mm.training.parallel import JointNoise, noise_states, own_noise, own_rows, set_noise
from ppl_mm.training.plan import Missing, Plan
from ppl_mm.training.recorded import Recorded
from ppl_mm.training.state import Training, Within

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Loop"]

_LARGEST_LOSS = torch.finfo(torch.float32).max ** 0.5
"""Nats per row. Adam squares gradients, and those of larger losses overflow in float32."""


class Loop:
    """The steps of training, an epoch at a time.

    Args:
        fabric: The processes, their devices and precision.
        module: The loss of a batch, summed over its rows.
        optimizer: The optimiser that Fabric has set up.
        system: The system that is trained.
        streams: The rows, on the device.
        transform: The function that is applied to every batch.
        batch_size: The number of rows of a step, of each stream.
        annealing_epochs: The number of epochs over which beta grows.
        clip_norm: The largest norm of the gradient.
        accumulate: The number of batches of a step.
        found: The properties of the programs.
        planned: How steps are taken, as far as it is known.
        missing: How steps are taken on rows that hold different modalities.
        callbacks: The callbacks around each epoch and step.
    """

    def __init__(
        self,
        fabric: "Fabric",
        module: nn.Module,
        optimizer: Optimizer,
        system: System,
        streams: Streams,
        transform: Transform | None,
        batch_size: int,
        annealing_epochs: int,
        clip_norm: float | None,
        accumulate: int,
        found: Found,
        planned: Plan,
        missing: Missing,
        callbacks: Callbacks,
    ) -> None:
        self.fabric, self.module, self.optimizer, self.system = fabric, module, optimizer, system
        self.streams, self.transform, self.clip_norm = streams, transform, clip_norm
        self.batch_size, self.annealing_epochs = batch_size, annealing_epochs
        self.num_rows, self.found, self.callbacks = len(streams), found, callbacks
        self.trained, self.accumulate = parameters(system), accumulate
        self.sums = Summed(self.trained)
        self.unchecked = streams.mapped  # Rows in files are checked in their first epoch.
        self.check_every = 1 if fabric.device.type == "cpu" else 50  # Reading waits for CUDA.
        not_captured = planned.why_not or obstacle_of(optimizer)
        if accumulate > 1:
            not_captured = not_captured or "gradients are accumulated"
        set_capturable(optimizer, planned.captured and not_captured is None)
        self.gradients = Recorded(
            self.backward,
            system,
            system.objective,
            "whole steps are captured" if planned.captured else planned.why_not,
            planned.compile,
            missing=missing,
        )
        self.graphed = Graphed(
            self.update,
            system.objective,
            optimizer,
            not_captured if planned.captured else "steps are recorded",
        )
        self.taken = self.graphed if planned.captured else self.gradients
        steady = streams.one_pattern and transform is None  # Otherwise masks are always new.
        self.kept: dict[Any, Tensor] | None = {} if steady else None

    def run(self, training: Training, *, doubtful: bool) -> None:
        """Run the epochs, until the last one or until the run is stopped.

        Args:
            training: The run.
            doubtful: Whether replayed steps are checked again in each epoch, since the user's
                callbacks may have changed something that they use.
        """
        while training.epoch < training.epochs and not training.stopping:
            self.callbacks.before_epoch(training)
            if doubtful:
                self.gradients.doubt()
                self.graphed.doubt()
            self.epoch(training)
            if training.within is None:
                self.callbacks.after_epoch(training)
            training.agreed()

    def epoch(self, training: Training) -> None:
        """Run one epoch, or the rest of one, and add its row to the history.

        After a stop within the epoch no row is added, and ``training.within`` holds the position.
        """
        start = time.perf_counter()
        torch.manual_seed(training.epoch_seed)
        batches = self.streams.epoch(self.batch_size)
        sizes = [sum(len(rows) for rows in batch) for batch in batches]
        shares = [own_rows(size, self.fabric.global_rank, self.fabric.world_size) for size in sizes]
        so_far = training.within or Within(0, 0.0, 0, True, {})
        self.streams.skip(so_far.step)
        set_noise(so_far.noise)
        read = self.streams.read(batches[so_far.step :], shares[so_far.step :])
        begun = so_far.total if self.fabric.global_rank == 0 else 0.0  # The sum over all processes.
        total = torch.tensor(begun, dtype=torch.float64, device=self.fabric.device)
        training.steps = len(batches)
        self.system.train()
        with pyro.validation_enabled(False), _annealed(self.system.objective) as objective:
            if isinstance(objective, Stages):
                objective.epoch = training.epoch
            for i, batch in enumerate(read, so_far.step):
                step = training.epoch * len(batches) + i
                objective.annealing = linear_annealing(
                    step, epochs=self.annealing_epochs, steps_per_epoch=len(batches)
                )
                self.callbacks.before_step(training)
                self.gradients.step = step
                self.last = (i + 1) % self.accumulate == 0 or i == len(batches) - 1
                total += self.step(batch, shares[i], sizes[i])
                training.step = so_far.step = i + 1
                so_far.rows += sizes[i]
                if i == 0:
                    so_far.bound = is_bound(objective) and not self.found.points
                if i % self.check_every == 0 or i == len(batches) - 1:
                    training.loss = total.item() / so_far.rows
                    self._check_loss(training)
                if self.last:
                    self.callbacks.after_step(training)
                if self.last and i < len(batches) - 1 and self._ends_here(training, so_far, total):
                    return
        self.unchecked = False
        if not all(bool(torch.isfinite(p).all()) for p in self.trained):
            raise self._diverged(training, "a parameter is not finite")
        loss = self.fabric.all_reduce(total, reduce_op="sum").item() / so_far.rows
        seconds = time.perf_counter() - start
        kind = "bound" if so_far.bound else "surrogate"
        row = {"epoch": training.epoch + 1, "loss": loss, kind: -loss, "seconds": seconds}
        training.end_epoch(row)

    def _ends_here(self, training: Training, so_far: Within, total: Tensor) -> bool:
        """Return whether the run stops within the epoch; write a checkpoint if one is due.

        Several processes decide this together, every ``check_every`` steps.
        """
        several = self.fabric.world_size > 1
        if several and (so_far.step - 1) % self.check_every:
            return False
        if training.agreed():
            so_far.total = float(self.fabric.all_reduce(total, reduce_op="sum"))
            so_far.noise = noise_states(self.fabric.device)
            training.within = so_far
            training.write()
        return training.stopping

    def step(self, batch: Observations, share: range, size: int) -> Float[Tensor, ""]:
        """Take a gradient step on a joint batch; return this process's part of the summed loss.

        Args:
            batch: This process's rows.
            share: The positions of these rows in the joint batch.
            size: The number of rows of the joint batch.
        """
        rank, world = self.fabric.global_rank, self.fabric.world_size
        if self.transform is not None:
            with own_noise(rank) if world > 1 else nullcontext():
                batch = self.transform(batch).to(self.system.dtype)
        if self.unchecked:
            self.system.check(batch)
        if rank >= size:  # With fewer rows than processes, this process's row does not count.
            batch = batch.only()
        with nullcontext() if self.kept is None else constants(self.kept):
            return self.graphed(batch, share, size)

    def update(self, batch: Observations, share: range, size: int) -> Float[Tensor, ""]:
        """Compute loss and gradients and step the optimiser; a CUDA graph may replay this work."""
        self.optimizer.zero_grad()
        loss = self.gradients(batch, share, size)
        if self.accumulate > 1:
            self.sums.add(size, self.last)
        if self.last and any(p.grad is not None for p in self.trained):
            if self.clip_norm is not None:
                self.fabric.clip_gradients(
                    self.module, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
                )
            self.optimizer.step()
        return loss

    def backward(self, batch: Observations, share: range, size: int) -> Float[Tensor, ""]:
        """Return the loss; the parameters get the gradients of its mean over the joint batch."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        noise = JointNoise(share, size, rank) if world > 1 else nullcontext()
        shares = self.found.shares  # Their KL has a gradient, whatever the rows hold.
        some = world > 1 or shares or may_be(batch.any_data)  # See AlwaysDifferentiable.
        own = len(share) if rank < size else 0
        part = OfTheDataSet(own / self.num_rows) if shares else nullcontext()
        with noise, part, torch.set_grad_enabled(some):
            loss = self.module(batch)
        if loss.requires_grad:  # A batch with nothing present has no gradient.
            self.fabric.backward(loss * (world / size))
        return loss.detach().double()

    def _check_loss(self, training: Training) -> None:
        if not abs(training.loss) < _LARGEST_LOSS:
            what = f"the loss is {training.loss} at step {training.step}"
            raise self._diverged(training, what)

    def _diverged(self, training: Training, what: str) -> DivergedError:
        self.system.load_state_dict(training.last_good)
        return DivergedError(
            f"training diverged in epoch {training.epoch + 1}: {what}. The system is back in its "
            f"state after epoch {training.epoch}. Lower the learning rate, give clip_norm, or "
            "look at the scales of the data and of Normal likelihoods.",
            training.result(),
        )


@contextmanager
def _annealed(objective: ELBO) -> Iterator[Any]:
    """Reset the objective's schedule at the end, whatever happens."""
    try:
        yield objective
    finally:
        objective.annealing = 1.0
        if isinstance(objective, Stages):
            objective.epoch = 0
