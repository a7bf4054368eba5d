"""The papers' training weights for Pyro's own objectives."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from pyro.infer import ELBO
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.objectives.handlers import ScaleSites
from ppl_mm.objectives.objective import check_weights
from ppl_mm.objectives.training_weights import TrainingWeights
from ppl_mm.programs.asked import declared_names
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["Reweighted"]


@typed
class Reweighted(TrainingWeights):
    """Any Pyro ELBO under lambda per modality and beta on the latents.

    The weights are applied by a handler to the model and the guide, inside, so the programs'
    parameters stay visible to optimisers.

    Args:
        elbo: ``Trace_ELBO(...)``, ``TraceMeanField_ELBO(...)``, ...
        weights: Modality -> lambda_m, in place of the weight that the model's modality declares.
        beta: The factor of the latent sites.

    Raises:
        TypeError: For an objective of this library, which has weights and beta of its own.

    Example:
        >>> from pyro.infer import TraceMeanField_ELBO
        >>> objective = Reweighted(TraceMeanField_ELBO(), weights={"label": 50.0}, beta=0.5)
    """

    def __init__(
        self, elbo: ELBO, *, weights: Mapping[str, float] | None = None, beta: float = 1.0
    ) -> None:
        if isinstance(elbo, TrainingWeights):
            raise TypeError(
                f"Reweighted: {type(elbo).__name__} has weights and beta of its own; give them to "
                "it, and wrap Pyro's own ELBOs alone."
            )
        super().__init__(
            weights=weights,
            beta=beta,
            num_particles=elbo.num_particles,
            max_plate_nesting=elbo.max_plate_nesting,
        )
        self.elbo = elbo

    def _scaled(self, model: Model, guide: Guide) -> tuple[Any, Any]:
        check_weights(self.weights, self.beta, declared_names(model) or tuple(self.weights))
        self.declare(model)
        handler = ScaleSites(self.lambdas, self.beta * self.annealing)
        return handler(model), handler(guide)

    def differentiable_loss(
        self, model: Model, guide: Guide, *args: object, **kwargs: object
    ) -> Float[Tensor, ""]:
        """The stock loss under the weights."""
        return self.elbo.differentiable_loss(*self._scaled(model, guide), *args, **kwargs)

    def loss(self, model: Model, guide: Guide, *args: object, **kwargs: object) -> float:
        """The stock loss as a number."""
        with torch.no_grad():
            return self.elbo.loss(*self._scaled(model, guide), *args, **kwargs)

    def loss_and_grads(self, model: Model, guide: Guide, *args: object, **kwargs: object) -> float:
        """The stock loss and gradients."""
        return self.elbo.loss_and_grads(*self._scaled(model, guide), *args, **kwargs)

    def _get_trace(
        self, model: Model, guide: Guide, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return self.elbo._get_trace(*self._scaled(model, guide), args, kwargs)
