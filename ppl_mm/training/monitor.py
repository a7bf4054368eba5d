"""Monitors: the measure of a system in training that decides its best state and the patience."""

import math
import warnings
from collections.abc import Callable
from functools import partial

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.elbo import elbo_of_checked
from ppl_mm.likelihood.log_likelihood import log_likelihood
from ppl_mm.results.unreliable import UnreliableLikelihoodWarning
from ppl_mm.systems import System
from ppl_mm.training.callbacks import Callback
from ppl_mm.training.state import Training

__all__ = ["Monitor", "Watch", "watched"]

Monitor = Callable[[System, Observations], float]
"""A function from a system and the held-out rows to a number."""

_DRAWS = 100  # The number of draws per row of a log-likelihood.


class Watch(Callback):
    """Measure the system after each epoch, keep its best state, and stop when patience runs out.

    Args:
        name: The measure's name in the history.
        measure: The function from the run to the number; the first process calls it.
        sign: 1 if larger values are better, -1 if smaller ones are.
        patience: The number of epochs without a better value after which the run ends.
    """

    def __init__(
        self,
        name: str,
        measure: Callable[[Training], float],
        sign: float = 1.0,
        patience: int | None = None,
    ) -> None:
        self.name, self.measure, self.sign, self.patience = name, measure, sign, patience

    def before_fit(self, training: Training) -> None:
        """Stop a resumed run whose patience has run out already."""
        self._stop_without_patience(training)

    def after_epoch(self, training: Training) -> None:
        """Measure; all processes use the first one's number, so that they stop together."""
        value = float(training.fabric.broadcast(self.measure(training)))
        training.history[-1][self.name] = value
        best = self.sign * training.best_value
        if not math.isnan(value) and not self.sign * value <= best:  # The first best is NaN.
            training.best_value, training.best_epoch = value, training.epoch
            training.best_state = training.last_good
        self._stop_without_patience(training)

    def _stop_without_patience(self, training: Training) -> None:
        waited = training.epoch - training.best_epoch
        if self.patience is not None and waited >= self.patience:
            training.stop()


def watched(
    monitor: str | Monitor,
    mode: str,
    patience: int | None,
    validation: Observations | None,
    seed: int,
) -> Watch | None:
    """Return the monitor for the arguments of :func:`ppl_mm.fit`; None if none is asked for.

    Raises:
        ValueError: If the name is unknown, or needs held-out rows and there are none.
    """
    if monitor == "loss":
        return Watch("loss", lambda training: training.history[-1]["loss"], -1.0, patience)
    if validation is None:
        if patience is not None or monitor != "elbo":
            what = "monitor" if patience is None else "patience"
            raise ValueError(f"{what} needs validation=, the rows that are held out.")
        return None
    sign = 1.0 if mode == "max" else -1.0
    if callable(monitor):
        name = getattr(monitor, "__name__", type(monitor).__name__)
        return Watch(name, partial(_by_function, monitor), sign, patience)
    if monitor == "elbo":
        return Watch("validation_elbo", partial(_elbo, seed=seed), sign, patience)
    kind, colon, text = monitor.partition(":")
    if kind != "log_likelihood" or not colon:
        raise ValueError(
            f"monitor: expected 'elbo', 'loss', 'log_likelihood:TARGET|GIVEN' or a function of the "
            f"system and the held-out rows, got {monitor!r}."
        )
    target, given = ([n for n in part.split(",") if n] for part in _two(text))
    measure = partial(_log_likelihood, target=target, given=given, seed=seed)
    return Watch(monitor, measure, sign, patience)


def _two(text: str) -> tuple[str, str]:
    target, _, given = text.partition("|")
    return target, given


def _by_function(monitor: Monitor, training: Training) -> float:
    assert training.validation is not None
    return float(monitor(training.system, training.validation))


def _elbo(training: Training, seed: int) -> float:
    assert training.validation is not None
    return elbo_of_checked(training.system, training.validation, seed=seed).mean().item()


def _log_likelihood(training: Training, target: list[str], given: list[str], seed: int) -> float:
    assert training.validation is not None
    rows = training.validation
    with warnings.catch_warnings():  # The estimate only compares epochs.
        warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
        found = log_likelihood(training.system, rows, target, given, _DRAWS, seed=seed)
    return float(found.value.mean())
