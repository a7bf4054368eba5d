"""Measures of a run in progress, for a logger such as TensorBoard."""

from collections.abc import Callable
from typing import Any, Protocol

import torch

from ppl_mm.batch.observations import Observations
from ppl_mm.objectives import trace_pair
from ppl_mm.objectives.weights import divergence
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating
from ppl_mm.training.callbacks import Callback
from ppl_mm.training.state import Training

__all__ = ["Log", "Logger", "elbo_by_site"]


class Logger(Protocol):
    """A logger of Lightning Fabric, or any object with this method."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Log measures by name, at a step of the optimiser."""


class Log(Callback):
    """Send the measures of a run to a logger.

    Every few steps the logger gets ``loss`` (nats per row, the mean of the epoch so far),
    ``gradient_norm`` and ``learning_rate``. After each epoch it gets the epoch's row of the
    history, and ``log p(MODALITY)`` and ``KL(LATENT)`` of some rows, which add up to the ELBO, in
    nats per row.

    Args:
        logger: ``CSVLogger`` or ``TensorBoardLogger`` of ``lightning_fabric.loggers``, or any
            object of that interface, such as those of W&B and MLflow.
        every: The number of steps from one entry to the next.
        rows: The rows whose ELBO is logged site by site; by default the held-out rows, if there are
            any. The first 256 are used.
        picture: A function from the system to a figure, for loggers with TensorBoard's
            ``experiment.add_figure``.
        picture_every: The number of epochs from one picture to the next.

    Example:
        >>> import tempfile
        >>> from lightning_fabric.loggers import CSVLogger
        >>> from ppl_mm import data, fit, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, digits.latent_dim)
        >>> log = Log(CSVLogger(tempfile.mkdtemp()), every=1)
        >>> options = {"epochs": 1, "batch_size": 600, "progress": False}
        >>> result = fit(system, digits.train, callbacks=[log], **options)
    """

    def __init__(
        self,
        logger: Any,
        *,
        every: int = 50,
        rows: Observations | None = None,
        picture: Callable[[System], Any] | None = None,
        picture_every: int = 10,
    ) -> None:
        if not callable(getattr(logger, "log_metrics", None)):
            raise TypeError(
                f"Log: expected a logger with a method log_metrics(metrics, step), got a "
                f"{type(logger).__name__}; lightning_fabric.loggers has some."
            )
        self.logger, self.every, self.rows = logger, every, rows
        self.picture, self.picture_every = picture, picture_every

    def after_step(self, training: Training) -> None:
        """Log a step, if it is due."""
        if training.is_first and self._place(training) % self.every == 0:
            rate = float(training.optimizer.param_groups[0]["lr"])
            told = {"loss": training.loss, "gradient_norm": training.gradient_norm()}
            self.logger.log_metrics({**told, "learning_rate": rate}, self._place(training))

    def after_epoch(self, training: Training) -> None:
        """Log an epoch, its ELBO by site, and a picture if it is due."""
        if not training.is_first:
            return
        step, rows = self._place(training), training.validation if self.rows is None else self.rows
        told = {name: value for name, value in training.history[-1].items() if name != "epoch"}
        told["epoch_loss"] = told.pop("loss")
        if rows is not None:
            told |= elbo_by_site(training.system, rows[:256])
        self.logger.log_metrics(told, step)
        if self.picture is not None and training.epoch % self.picture_every == 0:
            figure = self.picture(training.system)
            self.logger.experiment.add_figure("picture", figure, step)

    def after_fit(self, training: Training) -> None:
        """Let the logger write its buffered entries."""
        save = getattr(self.logger, "save", None)
        if training.is_first and save is not None:
            save()

    def _place(self, training: Training) -> int:
        return training.epoch * training.steps + training.step


def elbo_by_site(system: System, obs: Observations, *, seed: int = 0) -> dict[str, float]:
    """Estimate the ELBO of log p(x_present) site by site with one draw: means over rows, in nats.

        The result has E_q[log p(x_m | z)] of each modality as ``log p(m)``, and KL(q || p) of each
        latent.

    Args:
        system: The system of model and guide.
        obs: The rows; a modality that a row lacks counts as 0.
        seed: The seed of the draws.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, digits.latent_dim)
        >>> list(elbo_by_site(system, digits.test[:5]))
        ['log p(top)', 'log p(bottom)', 'log p(label)', 'KL(z)']
    """
    with evaluating(system, seed):
        p, q = trace_pair(system.model, system.guide, obs.to(system))
        p.compute_log_prob()
        found = {
            f"log p({name})": _mean(p.nodes[name]["log_prob"], len(obs))
            for name in p.observation_nodes
        }
        for name in q.stochastic_nodes:
            if name in p.nodes:
                found[f"KL({name})"] = _mean(divergence(p.nodes[name], q.nodes[name]), len(obs))
    return found


def _mean(value: torch.Tensor, num_rows: int) -> float:
    return float(value.sum() / num_rows)
