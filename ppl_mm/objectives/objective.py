"""The base of all objectives, which are Pyro ELBOs with a bound for every row."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives.handlers import ScaleSites
from ppl_mm.objectives.training_weights import TrainingWeights
from ppl_mm.objectives.weights import trace_pair
from ppl_mm.programs.asked import names_of
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["Objective", "check_weights", "value_with_gradient"]


@typed
class Objective(TrainingWeights):
    """Base of our objectives; its loss is minus the sum of ``bound`` over rows, in nats.

    It works with stock inference, ``SVI(model, guide, optim, loss=objective)``, and as a module
    under a torch optimiser, ``objective(model, guide)(obs).backward()``.

    Args:
        num_particles: The number K of draws per row.
        weights: Modality -> lambda_m, the factor of its log-likelihood, in place of the weight
            that the model's modality declares (:class:`ppl_mm.Modality`; 1 in a model without
            declarations). Those not named keep it. A latent site may be named too: a factor
            besides beta.
        beta: The factor of every latent site's log-probability, or of its KL.

    With weights or beta other than 1 the value is no bound on log p(x) in general: it is what
    training uses, never what results report.

    Attributes:
        annealing: A further factor of beta that :func:`ppl_mm.fit` sets step by step.
    """

    def __init__(
        self,
        *,
        num_particles: int = 1,
        weights: Mapping[str, float] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(
            weights=weights,
            beta=beta,
            num_particles=num_particles,
            max_plate_nesting=2,
            vectorize_particles=True,
        )

    def bound(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """The bound of every row, (B,), in nats."""
        raise TypeError(f"{type(self).__name__} must define bound(model, guide, obs).")

    def by_term(
        self, model: Model, guide: Guide, obs: Observations
    ) -> dict[str, Float[Tensor, " B"]]:
        """Name of a term -> its part of the bound of every row, (B,); they add up to the bound.

        By default the bound is one term.
        """
        return {"bound": self.bound(model, guide, obs)}

    def scaling(self, model: Model, obs: Observations) -> ScaleSites:
        """The handler that applies weights and beta, for the model and the guide alike."""
        if not isinstance(obs, Observations):
            raise TypeError(f"expected Observations, got {type(obs).__name__}.")
        if obs.plate is not None:
            raise ValueError(
                f"{type(self).__name__}: expected observations without a plate, got one of "
                f"{obs.plate}; an objective opens its own."
            )
        names = names_of(model, obs)
        latents = ("z", "u", *(f"w_{name}" for name in names))
        check_weights(self.weights, self.beta, names, latents)
        self.declare(model)
        return ScaleSites(self.lambdas, self.beta * self.annealing)

    def differentiable_loss(
        self, model: Model, guide: Guide, obs: Observations
    ) -> Float[Tensor, ""]:
        """Minus the bound, summed over rows."""
        return -self.bound(model, guide, obs).sum()

    def loss(self, model: Model, guide: Guide, obs: Observations) -> float:
        """The loss as a number, without gradients."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, obs).item()

    def loss_and_grads(self, model: Model, guide: Guide, obs: Observations) -> float:
        """The loss as a number; gradients are added to the parameters."""
        loss = self.differentiable_loss(model, guide, obs)
        if loss.requires_grad:
            loss.backward(retain_graph=self.retain_graph)
        return loss.item()

    def _get_trace(
        self, model: Model, guide: Guide, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return trace_pair(model, guide, *args, **kwargs)


def value_with_gradient(
    value: Float[Tensor, "*batch"], surrogate: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """``value`` with the gradient of ``surrogate``."""
    return value.detach() + (surrogate - surrogate.detach())


def check_weights(
    weights: Mapping[str, float],
    beta: float,
    names: tuple[str, ...],
    latents: tuple[str, ...] = (),
) -> None:
    """Raise for weights of unknown modalities (or latent sites) or below zero."""
    for name, weight in weights.items():
        if name not in names and name not in latents:
            raise ValueError(unknown_name("modality in weights", name, names))
        if not 0 <= weight < float("inf"):
            raise ValueError(f"modality {name!r}: expected a weight of at least 0, got {weight}.")
    if not 0 <= beta < float("inf"):
        raise ValueError(f"expected beta of at least 0, got {beta}.")
