"""The zero-inflated negative binomial distribution, for counts with extra zeros."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn import functional as F

from ppl_mm.likelihoods.densities.counts import NegativeBinomial

__all__ = ["ZeroInflatedNegativeBinomial"]


class ZeroInflatedNegativeBinomial(TorchDistribution):
    """The distribution of a count that is 0 with probability g, and negative binomial otherwise.

        p(k) = g [k = 0] + (1 - g) NB(k),    g = sigmoid(gate_logits)

    Args:
        total_count: The total count r of the negative binomial, at least 0.
        logits: The logits l of the negative binomial, whose mean is r exp(l).
        gate_logits: The logits of g, the probability of an extra zero.

    Example:
        >>> r, l = torch.tensor(2.0), torch.tensor(0.5)
        >>> p = ZeroInflatedNegativeBinomial(r, l, torch.tensor(0.0))
        >>> p.mean == NegativeBinomial(r, l).mean / 2
        tensor(True)
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "total_count": constraints.nonnegative,
        "logits": constraints.real,
        "gate_logits": constraints.real,
    }
    support: ClassVar[constraints.Constraint] = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Float[Tensor, "*#batch"],
        logits: Float[Tensor, "*#batch"],
        gate_logits: Float[Tensor, "*#batch"],
        validate_args: bool | None = None,
    ) -> None:
        self.counts = NegativeBinomial(total_count, logits, validate_args=validate_args)
        shape = torch.broadcast_shapes(self.counts.batch_shape, gate_logits.shape)
        self.counts = self.counts.expand(shape)
        self.total_count, self.logits = self.counts.total_count, self.counts.logits
        self.gate_logits = gate_logits.expand(shape)
        super().__init__(shape, validate_args=validate_args)

    def expand(
        self, batch_shape: Sequence[int], _instance: object = None
    ) -> "ZeroInflatedNegativeBinomial":
        """Return the same distribution, expanded to a larger batch shape."""
        new = self._get_checked_instance(ZeroInflatedNegativeBinomial, _instance)
        new.counts = self.counts.expand(batch_shape)
        new.total_count, new.logits = new.counts.total_count, new.counts.logits
        new.gate_logits = self.gate_logits.expand(batch_shape)
        super(ZeroInflatedNegativeBinomial, new).__init__(
            new.counts.batch_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """The mean (1 - g) r exp(l)."""
        return self.counts.mean * torch.sigmoid(-self.gate_logits)

    @property
    def variance(self) -> Float[Tensor, "*batch"]:
        """The variance (1 - g) (v + g m^2), where m and v are the negative binomial's."""
        rest = torch.sigmoid(-self.gate_logits)
        gate = torch.sigmoid(self.gate_logits)
        return rest * (self.counts.variance + gate * self.counts.mean.square())

    def log_prob(self, value: Shaped[Tensor, "*#batch"]) -> Float[Tensor, "*batch"]:
        """Return the log-mass of ``value``, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        counted = self.counts.log_prob(value)
        gate = self.gate_logits.to(counted.dtype)
        counted = counted + F.logsigmoid(-gate)
        return torch.where(value == 0, torch.logaddexp(F.logsigmoid(gate), counted), counted)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Float[Tensor, "*sample_batch"]:
        """Return draws whose shape is the sample shape followed by the batch shape."""
        with torch.no_grad():
            counts = self.counts.sample(sample_shape)
            extra = torch.rand_like(counts) < torch.sigmoid(self.gate_logits)
            return counts.masked_fill(extra, 0.0)
