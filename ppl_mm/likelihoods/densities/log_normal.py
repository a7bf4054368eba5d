"""The log-normal distribution, with a finite gradient at 0, the placeholder of missing values."""

from typing import ClassVar

import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.distributions import constraints
from torch import Tensor

from ppl_mm.likelihoods.densities.normal import Normal

__all__ = ["LogNormal"]


class LogNormal(dist.LogNormal):
    """The distribution of x > 0 whose logarithm is Normal.

        log p(x) = log Normal(log x | loc, scale) - log x    in nats

    The density is 0 at x = 0. There, ``log_prob`` returns the value at the smallest positive normal
    number of the dtype, so that gradients stay finite.

    Example:
        >>> LogNormal(0.0, torch.tensor(1.0)).log_prob(torch.tensor(1.0))
        tensor(-0.9189)
    """

    support: ClassVar[constraints.Constraint] = constraints.nonnegative

    def log_prob(self, value: Float[Tensor, "*#batch"]) -> Float[Tensor, "*batch"]:
        """Return the log-density of ``value``, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        log = value.clamp(min=torch.finfo(value.dtype).tiny).log()
        return Normal(self.loc, self.scale, validate_args=False).log_prob(log) - log
