"""Work that several processes share, and the use of one thread in each."""

import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ppl_mm.batch.host_masks import plain

__all__ = [
    "all_rows",
    "alone",
    "divided",
    "gathered",
    "in_order",
    "in_turn",
    "is_first",
    "one_thread",
    "own_share",
    "seed_torch",
    "total",
]

T = TypeVar("T")

_ONE = threading.RLock()
_WAIT = 20.0  # seconds that a process waits for the others to ask for the same
_asked: Counter[str] = Counter()  # how often this process has asked for what
_alone = 0  # the number of ``alone`` that this process is in


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside is one thread of the process at a time; the others wait.

    Pyro's stack of handlers and torch's generators belong to the process: two threads that use
    them at once would draw each other's numbers and run inside each other's handlers.
    """
    with _ONE:
        yield


def seed_torch(seed: int) -> None:
    """Seed torch's generators; where there is no CUDA, a hundred times as fast as torch does.

    ``torch.manual_seed`` writes down the stack for every kind of device that may come later.
    """
    if torch.cuda.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def is_first() -> bool:
    """Whether this is the process that writes and prints: the first of ``torchrun``, or alone."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this process computes its results whole, and the others need not take part."""
    global _alone
    _alone += 1
    try:
        yield
    finally:
        _alone -= 1


def own_share(num: int, what: str) -> slice:
    """This process's part of ``num`` things, where all processes compute ``what`` together.

    The part is everything if there is one process, inside :func:`alone`, or for fewer things than
    processes. Processes agree through their store: where some do not ask for the same within 20
    seconds, each that does computes everything.

    Args:
        num: The number of things.
        what: The name of the computation, the same in all processes.

    Warns:
        UserWarning: If not all processes ask.
    """
    world = torch.distributed.get_world_size() if _several() and not _alone else 1
    if world == 1 or num < world:
        return slice(None)
    _asked[what] += 1
    if _all_ask(f"ppl_mm/{what}/{_asked[what]}", world):
        return slice(torch.distributed.get_rank(), None, world)
    warnings.warn(
        f"{what}: not all {world} processes asked for it, so this one computes it whole, after it "
        f"waited for {_WAIT:.0f} seconds. Ask in every process, or in this one inside "
        "ppl_mm.processes.alone().",
        UserWarning,
        stacklevel=2,
    )
    return slice(None)


def _all_ask(key: str, world: int) -> bool:
    """Whether all processes are at ``key``; the first that knows, or gives up, decides for all."""
    store = torch.distributed.distributed_c10d._get_default_store()
    arrived, end = store.add(f"{key}/arrived", 1), time.monotonic() + _WAIT
    while arrived < world and time.monotonic() < end:
        time.sleep(0.002)
        arrived = store.add(f"{key}/arrived", 0)
    found = b"together" if arrived >= world else b"alone"
    return bytes(store.compare_set(f"{key}/decided", "", found.decode())) == b"together"


def gathered(own: T) -> list[T]:
    """The values of all processes, in the order of the processes; all must take part."""
    found: list[T | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, own)
    return found  # type: ignore[return-value]


def divided(num: int, what: str, compute: Callable[[int], T]) -> list[T]:
    """``compute(i)`` of each i below ``num``, in every process; each is computed by one of them.

    Args:
        num: The number of results.
        what: The name of the computation, see :func:`own_share`.
        compute: A function of i alone, such as draws from a seed of their own. A result is sent to
            the other processes, so its tensors are on the CPU.
    """
    own = own_share(num, what)
    found = [compute(i) for i in range(num)[own]]
    return in_order(found, num, own)


def in_order(own: Sequence[T], num: int, share: slice) -> list[T]:
    """The results of all processes.

    Args:
        own: This process's results, tensors on the CPU.
        num: The number of all results.
        share: This process's part of them, from :func:`own_share`.
    """
    if share == slice(None):
        return list(own)
    parts = gathered(list(own))
    return [parts[i % len(parts)][i // len(parts)] for i in range(num)]


def in_turn(parts: Sequence[Shaped[Tensor, "_ *D"]]) -> Shaped[Tensor, "N *D"]:
    """Rows in order, of which process r of R has r, r + R, r + 2 R and so on."""
    rows = [torch.arange(len(part)) * len(parts) + r for r, part in enumerate(parts)]
    return torch.cat(list(parts))[torch.cat(rows).argsort()]


def total(count: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """The sum of every process's ``count``, in all of them."""
    if not _several():
        return count
    count = plain(count).clone()
    torch.distributed.all_reduce(count)
    return count


def all_rows(own: Float[Tensor, "*batch n D"]) -> Float[Tensor, "*batch N D"]:
    """The rows of all processes along dim -2, in the order of the processes.

    Only a process's own rows have a gradient in it. What each process finds so for a function of
    all rows adds up to the gradient, which data-parallel training does. All must take part, with
    no rows too.

    Args:
        own: (..., n, D), n of each process its own.
    """
    if not _several():
        return own
    own = plain(own)
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
