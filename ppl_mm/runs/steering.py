"""Schedulers, monitors, loggers and callbacks of a run, from the words of a command line."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch.optim import lr_scheduler

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.accuracy import accuracy
from ppl_mm.systems import System
from ppl_mm.training import Callback, Log

__all__ = ["callback_of", "log_of", "monitor_of", "scheduler_of"]

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
        "exponential": lambda: partial(lr_scheduler.ExponentialLR, gamma=float(factor)),
        "plateau": lambda: partial(lr_scheduler.ReduceLROnPlateau, mode="max"),
    }
    if name not in makers:
        raise ValueError(unknown_name("scheduler", name, makers))
    return makers[name]()


def monitor_of(text: str | None) -> Any:
    """Return the monitor that a word names: this module makes accuracies, ``fit`` the others."""
    kind, _, label = (text or "elbo").partition(":")
    if kind != "accuracy":
        return text or "elbo"

    def measure(system: System, obs: Observations) -> float:
        return accuracy(system, obs, label)

    measure.__name__ = measure.__qualname__ = text or ""
    return measure


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
        ValueError: If the text is not MODULE:NAME, or there is no such module or name.
    """
    module, _, name = text.partition(":")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"callback: expected MODULE:NAME such as my_module:MyCallback, got {text!r} ({error})."
        ) from error
    made = found if isinstance(found, Callback) else found()
    if not isinstance(made, Callback):
        raise ValueError(
            f"callback: {text!r} makes a {type(made).__name__}, not a ppl_mm.training.Callback."
        )
    return made
