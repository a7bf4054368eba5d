"""Sums over the rows of a modality, a block of rows after another."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ppl_mm.batch.observations import Observations

__all__ = ["Summed", "summed"]


@dataclass(frozen=True)
class Summed:
    """What the rows of a modality that are there sum up to, by element.

    Attributes:
        rows: The number of rows that hold it.
        shape: The shape of one value.
        least, greatest: The least and the greatest value of each element.
        mean, deviation: The mean and the standard deviation of each element.
        whole: Whether all values of an element are whole numbers.
    """

    rows: int
    shape: tuple[int, ...]
    least: Tensor
    greatest: Tensor
    mean: Tensor
    deviation: Tensor
    whole: Tensor

    @property
    def low(self) -> float:
        """The least of all values."""
        return self.least.min().item()

    @property
    def high(self) -> float:
        """The greatest of all values."""
        return self.greatest.max().item()


def summed(name: str, parts: Iterable[Observations]) -> Summed:
    """Sum up the rows of a modality that are there.

    Args:
        name: The modality.
        parts: The rows, a block after another.
    """
    rows, shape = 0, torch.Size()
    least = greatest = mean = squares = torch.zeros(())
    whole = torch.ones((), dtype=torch.bool)
    for obs in parts:
        values = obs[name][obs.present[name]].double()
        shape = values.shape[1:]
        if len(values) == 0:
            continue
        low, high = values.amin(0), values.amax(0)
        least = low if rows == 0 else torch.minimum(least, low)
        greatest = high if rows == 0 else torch.maximum(greatest, high)
        whole = whole & (values == values.floor()).all(0)
        size, own = len(values), values.mean(0)
        apart = own - mean  # Chan, Golub & LeVeque 1979: means and squares of two parts
        squares = squares + (values - own).square().sum(0) + apart**2 * rows * size / (rows + size)
        mean = mean + apart * size / (rows + size)
        rows += size
    deviation = (squares / max(rows, 1)).sqrt()
    return Summed(rows, tuple(shape), least, greatest, mean, deviation, whole)
