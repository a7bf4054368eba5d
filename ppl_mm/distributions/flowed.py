"""A diagonal Normal that invertible maps have moved and bent."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from pyro.distributions import TransformedDistribution
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions.transforms import Transform
from torch.quasirandom import SobolEngine

from ppl_mm.distributions.kl import diagonal_normal

__all__ = ["Flowed"]

_POINTS = 256  # The points of the quadrature that gives the moments.


class Flowed(TransformedDistribution):
    """The distribution of T(e), where e is diagonal Normal and T invertible.

        log q(z) = log N(e; loc, scale) - log |det dT/de|,    e = T^{-1}(z)

    ``mean`` and ``variance`` have no closed form: they are averages over T of 256 Sobol points of
    the Normal, the same ones at every call.

    Args:
        base: A diagonal Normal with event dimension 1.
        transforms: Pyro's transforms of vectors, in the order in which they are applied.

    Example:
        >>> import pyro.distributions as dist
        >>> base = dist.Normal(torch.zeros(2), 1.0).to_event(1)
        >>> shift = dist.transforms.AffineTransform(3.0, torch.tensor([1.0, 2.0]))
        >>> q = Flowed(base, [dist.transforms.IndependentTransform(shift, 1)])
        >>> [round(x, 1) for x in q.mean.tolist()], [round(x) for x in q.stddev.tolist()]
        ([3.0, 3.0], [1, 2])
    """

    def __init__(
        self,
        base: TorchDistribution,
        transforms: Sequence[Transform | nn.Module],
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(base, list(transforms), validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "Flowed":
        """The same under more batch dimensions."""
        return Flowed(self.base_dist.expand(torch.Size(batch_shape)), self.transforms)

    def push(self, e: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch Z"]:
        """T(e), for values (..., Z) of the Normal."""
        for transform in self.transforms:
            e = transform(e)
        return e

    @property
    def mean(self) -> Float[Tensor, "*batch Z"]:
        """The mean, (*batch, Z)."""
        return self._points().mean(0)

    @property
    def variance(self) -> Float[Tensor, "*batch Z"]:
        """The variance, (*batch, Z)."""
        return self._points().var(0, unbiased=False)

    def _points(self) -> Tensor:
        base = diagonal_normal(self.base_dist)
        assert base is not None
        cube = SobolEngine(base.loc.shape[-1], scramble=True, seed=0).draw(_POINTS)
        e = torch.special.ndtri(cube.clamp(1e-6, 1 - 1e-6).to(base.loc))
        e = e.reshape(_POINTS, *[1] * (base.loc.dim() - 1), -1)
        return self.push(base.loc + base.scale * e)
