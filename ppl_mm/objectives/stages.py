"""One objective after another in the course of training."""

import itertools
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives.objective import Objective
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["Stages"]


@typed
class Stages(Objective):
    """Objectives that follow one another, each for a number of epochs.

    A parameter that a stage's objective does not reach gets no gradient, not even zeros, so
    optimisers leave it exactly as it is, whatever their momentum and weight decay.

    Args:
        objectives: The objectives, one for each stage, in order.
        epochs: The number of epochs of each stage except the last, which goes on to the end.

    Attributes:
        epoch: The number of finished epochs, which says the stage. :func:`ppl_mm.fit` sets it
            (and leaves 0 behind); set it yourself in a loop of your own.

    Raises:
        TypeError: For objectives that are not of this library.
        ValueError: For other than one number of epochs a stage but the last, or one below 1.

    Example:
        >>> from ppl_mm.objectives import ELBOTerms, Term
        >>> joint = ELBOTerms([Term(("a", "b"), ("a", "b"))])
        >>> single = ELBOTerms([Term(("a",), ("a",), fixed_model=True)])
        >>> objective = Stages([joint, single], epochs=[10])
        >>> objective.current is joint
        True
        >>> objective.epoch = 10
        >>> objective.current is single
        True
    """

    def __init__(self, objectives: Sequence[Objective], epochs: Sequence[int]) -> None:
        if len(objectives) != len(epochs) + 1:
            raise ValueError(
                f"Stages: expected epochs for each of {len(objectives)} stages but the last, got "
                f"{list(epochs)}."
            )
        first = objectives[0]
        super().__init__(num_particles=first.num_particles, weights=first.weights, beta=first.beta)
        self.objectives, self.epochs, self.epoch = tuple(objectives), tuple(epochs), 0

    def declare(self, model: Model) -> None:
        """Every stage takes the weights that the model's modalities declare."""
        for objective in self.objectives:
            objective.declare(model)

    @property
    def current(self) -> Objective:
        """The objective of the stage that ``epoch`` falls into."""
        return self.objectives[sum(end <= self.epoch for end in itertools.accumulate(self.epochs))]

    @property
    def is_bound(self) -> bool:
        """Whether the current objective's value is a bound."""
        return self.annealing == 1.0 and self.current.is_bound

    def bound(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """The current objective's bound."""
        self.current.annealing = self.annealing
        return self.current.bound(model, guide, obs)

    def by_term(
        self, model: Model, guide: Guide, obs: Observations
    ) -> dict[str, Float[Tensor, " B"]]:
        """The terms of the current objective."""
        self.current.annealing = self.annealing
        return self.current.by_term(model, guide, obs)

    def differentiable_loss(
        self, model: Model, guide: Guide, obs: Observations
    ) -> Float[Tensor, ""]:
        """The current objective's loss."""
        _forget_zeros(model, guide)
        self.current.annealing = self.annealing
        return self.current.differentiable_loss(model, guide, obs)


def _forget_zeros(*programs: Model | Guide) -> None:
    """Remove gradients of zeros, which stock SVI leaves: with momentum they move parameters."""
    for program in programs:
        for parameter in program.parameters() if isinstance(program, nn.Module) else ():
            if parameter.grad is not None and not bool(parameter.grad.any()):
                parameter.grad = None
