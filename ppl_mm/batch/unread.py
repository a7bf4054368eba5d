"""Masks whose values Python must not read, while a step is recorded for all of them.

Ordinarily Python reads a mask and gives a network the rows that count. A step that is recorded with
its masks as inputs gives networks all rows, and ``torch.where`` takes the results that count. Such
a step serves every pattern of missing modalities.

An optimiser leaves a parameter alone that has no gradient, and not one whose gradient is zero. So
the step also finds out which networks see a row that counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ppl_mm.batch.host_masks import plain, unread

__all__ = [
    "Uses",
    "among",
    "collecting",
    "counting",
    "every",
    "needed",
    "outer",
    "runs",
    "some",
    "stacked",
    "within",
]


class Uses:
    """The networks of a step, each with the rows in which its output counts."""

    def __init__(self) -> None:
        self.always: set[Tensor] = set()
        self.masks: dict[tuple[int, ...], Sequence[Tensor]] = {}
        self.networks: dict[tuple[int, ...], set[Tensor]] = {}

    def add(
        self, masks: Sequence[Bool[Tensor, "..."]], parameters: set[Float[Tensor, "..."]]
    ) -> None:
        """Add a network's parameters, which count if each of the masks is True somewhere."""
        if not masks:
            self.always |= parameters
            return
        key = tuple(map(id, masks))
        self.masks[key] = masks
        self.networks[key] = self.networks.get(key, set()) | parameters

    def flags(self) -> Bool[Tensor, " _"] | None:
        """Whether each group of networks counts, as one tensor; None without any."""
        found = [_all_somewhere(masks) for masks in self.masks.values()]
        return torch.stack(found) if found else None

    def of(self, parameter: Float[Tensor, "..."]) -> list[int]:
        """The positions of a parameter's flags; it has a gradient if one of them is True.

        A parameter without any always has one.
        """
        if parameter in self.always:
            return []
        return [i for i, network in enumerate(self.networks.values()) if parameter in network]


def _all_somewhere(masks: Sequence[Tensor]) -> Tensor:
    first, *rest = (plain(mask).any() for mask in masks)
    for flag in rest:
        first = first & flag
    return first


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
def counting(mask: Bool[Tensor, "..."]) -> Iterator[None]:
    """Networks that run inside count if ``mask`` is True in some row."""
    _counting.append(mask)
    try:
        yield
    finally:
        _counting.pop()


def runs(networks: Iterable[object], held: Bool[Tensor, "..."] | None = None) -> None:
    """Note that networks run on the rows where ``held`` is True, or on rows that always count."""
    if not _collecting:
        return
    masks = [mask for mask in (*_counting, held) if mask is not None]
    for network in networks:
        learned = network.parameters() if isinstance(network, nn.Module) else ()
        _collecting[-1].add(masks, {p for p in learned if p.requires_grad})


def some(mask: Bool[Tensor, "..."]) -> bool:
    """Whether a mask is True anywhere; one whose values are unread may be."""
    return unread(mask) or bool(mask.any())


def needed(
    rows: Bool[Tensor, "*#S #B"], counts: Bool[Tensor, "*#S #B"]
) -> Bool[Tensor, "*S B"] | None:
    """The rows of ``rows`` that count, or None if there are none."""
    both = rows & counts
    return both if some(rows) and some(both) else None  # the first may be known where both is not


def every(mask: Bool[Tensor, "..."]) -> bool:
    """Whether a mask is known to be True everywhere."""
    return not unread(mask) and bool(mask.all())


def within(mask: Bool[Tensor, "*M T B"], terms: Bool[Tensor, "*M T 1"]) -> Bool[Tensor, "*M T B"]:
    """Let an unread mask (T, B) know the terms, (T, 1), outside which it is False."""
    if unread(mask) and not unread(terms):
        mask._within = terms  # type: ignore[attr-defined]
    return mask


def stacked(masks: Sequence[Bool[Tensor, "*S B"]]) -> Bool[Tensor, "M *S B"]:
    """Stack masks, which still know their terms, (M, T, 1)."""
    terms = [getattr(mask, "_within", None) for mask in masks]
    known = [t for t in terms if t is not None]
    whole = torch.stack(list(masks))
    return within(whole, torch.stack(known)) if len(known) == len(terms) > 0 else whole


def outer(source: Bool[Tensor, "M *T B"]) -> tuple[Bool[Tensor, "M _"], Bool[Tensor, "M B"]] | None:
    """The terms (M, T) and the rows (M, B) whose product is an unread mask (M, T, B).

    It is so in the terms of a row that count; what a posterior is in the others does not matter.
    None if the terms are not known.
    """
    terms = getattr(source, "_within", None)
    return None if terms is None else (terms[..., 0], source.any(1))


def among(mask: Bool[Tensor, "*T B"]) -> Int[Tensor, " _"] | None:
    """The positions of the terms in which an unread mask may be True; None for all or unknown."""
    terms = getattr(mask, "_within", None)
    return None if terms is None or bool(terms.all()) else terms.flatten().nonzero()[:, 0]
