"""The error of a mean of log-likelihoods over rows, from the intervals of the rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

__all__ = ["NORMAL", "ErrorPart", "mean_interval"]

NORMAL = 1.959964
"""The 97.5 % quantile of a standard Normal."""


@dataclass(frozen=True)
class ErrorPart:
    """A part of the rows' Monte Carlo errors that is independent of the other parts.

    Attributes:
        below: The distance from the value down to the lower end of a 95 % interval, (N,), nats.
        above: The distance up to the upper end, (N,).
        draws: The number of each row's set of draws, (N,): rows with equal numbers share
            their draws, and so their errors; other rows are independent.
    """

    below: Tensor
    above: Tensor
    draws: Tensor

    def masked(self, held: Bool[Tensor, " N"]) -> "ErrorPart":
        """The part with an error of 0 in the rows where ``held`` is False."""
        below, above = (torch.where(held, side, 0.0) for side in (self.below, self.above))
        return ErrorPart(below, above, self.draws)

    def turned(self) -> "ErrorPart":
        """The part of minus the quantity."""
        return ErrorPart(self.above, self.below, self.draws)


def mean_interval(parts: Sequence[ErrorPart]) -> tuple[float, float]:
    """The distances from the mean over rows down and up to the ends of a 95 % interval, in nats.

        below^2  =  sum over parts and over groups g of rows that share their draws of
                    ( (1/N) sum over rows i in g of below_i )^2

    The distances of independent errors add up in squares (Zou & Donner 2008, Statistics in
    Medicine 27), those of errors in common as they are.
    """
    below, above = 0.0, 0.0
    for part in parts:
        _, group = part.draws.unique(return_inverse=True)
        squares = []
        for side in (part.below.double(), part.above.double()):
            sums = torch.zeros(int(group.max()) + 1, dtype=side.dtype, device=side.device)
            total = sums.index_add_(0, group, side / len(side)).square().sum().item()
            squares.append(total)
        below, above = below + squares[0], above + squares[1]
    return math.sqrt(below), math.sqrt(above)
