"""Poisson and negative binomial distributions that subtract no large numbers.

Stirling's formula with its remainder J, lgamma(x) = (x - 1/2) log x - x + log(2 pi) / 2 + J(x),
turns a log-mass into small terms and a deviance D, which is 0 where the mean equals the count. Let
m be the mean and r the total count of the negative binomial. For k above 0,

    Poisson            log p(k) = -D - c(k),   c(k) = log(2 pi k) / 2 + J(k)
                       D = m - k - k log(m / k)
    negative binomial  log p(k) = -D - c(k) - log(1 + k / r) / 2 + J(r + k) - J(r)
                       D = (r + k) log((r + m) / (r + k)) - k log(m / k)

As r grows, the second becomes the first term by term. Deviances are computed in float64 whatever
the dtype of the parameters, because a count of ten million multiplies every rounding error of the
log rate. Log-masses have an error of at most 1e-5 nats, or a relative error of at most 1e-5, for
counts up to 1e10.

The idea comes from Loader 2000, "Fast and accurate computation of binomial probabilities".
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn.functional import softplus

from ppl_mm.likelihoods.densities.stirling import stirling_remainder

__all__ = ["NegativeBinomial", "Poisson"]

_ZERO = 1e-20  # stands for the count 0 in Poisson's deviance, which is continuous there
_LEAST = 1e-300  # the least k / r: k multiplies its logarithm, so the value is irrelevant at k = 0
_EXACT = 1e8  # the largest rate drawn exactly: CUDA draws 32-bit integers


class Poisson(TorchDistribution):
    """The Poisson distribution with rate exp(log_rate).

    Draws are floats. For rates above 1e8 they are rounded draws of a Normal distribution; the
    Poisson distribution's skewness is below 1e-4 there. Draws are clamped to the dtype's largest
    number.

    Args:
        log_rate: The logarithm of the rate; it has the batch shape.

    Example:
        >>> p = Poisson(torch.tensor(1e7).log())
        >>> p.log_prob(torch.tensor(1e7))
        tensor(-8.9780)
        >>> bool(Poisson(torch.tensor(45.0)).sample() > 3e19)
        True
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"log_rate": constraints.real}
    support: ClassVar[constraints.Constraint] = constraints.nonnegative_integer

    def __init__(
        self, log_rate: Float[Tensor, "*batch"], validate_args: bool | None = None
    ) -> None:
        self.log_rate = log_rate
        super().__init__(log_rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "Poisson":
        """Return the same distribution, expanded to a larger batch shape."""
        new = self._get_checked_instance(Poisson, _instance)
        new.log_rate = self.log_rate.expand(batch_shape)
        super(Poisson, new).__init__(new.log_rate.shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """The mean, which is the rate."""
        return self.log_rate.exp()

    @property
    def variance(self) -> Float[Tensor, "*batch"]:
        """The variance, which is the rate."""
        return self.log_rate.exp()

    def log_prob(self, value: Shaped[Tensor, "*#batch"]) -> Float[Tensor, "*batch"]:
        """Return the log-mass of ``value``, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        dtype = torch.result_type(value, self.log_rate)
        k = value.double().clamp(min=_ZERO)
        log_ratio = self.log_rate.double() - k.log()
        deviance = k * (torch.expm1(log_ratio) - log_ratio)
        return -_own(value.to(dtype)) - deviance.to(dtype)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Float[Tensor, "*sample_batch"]:
        """Return draws whose shape is the sample shape followed by the batch shape."""
        with torch.no_grad():
            log_rate = self.log_rate.expand(self._extended_shape(sample_shape))
            return _draws(log_rate.double(), log_rate.dtype)


class NegativeBinomial(TorchDistribution):
    """The negative binomial distribution with mean total_count exp(logits).

    A count is a Poisson variable whose rate is a Gamma variable, and is drawn so; see
    :class:`Poisson` for the form of the draws. The Gamma variable is drawn as its logarithm: at a
    total count of 0.001, most of its values are smaller than any float.

    Args:
        total_count: The total count r, at least 0; it has the batch shape. The dispersion is
            infinite at 0.
        logits: The logits; they have the batch shape.

    Example:
        >>> x, mean, total_count = torch.tensor([4.0, 3.0, 1e7])
        >>> NegativeBinomial(total_count, torch.log(mean / total_count)).log_prob(x)
        tensor(-1.7836)
        >>> Poisson(mean.log()).log_prob(x)
        tensor(-1.7836)
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "total_count": constraints.nonnegative,
        "logits": constraints.real,
    }
    support: ClassVar[constraints.Constraint] = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Float[Tensor, "*#batch"],
        logits: Float[Tensor, "*#batch"],
        validate_args: bool | None = None,
    ) -> None:
        shape = torch.broadcast_shapes(total_count.shape, logits.shape)
        self.total_count, self.logits = total_count, logits
        super().__init__(shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "NegativeBinomial":
        """Return the same distribution, expanded to a larger batch shape."""
        new = self._get_checked_instance(NegativeBinomial, _instance)
        new.total_count = self.total_count.expand(batch_shape)
        new.logits = self.logits.expand(batch_shape)
        super(NegativeBinomial, new).__init__(new.logits.shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """The mean, total_count exp(logits)."""
        return self._log_mean().exp().to(self._dtype)

    @property
    def variance(self) -> Float[Tensor, "*batch"]:
        """The variance, mean (1 + exp(logits))."""
        return (self._log_mean() + _softplus(self.logits.double())).exp().to(self._dtype)

    def log_prob(self, value: Shaped[Tensor, "*#batch"]) -> Float[Tensor, "*batch"]:
        """Return the log-mass of ``value``, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        dtype = torch.promote_types(torch.result_type(value, self.logits), self._dtype)
        floor = torch.finfo(dtype).tiny
        k, r, logits = value.double(), self.total_count.double(), self.logits.double()
        ratio = k / r.clamp(min=floor)
        log_wait = _softplus(logits) - torch.log1p(ratio)  # log of (r + mean) / (r + k)
        deviance = (r + k) * log_wait - k * (logits - ratio.clamp(min=_LEAST).log())
        return self._rest(value.to(dtype), floor) - deviance.to(dtype)

    def _rest(self, k: Tensor, floor: float) -> Tensor:
        """Return the log-mass without the deviance, as if the mean were the count."""
        r = self.total_count.to(k.dtype).clamp(min=floor)
        some, k1 = k.clamp(max=1.0), k.clamp(min=1.0)
        remainder = (
            stirling_remainder(r + 1.0) + (r + 0.5) * torch.log1p(r.reciprocal()) - 1.0
        )  # J(r)
        spread = stirling_remainder(r + k1) - remainder - 0.5 * torch.log1p(k1 / r)
        impossible = (self.total_count == 0) & (k > 0)
        return (some * spread - _own(k)).masked_fill(impossible, -torch.inf)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Float[Tensor, "*sample_batch"]:
        """Return draws whose shape is the sample shape followed by the batch shape."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            r = self.total_count.double().expand(shape)
            # a Gamma(r) variable is a Gamma(r + 1) variable times U^(1 / r), with U uniform
            log_gamma = torch.distributions.Gamma(r + 1.0, torch.ones_like(r)).sample().log()
            log_gamma = log_gamma + torch.rand_like(r).log() / r
            return _draws(self.logits.double() + log_gamma, self._dtype)

    def _log_mean(self) -> Tensor:
        return self.logits.double() + self.total_count.double().log()

    @property
    def _dtype(self) -> torch.dtype:
        return torch.result_type(self.total_count, self.logits)


def _own(k: Tensor) -> Tensor:
    """Return c(k), minus the log-mass of k under the Poisson distribution with rate k.

    It is log(2 pi k) / 2 + J(k), and 0 for k = 0.
    """
    some, k = k.clamp(max=1.0), k.clamp(min=1.0)
    return some * (0.5 * torch.log(2.0 * math.pi * k) + stirling_remainder(k))


def _softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)) in float64.

    Above a threshold torch returns x; with its default threshold, 20, the error is 2e-9.
    """
    return softplus(x, threshold=40.0)


def _draws(log_rate: Tensor, dtype: torch.dtype) -> Tensor:
    """Return Poisson draws for a float64 log rate, converted to ``dtype``."""
    largest = torch.finfo(dtype).max
    rate = log_rate.exp().clamp(max=largest)
    exact = rate <= _EXACT
    few = torch.poisson(torch.where(exact, rate, 0.0))
    many = torch.round(rate + rate.sqrt() * torch.randn_like(rate))
    return torch.where(exact, few, many).clamp(max=largest).to(dtype)
