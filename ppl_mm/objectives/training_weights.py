"""The factors of log-probabilities in training: lambda per modality, beta on the latents."""

from collections.abc import Mapping
from typing import Any

from pyro.infer import ELBO

from ppl_mm.programs.asked import declared
from ppl_mm.programs.contracts import Model

__all__ = ["TrainingWeights", "annealing_of"]


class TrainingWeights(ELBO):
    """The weights of our own objectives and of :class:`~ppl_mm.objectives.Reweighted`.

    Args:
        weights: Site -> factor, in place of what the model declares.
        beta: The factor of the latent sites.
        **options: The options of ``pyro.infer.ELBO``.

    Attributes:
        annealing: A further factor of beta, which :func:`ppl_mm.fit` sets step by step.
    """

    def __init__(self, *, weights: Mapping[str, float] | None, beta: float, **options: Any) -> None:
        super().__init__(**options)
        self.weights, self.beta, self.annealing = dict(weights or {}), beta, 1.0
        self._declared: dict[str, float] = {}

    def declare(self, model: Model) -> None:
        """Take the weights that a model's modalities declare; runs and a ``System`` call this."""
        self._declared = {m.name: m.weight for m in declared(model)}

    @property
    def lambdas(self) -> dict[str, float]:
        """Site -> factor: the weights given, and for the other modalities those declared."""
        return {**self._declared, **self.weights}

    @property
    def is_bound(self) -> bool:
        """Whether the value is a lower bound on a log p, and no surrogate.

        The answer depends on the model of the :class:`ppl_mm.systems.System`, or of the last run.
        """
        return self.beta * self.annealing == 1.0 and set(self.lambdas.values()) <= {1.0}


def annealing_of(objective: ELBO) -> float:
    """The factor of beta of an objective; 1 for those of Pyro's, which have none."""
    return objective.annealing if isinstance(objective, TrainingWeights) else 1.0
