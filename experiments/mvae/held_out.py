"""Measures of held-out and test rows after every epoch of weak supervision, to choose an epoch."""

from typing import Any

import torch

from ppl_mm import evaluation
from ppl_mm.batch.observations import Observations
from ppl_mm.systems import System
from ppl_mm.training import Callback
from ppl_mm.training.state import Training

__all__ = ["HeldOut", "chosen"]

_BATCH = 1000  # The rows of a pass through the networks.


class HeldOut(Callback):
    """Measure a system of image and label after every epoch, into the history's row.

    The row gets ``held-out loss``, the objective's loss of held-out pairs with its weights and
    without annealing (nats a row); ``held-out accuracy``, the share of their labels that are read
    from the image; and ``test accuracy``, the same of the test rows, by which no epoch is chosen.
    """

    def __init__(self, held_out: Observations, test: Observations, seed: int) -> None:
        self.held_out, self.test, self.seed = held_out, test, seed

    def after_epoch(self, training: Training) -> None:
        """Measure; the noise of the run does not change."""
        system, row = training.system, training.history[-1]
        row["held-out loss"] = _loss(system, self.held_out, self.seed)
        row["held-out accuracy"] = _accuracy(system, self.held_out)
        row["test accuracy"] = _accuracy(system, self.test)


def chosen(history: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return epoch and test accuracy of the epoch that is best by each held-out measure.

    Example:
        >>> rows = [{"epoch": 1, "held-out loss": 3.0, "held-out accuracy": 0.9}]
        >>> rows += [{"epoch": 2, "held-out loss": 2.0, "held-out accuracy": 0.7}]
        >>> rows = [row | {"test accuracy": row["held-out accuracy"] - 0.1} for row in rows]
        >>> [found["epoch"] for found in chosen(rows).values()]
        [2, 1]
    """
    best = {
        "loss": min(history, key=lambda row: row["held-out loss"]),
        "accuracy": max(history, key=lambda row: row["held-out accuracy"]),
    }
    return {by: {k: row[k] for k in ("epoch", "test accuracy")} for by, row in best.items()}


def _loss(system: System, rows: Observations, seed: int) -> float:
    """The objective's loss a row, of one draw, with beta as at the end of annealing."""
    objective: Any = system.objective
    annealing, objective.annealing = objective.annealing, 1.0
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            parts = (rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH))
            total = sum(objective.loss(system.model, system.guide, p) for p in parts)
    finally:
        objective.annealing = annealing
    return float(total) / len(rows)


def _accuracy(system: System, rows: Observations) -> float:
    image, label = (modality.name for modality in system.modalities)
    read = evaluation.predict(system, rows, label, (image,))
    return float((read.cpu() == rows[label].cpu()).double().mean())
