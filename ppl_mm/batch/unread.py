"""Masks whose values Python must not read, while a step is recorded for all of them.

Ordinarily Python reads a mask and gives a network the rows that count. A step that is recorded with
its masks as inputs gives networks all rows, and ``torch.where`` takes the results that count. Such
a step serves every pattern of missing modalities.

An optimiser leaves a parameter alone that has no gradient, and not one whose gradient is zero. So
the step also finds out which networks see a row that counts.
"""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ppl_mm.batch.host_masks import plain, unread

__all__ = ["Uses", "among", "collecting", "counting", "every", "runs", "some", "within"]


class Uses:
    """The networks of a step, each with the rows in which its output counts.

    Attributes:
        flags: Scalars, whether a network has such a row.
        networks: For each of the flags, the network's parameters.
    """

    def __init__(self) -> None:
        self.flags: list[Tensor] = []
        self.networks: list[set[Tensor]] = []

    def stacked(self) -> Tensor | None:
        """All flags as one tensor; None without any."""
        return torch.stack([plain(flag) for flag in self.flags]) if self.flags else None

    def of(self, parameter: Tensor) -> list[int]:
        """The positions of the flags of a parameter; it has a gradient if one of them is True."""
        return [i for i, network in enumerate(self.networks) if parameter in network]


_ALWAYS = torch.ones((), dtype=torch.bool)
_collecting: list[Uses] = []
_counting: list[Tensor] = []


@contextmanager
def collecting(uses: Uses) -> Iterator[None]:
    """Collect the networks that run inside."""
    _collecting.append(uses)
    try:
        yield
    finally:
        _collecting.pop()


@contextmanager
def counting(mask: Tensor) -> Iterator[None]:
    """Networks that run inside count if ``mask`` is True in some row."""
    _counting.append(mask)
    try:
        yield
    finally:
        _counting.pop()


def runs(networks: Iterable[object], held: Tensor | None = None) -> None:
    """Note that networks run on the rows where ``held`` is True, or on rows that always count."""
    if not _collecting:
        return
    flags = [mask.any() for mask in (*_counting, held) if mask is not None]
    flag = functools.reduce(torch.logical_and, flags) if flags else _ALWAYS
    learned = [p for n in networks if isinstance(n, nn.Module) for p in n.parameters()]
    _collecting[-1].networks.append({p for p in learned if p.requires_grad})
    _collecting[-1].flags.append(flag)


def some(mask: Tensor) -> bool:
    """Whether a mask is True anywhere; one whose values are unread may be."""
    return unread(mask) or bool(mask.any())


def every(mask: Tensor) -> bool:
    """Whether a mask is known to be True everywhere."""
    return not unread(mask) and bool(mask.all())


def within(mask: Tensor, terms: Tensor) -> Tensor:
    """Let an unread mask (T, B) know the terms, (T, 1), outside which it is False."""
    if unread(mask) and not unread(terms):
        mask._within = terms  # type: ignore[attr-defined]
    return mask


def among(mask: Tensor) -> Tensor | None:
    """The positions of the terms in which an unread mask may be True; None for all or unknown."""
    terms = getattr(mask, "_within", None)
    return None if terms is None or bool(terms.all()) else terms.flatten().nonzero()[:, 0]
