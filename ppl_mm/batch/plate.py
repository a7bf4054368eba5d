"""Plates that hold all of their indices, and which sites are of the rows."""

from collections.abc import Mapping
from typing import Any

from pyro.poutine.plate_messenger import PlateMessenger

__all__ = ["ROWS", "Plate", "of_rows"]

ROWS = "data"
"""The name of the plate of rows, which ``obs.plates()`` opens."""


def of_rows(site: Mapping[str, Any]) -> bool:
    """Whether a site has one value a row, as it lies in ``obs.plates()``; else all rows share it.

    Args:
        site: A node of a trace, or a message.
    """
    return any(frame.name == ROWS for frame in site["cond_indep_stack"])


class Plate(PlateMessenger):
    """``pyro.plate`` that is never subsampled: rows come in batches already.

    Pyro's asks all handlers, whenever one opens, which of its indices to take. This one takes all
    of them and asks nobody, so traces have no site of its name.

    Args:
        name: The plate's name.
        size: How many indices.
        dim: The batch dimension, from the right.

    Example:
        >>> import torch, pyro, pyro.distributions as dist
        >>> with Plate("data", 3, dim=-1):
        ...     print(pyro.sample("z", dist.Delta(torch.tensor(1.0))))
        tensor([1., 1., 1.])
    """

    def __init__(self, name: str, size: int, *, dim: int) -> None:
        super().__init__(name, size, dim=dim)

    @staticmethod
    def _subsample(
        name: str, size: int | None = None, *args: object
    ) -> tuple[int | None, int | None, None]:
        return size, size, None
