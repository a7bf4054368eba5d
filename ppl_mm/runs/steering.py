"""Schedulers, monitors, loggers and callbacks of a run, from the words of a command line."""

import math
from collections.abc import Callable
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch.optim import lr_scheduler

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.log_likelihood import log_likelihood
from ppl_mm.measures.accuracy import accuracy
from ppl_mm.systems import System
from ppl_mm.training import Callback, Log

__all__ = ["callback_of", "check_monitor", "log_of", "monitor_of", "scheduler_of"]

_FEW = 2  # The number of rows for the trial of a monitor.
_LOGGERS = {"csv": "CSVLogger", "tensorboard": "TensorBoardLogger"}


def scheduler_of(text: str | None, epochs: int) -> Callable[..., Any] | None:
    """Return the scheduler that a word names, for a run of ``epochs`` epochs.

    Raises:
        ValueError: If the word is unknown, or its factor is no number.

    Example:
        >>> scheduler_of("exponential:0.9", 10).keywords
        {'gamma': 0.9}
    """
    if text is None:
        return None
    name, _, factor = text.partition(":")
    makers: dict[str, Callable[[], Callable[..., Any]]] = {
        "cosine": lambda: partial(lr_scheduler.CosineAnnealingLR, T_max=epochs),
        "linear": lambda: partial(
            lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.0, total_iters=epochs
        ),
        "exponential": lambda: partial(lr_scheduler.ExponentialLR, gamma=_factor(factor)),
        "plateau": lambda: partial(lr_scheduler.ReduceLROnPlateau, mode="max"),
    }
    if name not in makers:
        raise ValueError(unknown_name("scheduler", name, makers))
    if factor and name != "exponential":
        raise ValueError(f"scheduler: {name} takes no factor, got {text!r}; write {name!r}.")
    return makers[name]()


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise ValueError(
            "scheduler: expected exponential:GAMMA with a factor above 0, such as "
            f"exponential:0.95, got {text!r}."
        )
    return factor


def monitor_of(text: str | None) -> Any:
    """Return the monitor that a word names: this module makes accuracies, ``fit`` the others."""
    kind, _, label = (text or "elbo").partition(":")
    if kind != "accuracy":
        return text or "elbo"

    def measure(system: System, obs: Observations) -> float:
        return accuracy(system, obs, label)

    measure.__name__ = measure.__qualname__ = text or ""
    return measure


def check_monitor(text: str | None, system: System, obs: Observations | None) -> None:
    """Measure a few rows once, so that a wrong monitor is told before a run begins.

    Args:
        text: The word of the monitor.
        system: The untrained system.
        obs: The held-out rows; with None, ``fit`` tells that they are needed.

    Raises:
        ValueError: If the monitor names a modality that there is not, or no label.
    """
    kind, _, names = (text or "").partition(":")
    if obs is None or kind not in ("accuracy", "log_likelihood"):
        return
    try:
        with torch.random.fork_rng():
            if kind == "accuracy":
                held = obs.present[names] if names in obs.names else torch.ones(len(obs)).bool()
                accuracy(system, obs[held.nonzero()[:_FEW, 0]], names)
            else:
                target, _, given = names.partition("|")
                asked, known = ([n for n in x.split(",") if n] for x in (target, given))
                log_likelihood(system, obs[:_FEW], asked, known, num_samples=2, refine="none")
    except (TypeError, ValueError) as error:
        raise ValueError(f"monitor {text!r}: {error}") from error


def log_of(name: str, folder: Path, **options: Any) -> Log:
    """Return the log of a run in its folder, "csv" or "tensorboard".

    Raises:
        ValueError: If the logger is unknown.
        ModuleNotFoundError: If TensorBoard is asked for and not installed.
    """
    if name not in _LOGGERS:
        raise ValueError(unknown_name("logger", name, _LOGGERS))
    from lightning_fabric import loggers

    return Log(getattr(loggers, _LOGGERS[name])(folder, name="logs", version=""), **options)


def callback_of(text: str) -> Callback:
    """Import a callback from a module: an object, or a class or function that makes one.

    Raises:
        ValueError: If the text is not MODULE:NAME, there is no such module or name, or it needs
            arguments.
    """
    module, _, name = text.partition(":")
    try:
        found: object = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"callback: expected MODULE:NAME such as my_module:MyCallback, got {text!r} ({error})."
        ) from error
    made = found
    if callable(found) and not isinstance(found, Callback):
        try:
            signature(found).bind()
        except TypeError as error:
            raise ValueError(
                f"callback: {text!r} is called without arguments, and it needs some ({error})."
            ) from error
        made = found()
    if not isinstance(made, Callback):
        raise ValueError(
            f"callback: {text!r} makes a {type(made).__name__}, not a ppl_mm.training.Callback."
        )
    return made
