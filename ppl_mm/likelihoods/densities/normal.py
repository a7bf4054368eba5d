"""A Normal distribution that does not square its scale."""

import math

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Normal"]


class Normal(dist.Normal):
    """The Normal distribution, whose log-density divides by the scale before it squares.

        log p(x) = -((x - loc) / scale)^2 / 2 - log scale - log(2 pi) / 2

    In float32, scale^2 is 0 for scales below 1e-23, and (x - loc)^2 is infinite for distances
    above 1e19.

    Example:
        >>> Normal(0.0, torch.tensor(1e-25)).log_prob(torch.tensor(1e-25))
        tensor(56.1457)
    """

    def log_prob(self, value: Float[Tensor, "*#batch"]) -> Float[Tensor, "*batch"]:
        """Return the log-density of ``value``, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        deviation = (value - self.loc) / self.scale
        return -0.5 * deviation.square() - torch.log(self.scale) - 0.5 * math.log(2 * math.pi)
