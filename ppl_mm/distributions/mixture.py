"""Mixtures of posteriors, sampled by component."""

from typing import Any, ClassVar

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

__all__ = ["StratifiedMixture"]


class StratifiedMixture(TorchDistribution):
    """Index c of batch dim -2 draws from component c; the density is the whole mixture's.

        log q(z) = logsumexp over c of ( log_weight_c + log q_c(z) )

    Gradients stay reparameterised and no component is missed. A component with log weight -inf
    has no part in the density; its draws are for the caller to weight by zero.

    Args:
        components: Batch shape (S, B), a distribution with rsample.
        log_weight: (S, B), log-probabilities of the components.

    It has no registered KL, on purpose: one component's would silently stand for the mixture's.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        components: TorchDistribution,
        log_weight: Tensor,
        batch_shape: torch.Size | None = None,
    ) -> None:
        self.components, self.log_weight = components, log_weight
        batch_shape = components.batch_shape if batch_shape is None else batch_shape
        super().__init__(batch_shape, components.event_shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "StratifiedMixture":
        """The same under more batch dimensions on the left, such as particles."""
        return StratifiedMixture(self.components, self.log_weight, torch.Size(batch_shape))

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """One draw of every component."""
        lead = self.batch_shape[: len(self.batch_shape) - len(self.components.batch_shape)]
        return self.components.rsample(torch.Size(sample_shape) + lead)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of the mixture in nats, batch shape; value (..., S, B, Z)."""
        # A new dim before B: the drawn stratum S stays, the components to sum over stand at -2.
        each = self.components.log_prob(value.unsqueeze(-2 - len(self.event_shape)))
        return torch.logsumexp(each + self.log_weight, -2)
