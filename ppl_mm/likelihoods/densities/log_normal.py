"""Log-normal whose gradient is finite at 0, which is what a missing value is stored as."""

from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor

from ppl_mm.likelihoods.densities.normal import Normal

__all__ = ["LogNormal"]


class LogNormal(dist.LogNormal):
    """log p(x) = log Normal(log x | loc, scale) - log x, of x > 0.

    At 0, where the density is 0, it is the log-density of the least number of the dtype.

    Example:
        >>> LogNormal(0.0, torch.tensor(1.0)).log_prob(torch.tensor(1.0))
        tensor(-0.9189)
    """

    support: Any = constraints.nonnegative

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats."""
        if self._validate_args:
            self._validate_sample(value)
        log = value.clamp(min=torch.finfo(value.dtype).tiny).log()
        return Normal(self.loc, self.scale, validate_args=False).log_prob(log) - log
