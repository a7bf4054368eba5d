"""Training: one readable loop around Lightning Fabric.

Every epoch has its own seed, so a resumed run equals an uninterrupted one. Every process of a
data-parallel run draws the joint batch's noise and keeps its own rows, so several processes give
the same numbers as one.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from rich import print as rich_print

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.systems import System
from ppl_mm.training.callbacks import Callback, Callbacks
from ppl_mm.training.checkpoint import load
from ppl_mm.training.checks import (
    Optimizer,
    Transform,
    check_data,
    check_options,
    first_rows,
    make_optimizer,
    warn_of_untrained,
)
from ppl_mm.training.fabric import make_fabric
from ppl_mm.training.fingerprint import of_run
from ppl_mm.training.history import FitResult
from ppl_mm.training.impartial import Rule
from ppl_mm.training.loader import streams_of
from ppl_mm.training.loop import Loop
from ppl_mm.training.monitor import Monitor, watched
from ppl_mm.training.own_callbacks import Bar, Checkpoints, Schedule, Scheduler
from ppl_mm.training.plan import check_step, missing, plan
from ppl_mm.training.precision import check_clipping
from ppl_mm.training.signals import Signals, stopped
from ppl_mm.training.state import Training
from ppl_mm.training.surroundings import module_of, surroundings

__all__ = ["fit"]


@typed
def fit(
    system: System,
    data: Any,  # observations, a sequence or another iterable of them, which the door would read
    *,
    epochs: int,
    batch_size: int = 128,
    optimizer: Optimizer | None = None,
    scheduler: Scheduler | None = None,
    scheduler_every: Literal["epoch", "step"] = "epoch",
    accumulate: int = 1,
    validation: Observations | None = None,
    monitor: str | Monitor = "elbo",
    mode: Literal["max", "min"] = "max",
    patience: int | None = None,
    annealing_epochs: int = 0,
    clip_norm: float | None = None,
    impartial: str | Rule | None = None,
    transform: Transform | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    precision: str = "32-true",
    step: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    checkpoint_minutes: float = 5.0,
    resume: bool | Literal["new optimizer"] = False,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> FitResult:
    """Train a system by stochastic gradients of its objective, averaged over each batch's rows.

    Args:
        system: The system, which is trained in place. It ends with the last epoch's parameters, or
            with those of the best validation ELBO where ``validation`` is given.
        data: The training rows; any row may lack any modality. Several observations are separate
            streams, such as :func:`ppl_mm.data.streams` makes: every step has a batch of each,
            and a shorter stream starts over, in a new order, until the longest is through.
            Rows of :class:`ppl_mm.data.MemoryMapped` stay in their files: the next batch is read
            while one trains, and rows are checked in their first epoch.
        epochs: Passes through the data, in total (with ``resume`` too).
        batch_size: Rows per step (of each stream), of all processes together.
        optimizer: The function from parameters to a torch optimiser; by default Adam at 1e-3.
        scheduler: The function from the optimiser to a scheduler of its learning rate, such as
            ``partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=100)``. A
            ``ReduceLROnPlateau`` is given the monitor's value, or the loss without validation.
        scheduler_every: Whether the scheduler steps after each epoch or each step.
        accumulate: The number of batches whose gradients make one step; the gradient is that of
            the mean over all their rows.
        validation: The rows that are held out, for the monitor after every epoch.
        monitor: The measure that decides the best state and the patience: "elbo", with neither
            weights nor beta; "log_likelihood:TARGET" or "log_likelihood:TARGET|GIVEN", a mean over
            rows by 100 draws, with commas between modalities; "loss", of the training rows, the
            lower the better; or a function of the system and the held-out rows, such as
            :func:`ppl_mm.evaluation.accuracy` in a ``lambda``.
        mode: Whether a larger ("max") or a smaller value of the monitor is better.
        patience: The number of epochs without a better value after which the run ends.
        annealing_epochs: The number of epochs over which beta grows linearly, see
            :func:`ppl_mm.objectives.linear_annealing`.
        clip_norm: The largest norm of the whole gradient.
        impartial: The rule that combines the modalities' gradients at the latent before they reach
            the encoders: "pcgrad", "imtl_g", "mgda" (extra ``impartial``), or a function from their
            products to weights, see :func:`ppl_mm.training.impartial.impartially`.
        transform: A function that is applied to every training batch on its device, such as a fresh
            binarisation.
        seed: The seed of the order of rows and of all noise. Torch's own generators do not change.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", or torch's own.
        precision: ``"32-true"``: the parameters' own dtype, float32 or float64. ``"64-true"``:
            the system becomes one of float64, and stays it; ``system.float()`` takes it back.
            ``"bf16-mixed"``, and on CUDA ``"16-mixed"``: networks of float32 compute in 16 bits,
            see docs/cuda.md. Data follow the system's dtype, integers stay as they are.
        step: How steps are taken, see docs/steps.md. With ``"recorded"`` a step is recorded once
            and replayed, with the eager step's numbers to the last bit, or up to rounding where
            rows miss something; on a CUDA device it is a CUDA graph. With ``"compiled"`` the
            recorded step is also compiled, and equal up to rounding. ``"eager"`` does neither.
            ``"auto"`` records complete rows, and with small networks rows that miss something; it
            also compiles in a run of 20,000 steps or more. A step that cannot be recorded is
            eager; the result says how steps were taken and why.
        checkpoint: The file from which a stopped run continues. It is written whole, at the end and
            when the run is stopped. Only its own run may write it, see :func:`ppl_mm.files.owned`.
        checkpoint_every: The number of epochs from one checkpoint to the next.
        checkpoint_minutes: The largest number of minutes between checkpoints, also within an epoch.
        resume: Whether to continue from ``checkpoint``. The run then equals one that was never
            stopped. It must have the same system, objective, data and options; what may differ is
            in :data:`ppl_mm.training.MAY_DIFFER`. Options of the optimiser that are given now win
            over those of the checkpoint, with a warning that says so; with "new optimizer" the
            optimiser starts anew.
        callbacks: The callbacks around the run, its epochs and its steps, see
            :class:`ppl_mm.training.Callback`.
        progress: Whether to show a progress bar with the current loss and validation ELBO.

    Under ``torchrun`` the rows of each batch are divided among the processes. The parameters become
    those of one process with the joint batch, and a run may continue with another number of
    processes. Each process has its own batch statistics, dropout, ``impartial`` weights, noise of
    ``transform``, and draws of latents other than Normal, Laplace and mixtures of them, see
    docs/several_machines.md.

    A latent that all rows share, outside ``obs.plates()``, or a ``pyro.factor`` there, counts once
    for all N rows of the data: a batch of B rows scores B / N of it.

    Returns:
        The history (one row per epoch: epoch, loss, bound or surrogate, validation_elbo, seconds),
        the best state, and how steps were taken.

    After an error the system has its former dtype and device. After Ctrl-C, SIGTERM or SIGHUP the
    run finishes its step and writes the checkpoint; a second Ctrl-C or SIGTERM stops it at once.
    Fits and measures in several threads of one process wait for each other.

    Raises:
        ValueError: If data do not fit the system or an option is out of range, before any step.
        RuntimeError: If ``step="compiled"`` and torch finds no working compiler.
        DivergedError: When a loss or parameter stops being finite, or a loss is so large that its
            gradient's square would not be; the system is back in the state at the end of the last
            good epoch, and the error holds the result so far.
        StoppedError: After such a signal. It is a ``KeyboardInterrupt``.
        OSError: If the checkpoint cannot be written, or another run writes it; the error names it.

    Warns:
        UserWarning: If no training row holds a declared modality, or if options of the optimiser
            differ between a resumed run and its checkpoint.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, digits.latent_dim)
        >>> result = fit(system, digits.train, epochs=1, batch_size=600, progress=False)
        >>> len(result.history)
        1
    """
    streams = streams_of(data)
    check_options(system, annealing_epochs)
    watch = watched(monitor, mode, patience, validation, seed)
    file = None if checkpoint is None else Path(checkpoint)
    if resume and file is None:
        raise ValueError("resume=True needs checkpoint=, the file to go on from.")
    fabric = make_fabric(system, str(device), precision)
    check_step(step, fabric.device)
    num_steps = epochs * streams.steps(batch_size)
    planned = plan(step, fabric, streams, impartial, precision, num_steps)
    if optimizer is None:
        optimizer = partial(torch.optim.Adam, lr=1e-3, fused=precision != "16-mixed")
    with surroundings(system, fabric, file, seed, precision, impartial):
        found = check_data(system, streams, transform, validation)
        if fabric.is_global_zero:
            warn_of_untrained(system, streams)
        own = make_optimizer(optimizer, system)
        check_clipping(own, precision, clip_norm)
        module, set_up = fabric.setup(module_of(system, fabric, found.shares), own)
        setting: dict[str, Any] = {
            **{"seed": seed, "batch_size": batch_size, "num_rows": len(streams)},
            **{"precision": precision, "annealing_epochs": annealing_epochs},
            **{"accumulate": accumulate, "scheduler_every": scheduler_every},
        }
        if file is not None:
            options: dict[str, Any] = {"transform": transform, "scheduler": scheduler}
            options |= {"impartial": impartial, "monitor": (monitor, mode)}
            setting |= of_run(system, streams.told, validation, options)
        training = Training(
            system,
            own,
            fabric,
            setting,
            epochs=epochs,
            scheduler=scheduler,
            validation=validation,
            missing=missing(step, streams, transform, batch_size, num_steps),
            some_rows=partial(first_rows, streams, transform),
        )
        if resume:
            assert file is not None
            load(training, file, new_optimizer=resume == "new optimizer")
        shown = progress and fabric.is_global_zero
        if planned.compile and shown:
            rich_print(f"A step is compiled for the {num_steps:,} of the run; the first waits.")
        around = Callbacks(
            [
                *([] if watch is None else [watch]),
                *([] if scheduler is None else [Schedule(scheduler_every, watch)]),
                *callbacks,
                *([Bar(watch)] if shown else []),
                *(
                    []
                    if file is None
                    else [Checkpoints(file, checkpoint_every, checkpoint_minutes)]
                ),
            ]
        )
        loop = Loop(
            fabric,
            module,
            set_up,
            system,
            streams.to(fabric.device, system.dtype),
            transform,
            batch_size,
            annealing_epochs,
            clip_norm,
            accumulate,
            found,
            planned,
            training.missing,
            around,
        )
        with Signals(training.stop) as signals, around.around(training):
            loop.run(training, doubtful=bool(callbacks))
    if signals.caught:
        raise stopped(training, signals.caught, file)
    if training.best_state is not None:
        system.load_state_dict(training.best_state)
    return replace(training.result(), step=loop.taken.outcome)
