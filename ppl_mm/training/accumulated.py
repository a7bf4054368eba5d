"""The gradients of several batches that make one step."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

__all__ = ["Summed"]


class Summed:
    """The sum of the gradients of a step's batches, each times its number of rows."""

    def __init__(self, parameters: Sequence[Float[Tensor, "..."]]) -> None:
        self.parameters = parameters
        self.sums: dict[Tensor, Tensor] = {}
        self.rows = 0

    def add(self, size: int, last: bool) -> None:
        """Add a batch's gradients; with the last batch, give the parameters the mean over rows."""
        self.rows += size
        for p in self.parameters:
            if p.grad is not None:
                own = p.grad * size
                self.sums[p] = self.sums[p] + own if p in self.sums else own
        if last:
            for p, gradient in self.sums.items():
                p.grad = gradient / self.rows
            self.sums, self.rows = {}, 0
