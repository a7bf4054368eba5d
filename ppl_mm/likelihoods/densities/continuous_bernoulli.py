"""The continuous Bernoulli distribution, exact at every logit."""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Shaped
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

__all__ = ["ContinuousBernoulli"]

_NEAR = 0.5  # below this |l|, series are used; above it, 1 / l - 1 / (e^l - 1) is exact

# log(sinh(l / 2) / (l / 2)) = sum over n of B_2n l^2n / (2n (2n)!), with Bernoulli's numbers B_2n
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)
_SERIES = tuple(b / (2 * n * math.factorial(2 * n)) for n, b in enumerate(_BERNOULLI, 1))
_SLOPE = tuple(2 * n * c for n, c in enumerate(_SERIES, 1))
_CURVATURE = tuple((2 * n - 1) * c for n, c in enumerate(_SLOPE, 1))

_GAUSS_LEGENDRE = tuple(
    ((1 + node) / 2, weight / 2)
    for node, weight in zip(*(x.tolist() for x in np.polynomial.legendre.leggauss(5)), strict=True)
)


class ContinuousBernoulli(TorchDistribution):
    """The distribution on [0, 1] whose density is proportional to exp(x l), for logits l.

        log p(x) = -a d + log(a / (1 - exp(-a)))
        log p(x) = (x - 1/2) l - log(sinh(l / 2) / (l / 2))

    Here a = |l|, and d is the distance of x from the likelier end. The two forms are equal; the
    second, as a series, is used for l near 0. Neither form subtracts large numbers, in values or in
    gradients. Torch's own class computes with p = sigmoid(l), which it clamps: in float32 its
    density at l = 50 integrates to 0.3.

    Args:
        logits: The logits l, any finite numbers; they have the batch shape.

    Source: Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845.

    Example:
        >>> p = ContinuousBernoulli(torch.tensor([0.0, 50.0]))
        >>> p.mean
        tensor([0.5000, 0.9800])
        >>> p.log_prob(torch.ones(2))
        tensor([0.0000, 3.9120])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"logits": constraints.real}
    support: ClassVar[constraints.Constraint] = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Float[Tensor, "*batch"], validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "ContinuousBernoulli":
        """Return the same distribution, expanded to a larger batch shape."""
        new = self._get_checked_instance(ContinuousBernoulli, _instance)
        new.logits = self.logits.expand(batch_shape)
        super(ContinuousBernoulli, new).__init__(new.logits.shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Shaped[Tensor, "*#batch"]) -> Float[Tensor, "*batch"]:
        """Return the log-density of ``value``, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        value = value.to(torch.result_type(value, self.logits))
        near, small, large = self._split()
        distance = torch.where(self.logits > 0, 1.0 - value, value)
        return torch.where(
            near,
            (value - 0.5) * small - _even(_SERIES, small),
            torch.log(large / -torch.expm1(-large)) - large * distance,
        )

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """The mean 1 / (1 - exp(-l)) - 1 / l, which is 1/2 at l = 0."""
        near, small, large = self._split()
        far = torch.where(self.logits > 0, 1.0 - _distance(large), _distance(large))
        return torch.where(near, 0.5 + _odd(_SLOPE, small), far)

    @property
    def variance(self) -> Float[Tensor, "*batch"]:
        """The variance 1 / l^2 - exp(-l) / (1 - exp(-l))^2, which is 1/12 at l = 0."""
        near, small, large = self._split()
        rest = torch.exp(-large) / torch.expm1(-large).square()
        far = large.reciprocal().square() - rest
        curvature = _CURVATURE[0] + small * _odd(_CURVATURE[1:], small)
        return torch.where(near, curvature, far)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Return the entropy -E[log p(x)], in nats; it is 0 at l = 0."""
        near, small, large = self._split()
        far = large * _distance(large) - torch.log(large / -torch.expm1(-large))
        return torch.where(near, _even(_SERIES, small) - small * _odd(_SLOPE, small), far)

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Float[Tensor, "*sample_batch"]:
        """Return reparameterised draws, of the sample shape followed by the batch shape."""
        shape = self._extended_shape(sample_shape)
        return self.icdf(torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device))

    def cdf(self, value: Float[Tensor, "*#batch"]) -> Float[Tensor, "*batch"]:
        """Return the distribution function (exp(x l) - 1) / (exp(l) - 1)."""
        near, small, large = self._split()
        far = torch.expm1(-large * value) / torch.expm1(-large)
        far = torch.where(self.logits > 0, torch.exp(-large * (1.0 - value)), 1.0) * far
        # log((exp(x l) - 1) / (x l)) equals x l / 2 plus the even series
        shift = 0.5 * (value - 1.0) * small + _even(_SERIES, value * small) - _even(_SERIES, small)
        return torch.where(near, value * torch.exp(shift), far)

    def icdf(self, value: Float[Tensor, "*#batch"]) -> Float[Tensor, "*batch"]:
        """Return the quantile log(1 + u (exp(l) - 1)) / l of u in [0, 1].

        Near l = 0 it is computed by quadrature, so that its gradient is accurate there too:

            log(1 + u (exp(l) - 1)) / l = integral over s in [0, 1] of sigmoid(s l + logit(u))
        """
        near, small, large = self._split()
        logit = torch.logit(value)
        inner = sum(w * torch.sigmoid(s * small + logit) for s, w in _GAUSS_LEGENDRE)
        upper = self.logits > 0
        from_end = torch.where(upper, 1.0 - value, value)
        distance = (-torch.log1p(from_end * torch.expm1(-large)) / large).clamp(0.0, 1.0)
        return torch.where(near, inner, torch.where(upper, 1.0 - distance, distance))

    def _split(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return (near, small, large), which separate the logits near 0 from the others.

        ``near`` says which logits are near 0, ``small`` holds them with 0 elsewhere, and ``large``
        holds the absolute values of the others with 1 elsewhere. Both branches of a ``torch.where``
        are then finite, and so are their gradients.
        """
        size = self.logits.abs()
        near = size < _NEAR
        return near, torch.where(near, self.logits, 0.0), torch.where(near, 1.0, size)


def _distance(size: Tensor) -> Tensor:
    """Return the mean distance from the likelier end, 1 / a - 1 / (exp(a) - 1)."""
    return size.reciprocal() + torch.exp(-size) / torch.expm1(-size)


def _even(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Return the even polynomial c_1 x^2 + c_2 x^4 + ..."""
    return x * _odd(coefficients, x)


def _odd(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Return the odd polynomial c_1 x + c_2 x^3 + ..."""
    square = x * x
    total = coefficients[-1] * square + coefficients[-2]
    for c in coefficients[-3::-1]:
        total = total * square + c
    return total * x
