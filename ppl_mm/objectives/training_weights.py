"""The factors of log-probabilities in training: lambda per modality, beta on the latents."""

import inspect
from collections.abc import Mapping
from typing import Any

from pyro.infer import ELBO

from ppl_mm.modality import Modality
from ppl_mm.programs.contracts import Model

__all__ = ["TrainingWeights"]


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
        found = getattr(inspect.unwrap(model), "modalities", ())  # handlers may be around it
        self._declared = {m.name: m.weight for m in found if isinstance(m, Modality)}

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
