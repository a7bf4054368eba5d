"""Summaries of a modality's values, computed one block of rows at a time."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ppl_mm.batch.observations import Observations

__all__ = ["Summed", "summed"]


@dataclass(frozen=True)
class Summed:
    """Statistics of each element over the rows that hold a modality.

    Attributes:
        rows: The number of rows that hold the modality.
        shape: The shape of one value.
        least, greatest: The least and the greatest value of each element.
        mean, deviation: The mean and the standard deviation of each element.
        whole: Whether all values of an element are whole numbers.
        seen: The number of rows that hold each element.
    """

    rows: int
    shape: tuple[int, ...]
    least: Tensor
    greatest: Tensor
    mean: Tensor
    deviation: Tensor
    whole: Tensor
    seen: Tensor

    @property
    def holes(self) -> float:
        """The share of missing elements in rows that hold the modality."""
        return 1 - self.seen.double().mean().item() / self.rows if self.rows else 0.0

    @property
    def low(self) -> float:
        """The smallest value."""
        return self.least.min().item()

    @property
    def high(self) -> float:
        """The largest value."""
        return self.greatest.max().item()


def summed(name: str, parts: Iterable[Observations]) -> Summed:
    """Summarise the rows that hold a modality.

    Args:
        name: The modality.
        parts: The blocks of rows.
    """
    rows, shape = 0, torch.Size()
    seen = mean = squares = torch.zeros(())
    least, greatest = torch.tensor(torch.inf), torch.tensor(-torch.inf)
    whole = torch.ones((), dtype=torch.bool)
    for obs in parts:
        present = obs.present[name]
        values = obs[name][present].double()
        shape = values.shape[1:]
        if len(values) == 0:
            continue
        held = torch.ones_like(values, dtype=torch.bool)
        if name in obs.elements:
            held = obs.elements[name][present]
        least = torch.minimum(least, torch.where(held, values, torch.inf).amin(0))
        greatest = torch.maximum(greatest, torch.where(held, values, -torch.inf).amax(0))
        whole = whole & (values == values.floor()).all(0)
        size = held.sum(0)
        own = values.sum(0) / size.clamp(min=1)
        apart = own - mean  # Chan, Golub & LeVeque 1979: means and squares of two parts
        both = (seen + size).clamp(min=1)
        within = torch.where(held, values - own, 0.0).square().sum(0)
        squares = squares + within + apart**2 * seen * size / both
        mean = mean + apart * size / both
        seen = seen + size
        rows += len(values)
    deviation = (squares / seen.clamp(min=1)).sqrt()
    least, greatest = (torch.where(seen > 0, x, 0.0) for x in (least, greatest))
    return Summed(rows, tuple(shape), least, greatest, mean, deviation, whole, seen)
