"""What data-parallel training needs: the joint batch's noise, and a gradient in every process."""

from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Independent, Laplace, Normal

from ppl_mm.distributions import StratifiedMixture

__all__ = ["AlwaysDifferentiable", "JointNoise"]


class AlwaysDifferentiable(nn.Module):
    """A loss module whose output has a gradient, zero where the rows hold nothing at all.

    Every process must take part in every reduction of gradients. The zero is the gradient of a
    parameter that no optimiser has: one of the system's would move by its momentum.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, *args: Any) -> Tensor:
        """The loss, on the graph of some parameter."""
        value: Tensor = self.loss(*args)
        return value if value.requires_grad else value + 0.0 * self.nothing


class JointNoise(Messenger):
    """Draw the noise of the joint batch in every process and keep this one's rows.

    All processes have the same random state, so together they use the very numbers that one
    process with the joint batch would. A site of another kind than a diagonal Normal is drawn
    from a stream of the process's own.

    Args:
        offset: This process's first row in the joint batch.
        total: Rows of the joint batch.
        rank: This process's number.
    """

    def __init__(self, offset: int, total: int, rank: int) -> None:
        super().__init__()
        self.offset, self.total, self.rank = offset, total, rank

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] or msg["value"] is not None or msg["done"]:
            return
        if type(msg["fn"]).__name__ == "_Subsample":
            return
        msg["value"] = self._draw(msg["fn"])
        msg["done"] = True

    def _draw(self, fn: Any) -> Tensor:
        if isinstance(fn, StratifiedMixture):
            fn = fn.from_drawn.expand(fn.batch_shape)
        base = getattr(fn, "base_dist", None)
        if not (isinstance(fn, Independent) and isinstance(base, Normal | Laplace)):
            common = int(torch.randint(2**31, ()))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(common + self.rank)
                return fn.rsample() if fn.has_rsample else fn.sample()
        data_dim = len(fn.batch_shape) - 1
        shape = list(base.loc.shape)
        rows, shape[data_dim] = shape[data_dim], self.total
        # The standard distribution's own draws, for the same numbers as one process.
        noise = type(base)(base.loc.new_zeros(shape), base.loc.new_ones(shape)).sample()
        return base.loc + base.scale * noise.narrow(data_dim, self.offset, rows)
