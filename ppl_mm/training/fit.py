"""Training: one readable loop around Lightning Fabric.

Every epoch starts from random numbers of its own seed, so a resumed run equals an uninterrupted
one; every process of a data-parallel run draws the joint batch's noise and keeps its own rows,
so several processes equal one.
"""

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor

from ppl_mm.checks import check_at_least_one
from ppl_mm.evaluation.bound import elbo
from ppl_mm.objectives import Stages, linear_annealing
from ppl_mm.observations import Observations
from ppl_mm.rows import eval_mode
from ppl_mm.systems import System
from ppl_mm.training.batches import Streams
from ppl_mm.training.checks import (
    Optimizer,
    Transform,
    check_data,
    check_options,
    make_optimizer,
    parameters,
)
from ppl_mm.training.history import DivergedError, FitResult, Progress
from ppl_mm.training.impartial import Rule, impartially
from ppl_mm.training.parallel import AlwaysDifferentiable, JointNoise, own_noise
from ppl_mm.training.state import TrainingState

__all__ = ["fit"]


def fit(
    system: System,
    data: Observations | Sequence[Observations],
    *,
    epochs: int,
    batch_size: int = 128,
    optimizer: Optimizer | None = None,
    validation: Observations | None = None,
    patience: int | None = None,
    annealing_epochs: int = 0,
    clip_norm: float | None = None,
    impartial: str | Rule | None = None,
    transform: Transform | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "32-true",
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    resume: bool = False,
    progress: bool = True,
) -> FitResult:
    """Train a system by stochastic gradients of its objective, averaged over each batch's rows.

    Args:
        system: Trained in place. It ends with the last epoch's parameters, or with those of the
            best validation ELBO where ``validation`` is given.
        data: The training rows; any of them may miss anything. Several observations are separate
            streams, such as :func:`ppl_mm.data.streams` makes: every step has a batch of each,
            and a shorter stream starts over, in a new order, until the longest is through.
            Rows of :class:`ppl_mm.data.MemoryMapped` stay in their files: the next batch is read
            while one trains, and rows are checked in their first epoch.
        epochs: Passes through the data, in total (with ``resume`` too).
        batch_size: Rows per step (of each stream), of all processes together.
        optimizer: From parameters to a torch optimiser; Adam at 1e-3 by default.
        validation: Rows for the ELBO with neither weights nor beta, after every epoch.
        patience: Stop after so many epochs without a better validation ELBO.
        annealing_epochs: Beta grows linearly for so many epochs, see
            :func:`ppl_mm.objectives.linear_annealing`.
        clip_norm: Largest norm of the whole gradient.
        impartial: How the modalities' gradients are combined at the latent before they go on to
            the encoders: "pcgrad", "imtl_g", "mgda" (extra ``impartial``), or a function from
            their products to weights, see :func:`ppl_mm.training.impartially`.
        transform: Applied to every training batch on its device, such as a fresh binarisation.
        seed: Of the order of rows and of all noise. Torch's own generators are left alone.
        device: "auto" (CUDA where there is one), "cpu", "cuda", or "cuda:1".
        precision: Fabric's flag, such as "32-true", "bf16-mixed", "64-true".
        checkpoint: A file, written whole every ``checkpoint_every`` epochs and at the end.
        checkpoint_every: See there.
        resume: Go on from ``checkpoint``; the run equals one that was never stopped.
        progress: Show a progress bar with the current loss and validation ELBO.

    Under ``torchrun`` the rows of each batch are divided among the processes; parameters come
    out as from one process with the joint batch, and checkpoints go from one number of processes to
    another. Each process has its own batch statistics, dropout, ``impartial`` weights, noise of
    ``transform``, and draws of latents other than Normal, Laplace and mixtures of them, see
    docs/several_machines.md.

    Returns:
        The history (a row an epoch: epoch, loss, bound or surrogate, validation_elbo, seconds),
        and the best state.

    Raises:
        ValueError: For data that do not fit the system or options out of range, before any step.
        DivergedError: When a loss or parameter stops being finite; the system is back in the
            state at the end of the last good epoch, and the error holds the result so far.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, digits.latent_dim)
        >>> result = fit(system, digits.train, epochs=1, batch_size=600, progress=False)
        >>> len(result.history)
        1
    """
    streams = Streams(data)
    check_options(system, clip_norm, annealing_epochs)
    for name, number in (
        ("epochs", epochs),
        ("batch_size", batch_size),
        ("checkpoint_every", checkpoint_every),
        ("patience", 1 if patience is None else patience),
    ):
        check_at_least_one(name, number)
    if patience is not None and validation is None:
        raise ValueError("patience needs validation=, the rows whose ELBO it watches.")
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint=, the file to go on from.")
    fabric = _fabric(device, precision)
    if optimizer is None:
        optimizer = partial(torch.optim.Adam, lr=1e-3, fused=True)
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    rng = torch.random.fork_rng(devices=devices)
    with eval_mode(system), rng, impartially(system, impartial):
        torch.manual_seed(seed)
        check_data(system, streams, transform, validation)
        module = system.objective(system.model, system.guide)
        if fabric.world_size > 1:
            module = AlwaysDifferentiable(module)
        module, torch_optimizer = fabric.setup(module, make_optimizer(optimizer, system))
        state = TrainingState(system, torch_optimizer, seed, batch_size, len(streams))
        if resume:
            assert checkpoint is not None
            state.load(Path(checkpoint))
        streams = streams.to(fabric.device)
        loop = _Loop(fabric, module, torch_optimizer, system, streams, transform, clip_norm)
        with Progress(epochs, state.epoch, show=progress and fabric.is_global_zero) as bar:
            while state.epoch < epochs and not state.out_of_patience(patience):
                row = loop.epoch(state, batch_size, annealing_epochs, bar)
                if validation is not None:
                    value = elbo(system, validation, seed=seed).mean().item()
                    row["validation_elbo"] = fabric.broadcast(value)  # all stop at one epoch
                state.end_epoch(row)
                bar.epoch(row)
                last = state.epoch == epochs or state.out_of_patience(patience)
                if checkpoint is not None and (last or state.epoch % checkpoint_every == 0):
                    state.save(Path(checkpoint), fabric)
    if state.best_state is not None:
        system.load_state_dict(state.best_state)
    return state.result()


class _Loop:
    """One epoch of training steps."""

    def __init__(
        self,
        fabric: Fabric,
        module: Any,
        optimizer: Any,
        system: System,
        streams: Streams,
        transform: Transform | None,
        clip_norm: float | None,
    ) -> None:
        self.fabric, self.module, self.optimizer, self.system = fabric, module, optimizer, system
        self.streams, self.transform, self.clip_norm = streams, transform, clip_norm
        self.unchecked = streams.mapped  # rows in files are checked in their first epoch
        self.check_every = 1 if fabric.device.type == "cpu" else 50  # reading a loss waits for CUDA

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
        is_bound = True
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
                    is_bound = getattr(objective, "is_bound", True)
                if i % self.check_every == 0 or i == len(batches) - 1:
                    value = total.item()
                    if not math.isfinite(value):
                        raise self._diverged(state, f"the loss is {value} at step {i + 1}")
                    bar.step((i + 1) / len(batches), value / rows)
        self.unchecked = False
        if not all(bool(torch.isfinite(p).all()) for p in parameters(self.system)):
            raise self._diverged(state, "a parameter is not finite")
        loss = self.fabric.all_reduce(total, reduce_op="sum").item() / rows
        seconds = time.perf_counter() - start
        kind = "bound" if is_bound else "surrogate"
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
                batch = self.transform(batch)
        if self.unchecked:
            self.system.check(batch)
        if rank >= size:  # fewer rows than processes: this one's counts for nothing
            batch = batch.only()
        noise = JointNoise(share, size, rank) if world > 1 else nullcontext()
        self.optimizer.zero_grad()
        some = world > 1 or bool(batch.any_data.any())  # of several: AlwaysDifferentiable
        with noise, torch.set_grad_enabled(some):
            loss = self.module(batch)
        if loss.requires_grad:  # a batch with nothing present has no gradient
            self.fabric.backward(loss * (world / size))
            if self.clip_norm is not None:
                self.fabric.clip_gradients(
                    self.module, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
                )
            self.optimizer.step()
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


def _fabric(device: str, precision: str) -> Fabric:
    world = int(os.environ.get("WORLD_SIZE", "1"))
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:1', got {device!r}.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}: torch sees no CUDA device here; use 'auto' or 'cpu'.")
    accelerator = ("cuda" if torch.cuda.is_available() else "cpu") if kind == "auto" else kind
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    fabric = Fabric(
        accelerator=accelerator,
        devices=[int(index)] if index else local,
        num_nodes=world // local,
        strategy=DDPStrategy(find_unused_parameters=True) if world > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric
