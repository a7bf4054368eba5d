"""The state and the pattern of a step: whether one step can be replayed for another."""

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
"""A function from a batch, this process's share of it and its size to its loss."""

_KINDS = ("present", "scored", "evidence", "source")


class Annealing:
    """An objective's factor of beta as a tensor, so that a repeated step follows its schedule.

    Args:
        objective: The objective, whose ``annealing`` is that tensor inside a ``with`` block.
        device: The device of the tensor.
    """

    def __init__(self, objective: ELBO, device: torch.device) -> None:
        self.objective = objective
        self.tensor = torch.ones((), dtype=torch.float64, device=device)

    def follow(self) -> bool:
        """Set the tensor to the present value; return whether beta differs from its final one."""
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
    """The state that a step changes besides gradients: buffers and random generators."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = [x for x in tensors if not isinstance(x, nn.Parameter)]
        self.values = [x.detach().clone() for x in self.tensors]
        self.devices = sorted({x.device.index for x in tensors if x.is_cuda})
        self.host = torch.get_rng_state()
        self.on_device = [torch.cuda.get_rng_state(i) for i in self.devices]

    def restore(self) -> None:
        """Restore the state."""
        torch.set_rng_state(self.host)
        for i, state in zip(self.devices, self.on_device, strict=True):
            torch.cuda.set_rng_state(state, i)
        with torch.no_grad():
            for x, value in zip(self.tensors, self.values, strict=True):
                x.copy_(value)

    def equals(self, other: "State", exactly: bool) -> bool:
        """Whether both have the same random generators, and equal buffers if ``exactly``."""
        pairs = [(self.host, other.host), *zip(self.on_device, other.on_device, strict=True)]
        if exactly:
            pairs += zip(self.values, other.values, strict=True)
        return all(torch.equal(a, b) for a, b in pairs)


def stage_of(objective: ELBO) -> Any:
    """Identify the objective's stage and its weights, which callbacks may change."""
    now = objective.current if isinstance(objective, Stages) else objective
    weights = tuple(getattr(now, "weights", {}).items())
    return id(now), getattr(now, "beta", 1.0), weights


def pattern(batch: Observations) -> Any:
    """Shapes and masks of a batch; None if the host lacks the masks or elements are missing."""
    masks = [m for kind in _KINDS for m in getattr(batch, kind).values()]
    if batch.elements or not all(map(on_host, masks)):
        return None
    once = {id(m): m for m in masks}
    held = {key: m.as_subclass(Tensor).numpy().tobytes() for key, m in once.items()}
    shapes = tuple((n, x.shape, x.dtype) for n, x in batch.values.items())
    shapes += tuple((n, x.shape, x.dtype) for n, x in batch.covariates.items())
    return shapes, tuple(held[id(m)] for m in masks)
