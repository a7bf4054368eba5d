"""Latents drawn from noise that is chosen row by row, rather than from one stream for the batch."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int, Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    Uniform,
)

from ppl_mm.batch.plate import of_rows
from ppl_mm.distributions.flowed import Flowed
from ppl_mm.distributions.mixture import RandomMixture, StratifiedMixture
from ppl_mm.distributions.reference import RowwiseReference

__all__ = ["SiteNoise"]


class SiteNoise(Messenger):
    """Draws the latent sites in the plate of rows, with standard noise that a subclass makes.

    Diagonal Normals and Laplaces, Normals with a full covariance, Uniforms, flows of these and
    mixtures are functions of standard noise. A site of another kind is drawn by :meth:`other`.
    """

    def _pyro_sample(self, msg: Message) -> None:
        if msg["is_observed"] or msg["value"] is not None or msg["done"]:
            return
        if of_rows(msg):
            msg["value"] = self._draw(msg["fn"])
            msg["done"] = True

    def _draw(self, fn: TorchDistribution) -> Tensor:
        """Draw as ``fn.rsample()`` does, with its random numbers in the same order."""
        shape = fn.batch_shape
        if isinstance(fn, StratifiedMixture):
            return self._draw(fn.from_drawn.expand(shape))
        if isinstance(fn, RowwiseReference):
            first, second = self._draw(fn.first.expand(shape)), self._draw(fn.second.expand(shape))
            return torch.where(fn.rows.expand(shape)[..., None], first, second)
        if isinstance(fn, RandomMixture):
            index = self.component(fn.log_weight.movedim(0, -1))[None, ..., None]
            draws = torch.stack([self._draw(component) for component in fn.components])
            return draws.take_along_dim(index, 0).squeeze(0)
        if isinstance(fn, Flowed):
            return fn.push(self._draw(fn.base_dist))
        if isinstance(fn, Uniform):
            return fn.icdf(self.uniform(shape, fn.low))
        if isinstance(fn, MultivariateNormal):
            noise = self.standard(Normal, shape, fn.event_shape, fn.loc)
            return fn.loc + (fn._unbroadcasted_scale_tril @ noise[..., None]).squeeze(-1)
        if isinstance(fn, Independent):
            base = fn.base_dist
            if isinstance(base, Normal | Laplace):
                noise = self.standard(type(base), shape, fn.event_shape, base.loc)
                return base.loc + base.scale * noise
        return self.other(fn)

    @abstractmethod
    def standard(
        self,
        family: type[Distribution],
        shape: torch.Size,
        event: torch.Size,
        like: Float[Tensor, "..."],
    ) -> Float[Tensor, "*batch_D"]:
        """Draws of the standard Normal or Laplace, (*shape, *event); the rows are shape[-1]."""

    @abstractmethod
    def uniform(self, shape: torch.Size, like: Float[Tensor, "..."]) -> Float[Tensor, "*batch"]:
        """Draws between 0 and 1, (*shape)."""

    @abstractmethod
    def component(self, log_weight: Float[Tensor, "*batch C"]) -> Int[Tensor, "*batch"]:
        """A component of every row, (..., B), from log-probabilities (..., B, C)."""

    @abstractmethod
    def other(self, fn: TorchDistribution) -> Shaped[Tensor, "*batch_D"]:
        """Draws of any other distribution."""
