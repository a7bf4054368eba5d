"""A Bernoulli whose moments stay exact at large logits, and a variant for grey targets."""

from typing import ClassVar

import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.distributions import constraints
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["Bernoulli", "SoftBernoulli"]


class Bernoulli(dist.Bernoulli):
    """The Bernoulli distribution, p(1) = sigmoid(l), with moments that stay exact at large logits.

    In float32, 1 - sigmoid(l) is 0 for l above 17. The moments use sigmoid(-l), which is not 0.

    Example:
        >>> Bernoulli(logits=torch.tensor(20.0)).variance
        tensor(2.0612e-09)
    """

    @property
    def variance(self) -> Float[Tensor, "*batch"]:
        """The variance, sigmoid(l) sigmoid(-l)."""
        return torch.sigmoid(self.logits) * torch.sigmoid(-self.logits)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Return the entropy -p log p - (1 - p) log (1 - p), in nats."""
        yes, no = torch.sigmoid(self.logits), torch.sigmoid(-self.logits)
        return -(yes * logsigmoid(self.logits) + no * logsigmoid(-self.logits))


class SoftBernoulli(Bernoulli):
    """A Bernoulli that scores any x in [0, 1] as x l - softplus(l); its draws are 0 or 1."""

    support: ClassVar[constraints.Constraint] = constraints.unit_interval
