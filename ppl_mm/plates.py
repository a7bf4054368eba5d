"""Plates that hold all of their indices."""

from typing import Any

from pyro.poutine.broadcast_messenger import BroadcastMessenger
from pyro.poutine.plate_messenger import PlateMessenger
from pyro.poutine.subsample_messenger import SubsampleMessenger

__all__ = ["Plate"]


class Plate(PlateMessenger):
    """``pyro.plate`` that is never subsampled: rows come in batches already.

    Pyro's asks all handlers, whenever one opens, which of its indices to take. This one takes all
    of them and asks nobody, so traces have no site of its name. A distribution that has the plate's
    dimension already is left as it is.

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

    def _process_message(self, msg: Any) -> None:
        SubsampleMessenger._process_message(self, msg)
        batch = getattr(msg["fn"], "batch_shape", ())
        if len(batch) < -self.dim or batch[self.dim] != self.size:
            BroadcastMessenger._pyro_sample(msg)

    @staticmethod
    def _subsample(name: str, size: int | None = None, *args: Any) -> tuple[Any, Any, None]:
        return size, size, None
