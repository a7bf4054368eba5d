"""Data-parallel training: the joint batch's noise, and a gradient in every process."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Categorical

from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import (
    EncodedMixture,
)
from ppl_mm.distributions.site_noise import SiteNoise

__all__ = [
    "AlwaysDifferentiable",
    "JointNoise",
    "noise_states",
    "own_noise",
    "own_rows",
    "set_noise",
]


class AlwaysDifferentiable(nn.Module):
    """A loss module whose output always has a gradient, which is zero if the rows hold nothing.

    Every process must take part in every reduction of gradients, and of counts and pools. The zero
    is the gradient of an extra parameter that no optimiser has, because a parameter of the system
    with a zero gradient would move by its momentum.

    Args:
        loss: The module from rows to their loss.
        shares: Whether rows share latents, whose KL always has a gradient.
    """

    def __init__(self, loss: nn.Module, shares: bool) -> None:
        super().__init__()
        self.loss, self.shares = loss, shares
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, obs: Observations) -> Float[Tensor, ""]:
        """Return the loss, which depends on at least one parameter."""
        with torch.set_grad_enabled(self.shares or bool(obs.any_data.any())):
            value: Tensor = self.loss(obs)
        return value if value.requires_grad else value + 0.0 * self.nothing


@contextmanager
def own_noise(rank: int) -> Iterator[None]:
    """Inside, each process draws its own random numbers; afterwards all share one state again."""
    common = int(torch.randint(2**31, ()))
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(common + rank)
        yield


class JointNoise(SiteNoise):
    """Draw the noise of the joint batch in every process and keep this one's rows.

    All processes have the same random state, so together they use the same numbers as one process
    with the joint batch, and a site outside the plate of rows has one value in all of them.
    Diagonal Normals and Laplaces, and mixtures of them, are drawn in this way. Each process draws a
    site of another kind from its own stream.

    Args:
        share: This process's rows in the joint batch.
        total: The number of rows of the joint batch.
        rank: The number of this process.
    """

    def __init__(self, share: range, total: int, rank: int) -> None:
        super().__init__()
        self.share, self.total, self.rank = share, total, rank

    def standard(
        self,
        family: type[TorchDistribution],
        shape: torch.Size,
        event: torch.Size,
        like: Float[Tensor, "..."],
    ) -> Float[Tensor, "*batch_D"]:
        """Draw the joint batch's noise and return this process's rows."""
        wide = (*self._joint(shape), *event)
        # The standard distribution draws the same numbers as in one process.
        noise = family(like.new_zeros(wide), like.new_ones(wide)).sample()
        return self._own(noise, len(shape) - 1)

    def uniform(self, shape: torch.Size, like: Float[Tensor, "..."]) -> Float[Tensor, "*batch"]:
        """Draw the joint batch's uniform numbers and return this process's rows."""
        joint = torch.rand(self._joint(shape), device=like.device)
        return self._own(joint, len(shape) - 1)

    def other(self, fn: TorchDistribution) -> Shaped[Tensor, "*batch_D"]:
        """Draw from this process's own stream; an encoded mixture is drawn jointly."""
        if isinstance(fn, EncodedMixture):
            shape = fn.batch_shape
            return self._own(fn.expand(self._joint(shape)).rsample(), len(shape) - 1)
        with own_noise(self.rank):
            drawn: Tensor = fn.rsample() if fn.has_rsample else fn.sample()
        return drawn

    def component(self, log_weight: Float[Tensor, "*batch C"]) -> Int[Tensor, "*batch"]:
        """Draw a component for every row, from log-probabilities (..., B, C)."""
        lead = log_weight.shape[:-2]
        wide = log_weight.new_zeros(*lead, self.total, log_weight.shape[-1])
        wide[..., self.share.start : self.share.stop, :] = log_weight
        return self._own(Categorical(logits=wide).sample(), len(lead))

    def _joint(self, shape: torch.Size) -> torch.Size:
        return torch.Size((*shape[:-1], self.total))

    def _own(self, joint: Tensor, dim: int) -> Tensor:
        return joint.narrow(dim, self.share.start, len(self.share))


def own_rows(size: int, rank: int, world: int) -> range:
    """Return a process's rows of a joint batch; if it has none, one row that does not count."""
    each, more = divmod(size, world)
    first = rank * each + min(rank, more)
    return range(first, first + each + (rank < more)) if rank < size else range(1)


def noise_states(device: torch.device) -> dict[str, UInt8[Tensor, " _"]]:
    """Return the states of the generators that a step may draw from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_noise(states: dict[str, UInt8[Tensor, " _"]]) -> None:
    """Set the states of the generators of this machine's devices."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
