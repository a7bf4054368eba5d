"""What makes two steps alike, so that one can be repeated for the other."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pyro.infer import ELBO
from torch import Tensor, nn

from ppl_mm.batch.host_masks import on_host
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives import Stages

__all__ = ["Annealing", "State", "Step", "pattern", "stage_of"]

Step = Callable[[Observations, range, int], Tensor]
"""From a batch, this process's share of it and its size to its loss."""

_KINDS = ("present", "scored", "evidence", "source")


class Annealing:
    """An objective's factor of beta as a tensor, so that a repeated step follows its schedule.

    Args:
        objective: Whose attribute ``annealing`` is read; inside a ``with`` block it is the tensor.
        device: Of the tensor.
    """

    def __init__(self, objective: ELBO, device: torch.device) -> None:
        self.objective = objective
        self.tensor = torch.ones((), dtype=torch.float64, device=device)

    def follow(self) -> bool:
        """Give the tensor the present value; whether beta is still another than in the end."""
        value: float = getattr(self.objective, "annealing", 1.0)
        if value != 1.0:
            self.tensor.fill_(value)
        return value != 1.0

    def __enter__(self) -> None:
        self.value = getattr(self.objective, "annealing", 1.0)
        if self.value != 1.0:
            self.objective.annealing = self.tensor

    def __exit__(self, *error: object) -> None:
        if self.value != 1.0:
            self.objective.annealing = self.value


class State:
    """What a step changes besides gradients: buffers, and the random numbers to come."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = [x for x in tensors if not isinstance(x, nn.Parameter)]
        self.values = [x.detach().clone() for x in self.tensors]
        self.devices = sorted({x.device.index for x in tensors if x.is_cuda})
        self.host = torch.get_rng_state()
        self.on_device = [torch.cuda.get_rng_state(i) for i in self.devices]

    def restore(self) -> None:
        """Go back to it."""
        torch.set_rng_state(self.host)
        for i, state in zip(self.devices, self.on_device, strict=True):
            torch.cuda.set_rng_state(state, i)
        with torch.no_grad():
            for x, value in zip(self.tensors, self.values, strict=True):
                x.copy_(value)

    def equals(self, other: "State", exactly: bool) -> bool:
        """Whether both go on with the same numbers, and have the same buffers if ``exactly``."""
        pairs = [(self.host, other.host), *zip(self.on_device, other.on_device, strict=True)]
        if exactly:
            pairs += zip(self.values, other.values, strict=True)
        return all(torch.equal(a, b) for a, b in pairs)


def stage_of(objective: ELBO) -> Any:
    """What tells the stages of an objective apart, and its weights, which callbacks may change."""
    now = objective.current if isinstance(objective, Stages) else objective
    weights = tuple(getattr(now, "weights", {}).items())
    return id(now), getattr(now, "beta", 1.0), weights


def pattern(batch: Observations) -> Any:
    """Shapes and masks of a batch; None if only a device knows the masks, or elements miss."""
    masks = [m for kind in _KINDS for m in getattr(batch, kind).values()]
    if batch.elements or not all(map(on_host, masks)):
        return None
    once = {id(m): m for m in masks}
    held = {key: m.as_subclass(Tensor).numpy().tobytes() for key, m in once.items()}
    shapes = tuple((n, x.shape, x.dtype) for n, x in batch.values.items())
    shapes += tuple((n, x.shape, x.dtype) for n, x in batch.covariates.items())
    return shapes, tuple(held[id(m)] for m in masks)
