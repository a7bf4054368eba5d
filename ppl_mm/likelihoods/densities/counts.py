"""Poisson and negative binomial counts without differences of large numbers.

Stirling's formula with its remainder J, lgamma(x) = (x - 1/2) log x - x + log(2 pi) / 2 + J(x),
turns a log-mass into a deviance D, which is 0 where the mean is the count, and small terms. With
mean m, and total count r of the negative binomial, for k above 0:

    Poisson            log p(k) = -D - c(k),   c(k) = log(2 pi k) / 2 + J(k)
                       D = m - k - k log(m / k)
    negative binomial  log p(k) = -D - c(k) - log(1 + k / r) / 2 + J(r + k) - J(r)
                       D = (r + k) log((r + m) / (r + k)) - k log(m / k)

As r grows, the second becomes the first term by term. Deviances are taken in float64 whatever the
dtype of the parameters: a float32 log rate is a number to all its digits, and ten million counts
multiply what is lost of them. Log-masses hold to 1e-5 nats, or 1e-5 of themselves, for counts to
1e10.

Source: Loader 2000, "Fast and accurate computation of binomial probabilities", for the idea.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.nn.functional import softplus

from ppl_mm.likelihoods.densities.stirling import stirling_remainder

__all__ = ["NegativeBinomial", "Poisson"]

_ZERO = 1e-20  # what the count 0 is for Poisson's deviance, which is continuous there
_LEAST = 1e-300  # of k / r: its logarithm counts k times, none for k = 0
_EXACT = 1e8  # rates to here are drawn as they are: CUDA's own draws are 32-bit integers


class Poisson(TorchDistribution):
    """Counts with rate exp(log_rate), kept as its logarithm.

    Draws are floats. Above a rate of 1e8 they are rounded Normal ones, whose skewness, 1e-4 there,
    no sample shows, and they stop at the dtype's largest number.

    Args:
        log_rate: The logarithm of the rate, of the batch shape.

    Example:
        >>> p = Poisson(torch.tensor(1e7).log())
        >>> p.log_prob(torch.tensor(1e7))
        tensor(-8.9780)
        >>> bool(Poisson(torch.tensor(45.0)).sample() > 3e19)
        True
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"log_rate": constraints.real}
    support: ClassVar[constraints.Constraint] = constraints.nonnegative_integer

    def __init__(self, log_rate: Tensor, validate_args: bool | None = None) -> None:
        self.log_rate = log_rate
        super().__init__(log_rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "Poisson":
        """The same under more batch dimensions."""
        new = self._get_checked_instance(Poisson, _instance)
        new.log_rate = self.log_rate.expand(batch_shape)
        super(Poisson, new).__init__(new.log_rate.shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Tensor:
        """The rate."""
        return self.log_rate.exp()

    @property
    def variance(self) -> Tensor:
        """The rate."""
        return self.log_rate.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass in nats."""
        if self._validate_args:
            self._validate_sample(value)
        dtype = torch.result_type(value, self.log_rate)
        k = value.double().clamp(min=_ZERO)
        log_ratio = self.log_rate.double() - k.log()
        deviance = k * (torch.expm1(log_ratio) - log_ratio)
        return -_own(value.to(dtype)) - deviance.to(dtype)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """Draws, sample shape then batch shape."""
        with torch.no_grad():
            log_rate = self.log_rate.expand(self._extended_shape(sample_shape))
            return _draws(log_rate.double(), log_rate.dtype)


class NegativeBinomial(TorchDistribution):
    """Counts with mean total_count exp(logits): Poisson ones whose rate is a Gamma variable.

    Draws are as those of :class:`Poisson`; the Gamma's are taken as logarithms, since of a total
    count of 0.001 most are smaller than any float.

    Args:
        total_count: r, at least 0, of the batch shape; infinite dispersion at 0.
        logits: The logits, of the batch shape.

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
        self, total_count: Tensor, logits: Tensor, validate_args: bool | None = None
    ) -> None:
        shape = torch.broadcast_shapes(total_count.shape, logits.shape)
        self.total_count, self.logits = total_count, logits
        super().__init__(shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "NegativeBinomial":
        """The same under more batch dimensions."""
        new = self._get_checked_instance(NegativeBinomial, _instance)
        new.total_count = self.total_count.expand(batch_shape)
        new.logits = self.logits.expand(batch_shape)
        super(NegativeBinomial, new).__init__(new.logits.shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Tensor:
        """total_count exp(logits)."""
        return self._log_mean().exp().to(self._dtype)

    @property
    def variance(self) -> Tensor:
        """mean (1 + exp(logits))."""
        return (self._log_mean() + _softplus(self.logits.double())).exp().to(self._dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-mass in nats."""
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
        """The log-mass where the mean is the count."""
        r = self.total_count.to(k.dtype).clamp(min=floor)
        some, k1 = k.clamp(max=1.0), k.clamp(min=1.0)
        remainder = (
            stirling_remainder(r + 1.0) + (r + 0.5) * torch.log1p(r.reciprocal()) - 1.0
        )  # J(r)
        spread = stirling_remainder(r + k1) - remainder - 0.5 * torch.log1p(k1 / r)
        impossible = (self.total_count == 0) & (k > 0)
        return (some * spread - _own(k)).masked_fill(impossible, -torch.inf)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """Draws, sample shape then batch shape."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            r = self.total_count.double().expand(shape)
            # a Gamma(r) variable is one of r + 1 times U^(1 / r), with U uniform
            log_gamma = torch.distributions.Gamma(r + 1.0, torch.ones_like(r)).sample().log()
            log_gamma = log_gamma + torch.rand_like(r).log() / r
            return _draws(self.logits.double() + log_gamma, self._dtype)

    def _log_mean(self) -> Tensor:
        return self.logits.double() + self.total_count.double().log()

    @property
    def _dtype(self) -> torch.dtype:
        return torch.result_type(self.total_count, self.logits)


def _own(k: Tensor) -> Tensor:
    """-log p(k) of the Poisson distribution with rate k: log(2 pi k) / 2 + J(k), 0 for k = 0."""
    some, k = k.clamp(max=1.0), k.clamp(min=1.0)
    return some * (0.5 * torch.log(2.0 * math.pi * k) + stirling_remainder(k))


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) of float64; torch's default gives it up above 20, 2e-9 too low."""
    return softplus(x, threshold=40.0)


def _draws(log_rate: Tensor, dtype: torch.dtype) -> Tensor:
    """Poisson draws of a float64 log rate, as numbers of that dtype."""
    largest = torch.finfo(dtype).max
    rate = log_rate.exp().clamp(max=largest)
    exact = rate <= _EXACT
    few = torch.poisson(torch.where(exact, rate, 0.0))
    many = torch.round(rate + rate.sqrt() * torch.randn_like(rate))
    return torch.where(exact, few, many).clamp(max=largest).to(dtype)
