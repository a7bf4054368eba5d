"""Training: one readable loop around Lightning Fabric.

Every epoch starts from random numbers of its own seed, so a resumed run equals an uninterrupted
one; every process of a data-parallel run draws the joint batch's noise and keeps its own rows,
so several processes equal one.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
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
from ppl_mm.objectives import Objective, linear_annealing
from ppl_mm.objectives.weights import absent_names
from ppl_mm.observations import Observations
from ppl_mm.rows import eval_mode
from ppl_mm.systems import System
from ppl_mm.training.history import DivergedError, FitResult, Progress
from ppl_mm.training.parallel import AlwaysDifferentiable, JointNoise
from ppl_mm.training.state import TrainingState

__all__ = ["fit"]

Optimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]


def fit(
    system: System,
    data: Observations,
    *,
    epochs: int,
    batch_size: int = 128,
    optimizer: Optimizer | None = None,
    validation: Observations | None = None,
    patience: int | None = None,
    annealing_epochs: int = 0,
    clip_norm: float | None = None,
    transform: Callable[[Observations], Observations] | None = None,
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
        data: The training rows; any of them may miss anything.
        epochs: Passes through the data, in total (with ``resume`` too).
        batch_size: Rows per step, of all processes together.
        optimizer: From parameters to a torch optimiser; Adam at 1e-3 by default.
        validation: Rows for the ELBO with neither weights nor beta, after every epoch.
        patience: Stop after so many epochs without a better validation ELBO.
        annealing_epochs: Beta grows linearly for so many epochs, see
            :func:`ppl_mm.objectives.linear_annealing`.
        clip_norm: Largest norm of the whole gradient.
        transform: Applied to every training batch on its device, such as a fresh binarisation.
        seed: Of the order of rows and of all noise. Torch's own generators are left alone.
        device: "auto" (CUDA where there is one), "cpu", "cuda", or "cuda:1".
        precision: Fabric's flag, such as "32-true", "bf16-mixed", "64-true".
        checkpoint: A file, written whole every ``checkpoint_every`` epochs and at the end.
        checkpoint_every: See there.
        resume: Go on from ``checkpoint``; the run equals one that was never stopped.
        progress: Show a progress bar with the current loss and validation ELBO.

    Under ``torchrun`` the rows of each batch are divided among the processes; parameters come
    out as from one process with the joint batch (where the guide's latents are Normal, Laplace or
    all strata of mixtures of them, and but for batch normalisation, whose statistics each process
    takes from its own rows).

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
    _check_options(system, data, clip_norm, annealing_epochs)
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
    with eval_mode(system), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        _check_data(system, data if transform is None else transform(data), validation)
        module = system.objective(system.model, system.guide)
        if fabric.world_size > 1:
            module = AlwaysDifferentiable(module)
        module, torch_optimizer = fabric.setup(module, _optimizer(optimizer, system))
        state = TrainingState(system, torch_optimizer, seed, batch_size, len(data))
        if resume:
            assert checkpoint is not None
            state.load(Path(checkpoint))
        data = data.to(fabric.device)
        loop = _Loop(fabric, module, torch_optimizer, system, data, transform, clip_norm)
        with Progress(epochs, state.epoch, show=progress and fabric.is_global_zero) as bar:
            while state.epoch < epochs and not state.out_of_patience(patience):
                row = loop.epoch(state, batch_size, annealing_epochs, bar)
                if validation is not None:
                    value = elbo(system, validation, seed=seed).mean().item()
                    row["validation_elbo"] = value
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
        data: Observations,
        transform: Callable[[Observations], Observations] | None,
        clip_norm: float | None,
    ) -> None:
        self.fabric, self.module, self.optimizer, self.system = fabric, module, optimizer, system
        self.data, self.transform, self.clip_norm = data, transform, clip_norm
        self.check_every = 1 if fabric.device.type == "cpu" else 50  # reading a loss waits for CUDA

    def epoch(
        self, state: TrainingState, batch_size: int, annealing_epochs: int, bar: Progress
    ) -> dict[str, float]:
        """Run one epoch; its row of the history."""
        start = time.perf_counter()
        torch.manual_seed(state.epoch_seed)
        order = torch.randperm(len(self.data))
        batches = [b for b in order.split(batch_size) if len(b) >= self.fabric.world_size]
        total, rows = torch.zeros((), dtype=torch.float64, device=self.fabric.device), 0
        self.system.train()
        is_bound = True
        with pyro.validation_enabled(False), _annealed(self.system.objective) as objective:
            for i, batch in enumerate(batches):
                step = state.epoch * len(batches) + i
                objective.annealing = linear_annealing(
                    step, epochs=annealing_epochs, steps_per_epoch=len(batches)
                )
                total += self.step(batch)
                rows += len(batch)
                if i == 0:
                    is_bound = getattr(objective, "is_bound", True)
                if i % self.check_every == 0 or i == len(batches) - 1:
                    value = total.item()
                    if not math.isfinite(value):
                        raise self._diverged(state, f"the loss is {value} at step {i + 1}")
                    bar.step((i + 1) / len(batches), value / rows)
        if not all(bool(torch.isfinite(p).all()) for p in _parameters(self.system)):
            raise self._diverged(state, "a parameter is not finite")
        loss = self.fabric.all_reduce(total, reduce_op="sum").item() / rows
        seconds = time.perf_counter() - start
        kind = "bound" if is_bound else "surrogate"
        return {"epoch": state.epoch + 1, "loss": loss, kind: -loss, "seconds": seconds}

    def step(self, joint: Tensor) -> Tensor:
        """One gradient step on a joint batch; this process's part of its loss, a sum over rows."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        rows = joint.tensor_split(world)[rank]
        batch = self.data[rows]
        if self.transform is not None:
            batch = self.transform(batch)
        offset = sum(len(part) for part in joint.tensor_split(world)[:rank])
        noise = JointNoise(offset, len(joint), rank) if world > 1 else nullcontext()
        self.optimizer.zero_grad()
        with noise:
            loss = self.module(batch)
        if loss.requires_grad:  # a batch with nothing present has no gradient
            self.fabric.backward(loss * (world / len(joint)))
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


@contextmanager
def _annealed(objective: Any) -> Iterator[Any]:
    """Whatever happens, leave the objective's schedule as results need it."""
    try:
        yield objective
    finally:
        objective.annealing = 1.0


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


def _parameters(system: System) -> list[Tensor]:
    return [p for p in system.parameters() if p.requires_grad]


def _optimizer(factory: Optimizer, system: System) -> torch.optim.Optimizer:
    if isinstance(factory, torch.optim.Optimizer):
        raise TypeError(
            "optimizer: expected a function from parameters to a torch optimiser, got a "
            f"{type(factory).__name__} itself; write functools.partial(torch.optim.Adam, lr=1e-3)."
        )
    optimizer = factory(_parameters(system))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            "optimizer: expected a function from parameters to a torch optimiser, got one to "
            f"{type(optimizer).__name__}; Pyro's optimisers go with pyro.infer.SVI."
        )
    return optimizer


def _check_options(
    system: System, data: Observations, clip_norm: float | None, annealing_epochs: int
) -> None:
    if not isinstance(system, System):
        raise TypeError(f"fit: expected a System, got {type(system).__name__}.")
    if not isinstance(data, Observations):
        raise TypeError(
            f"fit: expected Observations, got {type(data).__name__}; of a data set give its part "
            "train, and wrap a dict of tensors as Observations({...})."
        )
    if not any(bool(mask.any()) for mask in data.present.values()):
        raise ValueError("fit: no row of the data holds any modality.")
    if clip_norm is not None and not 0 < clip_norm < math.inf:
        raise ValueError(f"clip_norm: expected a number above 0, got {clip_norm!r}.")
    if annealing_epochs < 0:
        raise ValueError(f"annealing_epochs: expected at least 0, got {annealing_epochs!r}.")
    if annealing_epochs and not hasattr(system.objective, "annealing"):
        raise ValueError(
            f"annealing_epochs: {type(system.objective).__name__} has no beta to anneal; wrap it "
            "as objectives.Reweighted(...)."
        )
    if not _parameters(system):
        raise ValueError("fit: the system has no parameter to train.")


def _check_data(system: System, data: Observations, validation: Observations | None) -> None:
    """Check all rows for their support, and a few by a run with Pyro's validation on."""
    system.check(data)
    if validation is not None:
        system.check(validation)
    absent = absent_names(system.model, data)
    if absent and not isinstance(system.objective, Objective):
        raise ValueError(
            f"fit: the data do not hold modality {min(absent)!r} at all, and "
            f"{type(system.objective).__name__} would score draws of it. Use an objective of "
            "ppl_mm.objectives, or a model without it."
        )
    few = data[: min(len(data), 8)].to(system.device)
    with pyro.validation_enabled(True), pyro.poutine.trace(param_only=True) as shown:
        system.objective.loss(system.model, system.guide, few)
    own = {id(p) for p in system.parameters()}
    for name, site in shown.trace.nodes.items():
        if id(site["value"].unconstrained()) not in own:
            raise ValueError(
                f"fit: {name!r} is a pyro.param, which a torch optimiser does not see. Make it a "
                "torch.nn.Parameter of the model or guide, or train with pyro.infer.SVI."
            )
