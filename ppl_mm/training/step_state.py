"""The state and the pattern of a step: whether one step can be replayed for another."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Shaped
from pyro.infer import ELBO
from torch import Tensor, nn

from ppl_mm.batch.host_masks import on_host, plain, recording
from ppl_mm.batch.masked import MASKS
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives import Stages
from ppl_mm.objectives.training_weights import TrainingWeights, annealing_of
from ppl_mm.training.batches import resident

__all__ = [
    "Annealing",
    "State",
    "Step",
    "layout",
    "mixed",
    "pattern",
    "stage_of",
    "tensors_of",
    "to_record",
]

Step = Callable[[Observations, range, int], Tensor]
"""A function from a batch, this process's share of it and its size to its loss."""


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
        value = annealing_of(self.objective)
        if value != 1.0:
            self.tensor.fill_(value)
        return value != 1.0

    def __enter__(self) -> None:
        self.value = annealing_of(self.objective)
        if self.value != 1.0:
            self.objective.annealing = self.tensor

    def __exit__(self, *error: object) -> None:
        if self.value != 1.0:
            self.objective.annealing = self.value


class State:
    """The state that a step changes besides gradients: buffers and random generators."""

    def __init__(self, tensors: Sequence[Shaped[Tensor, "..."]]) -> None:
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


def stage_of(objective: ELBO) -> tuple[object, ...]:
    """Identify the objective's stage and its weights, which callbacks may change."""
    now = objective.current if isinstance(objective, Stages) else objective
    if not isinstance(now, TrainingWeights):
        return (id(now),)
    return id(now), now.beta, *now.weights.items()


def pattern(batch: Observations) -> tuple[object, ...] | None:
    """Shapes and masks of a batch; None if the host lacks the masks or elements are missing."""
    masks = [m for kind in MASKS for m in getattr(batch, kind).values()]
    if batch.elements or not all(map(on_host, masks)):
        return None
    once = {id(m): m for m in masks}
    held = {key: _bytes(m) for key, m in once.items()}
    return _shapes(batch), tuple(held[id(m)] for m in masks)


def layout(batch: Observations, steady: frozenset[str]) -> tuple[object, ...]:
    """Everything that is the same in batches with other masks: shapes, and masks that are steady.

    It also says which of the other masks are one tensor.

    Args:
        batch: The rows.
        steady: The modalities whose masks do not differ between batches.
    """
    places: dict[int, int] = {}
    masks = tuple(
        _bytes(m) if n in steady else places.setdefault(id(m), len(places))
        for kind in MASKS
        for n, m in getattr(batch, kind).items()
    )
    return _shapes(batch), masks, tuple(batch.elements)


def mixed(batch: Observations) -> bool:
    """Whether rows of a batch hold different modalities, or elements are missing."""
    return bool(batch.elements) or batch.pattern is None


def tensors_of(
    batch: Observations, steady: frozenset[str] | None = None
) -> list[Shaped[Tensor, "..."]]:
    """The tensors of a batch that a program reads: values, covariates, and masks if not steady.

    Args:
        batch: The rows.
        steady: The modalities whose masks are no inputs; None for all.
    """
    found = [*batch.values.values(), *batch.covariates.values()]
    if steady is None:
        return found
    once = {id(m): m for kind in MASKS for n, m in getattr(batch, kind).items() if n not in steady}
    return [*found, *map(plain, once.values()), *batch.elements.values()]


def to_record(batch: Observations, steady: frozenset[str] | None = None) -> Observations:
    """The batch with masks that the host knows, except those that are inputs of the program."""
    with recording():
        rows = resident(batch, batch.device)
    if steady is None:
        return rows
    rows = rows._copy()
    for kind in MASKS:
        own, known = getattr(batch, kind), getattr(rows, kind)
        setattr(rows, kind, {n: known[n] if n in steady else plain(m) for n, m in own.items()})
    return rows


def _shapes(batch: Observations) -> tuple[object, ...]:
    both = (*batch.values.items(), *batch.covariates.items())
    return tuple((n, x.shape, x.dtype) for n, x in both)


def _bytes(mask: Tensor) -> bytes:
    found: bytes = mask.as_subclass(Tensor).numpy().tobytes()
    return found
