"""Coordinates in which a Laplace distribution is a Normal one."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Transform, constraints

__all__ = ["NormalToLaplace"]

_NEWTON = 8


class NormalToLaplace(Transform):
    """z = loc + scale g(u) is Laplace(loc, scale) where u is Normal(0, 1).

        g(u)  =  - sign(u) log( 2 Phi(-|u|) )

    A posterior whose prior is Laplace has a kink at the prior's location and its tails wherever the
    data say little; in u the prior is smooth, and a Normal approximation of the posterior fits.

    Args:
        loc: Broadcasts with z.
        scale: Broadcasts with z, > 0.

    Example:
        >>> change = NormalToLaplace(torch.zeros(()), torch.ones(()))
        >>> round(change(torch.tensor(1.0)).item(), 4)
        1.1479
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __init__(self, loc: Float[Tensor, "*#B"], scale: Float[Tensor, "*#B"]) -> None:
        super().__init__()
        self.loc, self.scale = loc, scale

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, NormalToLaplace)
            and torch.equal(self.loc, other.loc)
            and torch.equal(self.scale, other.scale)
        )

    def _call(self, x: Tensor) -> Tensor:
        far = -math.log(2.0) - torch.special.log_ndtr(-x.abs())
        return self.loc + self.scale * x.sign() * far

    def _inverse(self, y: Tensor) -> Tensor:
        z = ((y - self.loc) / self.scale).double()
        target = z.abs() + math.log(
            2.0
        )  # of -log Phi(-u), which is convex: Newton's steps converge
        u = (2.0 * target).sqrt()
        for _ in range(_NEWTON):
            log_tail = torch.special.log_ndtr(-u)
            slope = torch.exp(-0.5 * u**2 - 0.5 * math.log(2.0 * math.pi) - log_tail)
            u = (u - (-log_tail - target) / slope).clamp(min=0.0)
        return (z.sign() * u).to(y.dtype)

    def log_abs_det_jacobian(
        self, x: Float[Tensor, "*batch"], y: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """log |dz / du|, elementwise."""
        log_normal = -0.5 * x**2 - 0.5 * math.log(2.0 * math.pi)
        return log_normal - torch.special.log_ndtr(-x.abs()) + self.scale.log()
