"""A mean over rows with its standard error."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from jaxtyping import Shaped
from torch import Tensor

from ppl_mm.results.result import Number, Result, number

__all__ = ["Estimate"]


@dataclass(frozen=True)
class Estimate(Result):
    """A mean over rows and its standard error.

    Attributes:
        value: The mean.
        standard_error: The rows' standard deviation over the root of their number; NaN for one.

    Example:
        >>> import torch
        >>> print(Estimate.of(torch.tensor([0.0, 1.0, 1.0, 1.0])))
        0.750 ± 0.250
    """

    value: float
    standard_error: float

    @classmethod
    def of(cls, rows: Shaped[Tensor, " N"]) -> Self:
        """The mean of (N,) numbers or truth values, one a row."""
        rows = rows.double()
        spread = rows.std().item() if len(rows) > 1 else math.nan
        return cls(rows.mean().item(), spread / math.sqrt(len(rows)))

    def numbers(self) -> Iterator[Number]:
        """The one number."""
        yield number("mean", self)

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.standard_error:.3f}"

    def to_list(self) -> list[float]:
        """Value and standard error, for JSON."""
        return [self.value, self.standard_error]
