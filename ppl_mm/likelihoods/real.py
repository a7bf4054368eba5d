"""Likelihoods of real and of positive values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyro.distributions as dist
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.rows import at_least_float32
from ppl_mm.likelihoods import densities
from ppl_mm.likelihoods.likelihood import (
    Likelihood,
    Parameters,
    check_floating_point,
    pair,
    require,
)

__all__ = ["Laplace", "LogNormal", "Normal"]


@typed
@dataclass(frozen=True)
class Normal(Likelihood):
    """The likelihood of independent Normal values.

    Args:
        scale: The fixed standard deviation, with which the decoder returns loc alone. With None the
            scale is learned: the decoder returns a pair (loc, scale) with scale > 0.
    """

    elementwise: ClassVar[bool] = True
    scale: float | None = None

    def __post_init__(self) -> None:
        _check_scale(type(self).__name__, self.scale)

    def __call__(
        self, parameters: Parameters, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Return Normal(loc, scale)."""
        parameters = at_least_float32(parameters)
        loc, scale = _loc_scale(type(self).__name__, parameters, self.scale, batch_dims)
        return densities.Normal(loc, scale).to_event(loc.dim() - batch_dims)


@typed
@dataclass(frozen=True)
class Laplace(Likelihood):
    """The likelihood of independent Laplace values, p(x) = exp(-|x - loc| / b) / (2 b).

    Args:
        scale: The fixed scale b, whose default is that of MMVAE and MMVAE+. The standard deviation
            is b sqrt 2. With None the scale is learned: the decoder returns a pair (loc, scale)
            with scale > 0.
    """

    elementwise: ClassVar[bool] = True
    scale: float | None = 0.75

    def __post_init__(self) -> None:
        _check_scale(type(self).__name__, self.scale)

    def __call__(
        self, parameters: Parameters, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Return Laplace(loc, scale)."""
        parameters = at_least_float32(parameters)
        loc, scale = _loc_scale(type(self).__name__, parameters, self.scale, batch_dims)
        return dist.Laplace(loc, scale).to_event(loc.dim() - batch_dims)


@typed
@dataclass(frozen=True)
class LogNormal(Likelihood):
    """The likelihood of independent positive values whose logarithms are Normal.

        log p(x) = sum of log Normal(log x | loc, scale) - log x

    Args:
        scale: The fixed standard deviation of log x. With None it is learned: the decoder returns
            the pair (loc, scale) of log x, with scale > 0.

    Example:
        >>> p = LogNormal(scale=1.0)(torch.zeros(2, 3))
        >>> round(p.log_prob(torch.ones(2, 3))[0].item(), 4)  # 3 log Normal(0 | 0, 1)
        -2.7568
    """

    elementwise: ClassVar[bool] = True
    scale: float | None = None

    def __post_init__(self) -> None:
        _check_scale(type(self).__name__, self.scale)

    def __call__(
        self, parameters: Parameters, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Return LogNormal(loc, scale)."""
        parameters = at_least_float32(parameters)
        loc, scale = _loc_scale(type(self).__name__, parameters, self.scale, batch_dims)
        return densities.LogNormal(loc, scale).to_event(loc.dim() - batch_dims)

    def check(self, name: str, values: Float[Tensor, "B *D"]) -> None:
        """Raise ValueError unless all values are above 0."""
        check_floating_point(name, values)
        fix = "Values from 0 on are counts, or real values of kind 'real'."
        require((values > 0).all(), name, "values above 0", values, fix)


def _check_scale(likelihood: str, scale: float | None) -> None:
    if scale is not None and not 0 < scale < float("inf"):
        raise ValueError(f"{likelihood}: expected a scale above 0 (or None), got {scale}.")


def _loc_scale(
    likelihood: str, parameters: Parameters, fixed: float | None, batch_dims: int
) -> tuple[Tensor, Tensor]:
    if fixed is not None:
        if not isinstance(parameters, Tensor):
            raise ValueError(
                f"{likelihood}(scale={fixed}): the decoder must return loc alone, "
                f"got {type(parameters).__name__}."
            )
        return parameters, parameters.new_full((), fixed)
    kind = f"{likelihood}(scale=None)"
    return pair(kind, parameters, "(loc, scale)", batch_dims, "; or fix the scale")
