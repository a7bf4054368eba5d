"""Bernoulli whose moments keep their digits at large logits, and its form for grey targets."""

from typing import ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["Bernoulli", "SoftBernoulli"]


class Bernoulli(dist.Bernoulli):
    """p(1) = sigmoid(logits). In float32, 1 - sigmoid(l) is 0 for l above 17; sigmoid(-l) is not.

    Example:
        >>> Bernoulli(logits=torch.tensor(20.0)).variance
        tensor(2.0612e-09)
    """

    @property
    def variance(self) -> Tensor:
        """sigmoid(l) sigmoid(-l)."""
        return torch.sigmoid(self.logits) * torch.sigmoid(-self.logits)

    def entropy(self) -> Tensor:
        """-p log p - (1 - p) log (1 - p), in nats."""
        yes, no = torch.sigmoid(self.logits), torch.sigmoid(-self.logits)
        return -(yes * logsigmoid(self.logits) + no * logsigmoid(-self.logits))


class SoftBernoulli(Bernoulli):
    """x l - softplus(l) for x in [0, 1]; draws are 0 or 1."""

    support: ClassVar[constraints.Constraint] = constraints.unit_interval
