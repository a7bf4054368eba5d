"""What several processes that train together share; and one thread at a time in each."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ppl_mm.batch.host_masks import plain

__all__ = ["all_rows", "is_first", "one_thread", "total"]

_ONE = threading.RLock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside is one thread of the process at a time; the others wait.

    Pyro's stack of handlers and torch's generators belong to the process: two threads that use
    them at once would draw each other's numbers and run inside each other's handlers.
    """
    with _ONE:
        yield


def is_first() -> bool:
    """Whether this is the process that writes and prints: the first of ``torchrun``, or alone."""
    return os.environ.get("RANK", "0") == "0"


def total(count: Tensor) -> Tensor:
    """The sum of every process's ``count``, in all of them."""
    if not _several():
        return count
    count = plain(count).clone()
    torch.distributed.all_reduce(count)
    return count


def all_rows(own: Tensor) -> Tensor:
    """The rows of all processes along dim -2, in the order of the processes.

    Only a process's own rows have a gradient in it. What each process finds so for a function of
    all rows adds up to the gradient, which data-parallel training does. All must take part, with
    no rows too.

    Args:
        own: (..., n, D), n of each process its own.
    """
    if not _several():
        return own
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    counts = torch.zeros(world, dtype=torch.int64, device=own.device)
    counts[rank] = own.shape[-2]
    sizes = total(counts).tolist()
    if max(sizes) == 0:
        return own
    padded = own.new_zeros(*own.shape[:-2], max(sizes), own.shape[-1])
    padded[..., : sizes[rank], :] = own.detach()
    found = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(found, padded)
    parts = [part[..., :size, :] for part, size in zip(found, sizes, strict=True)]
    parts[rank] = own
    return torch.cat(parts, -2)


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
