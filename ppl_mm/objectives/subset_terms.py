"""MVAE's list of terms: everything, each modality alone, and random subsets."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import torch

from ppl_mm.terms import Term

__all__ = ["SubsetTerms", "subset_terms"]


@dataclass(frozen=True)
class SubsetTerms:
    """See :func:`subset_terms`; call it with names to get the terms of one step."""

    k: int | None
    uniform_over: str

    def __call__(self, names: Sequence[str]) -> list[Term]:
        """The terms of one step."""
        names = tuple(names)
        if self.k is None:
            sizes = range(len(names), 0, -1)
            subsets = [s for size in sizes for s in combinations(names, size)]
        else:
            subsets = [names, *((name,) for name in names)]
            subsets += _random_subsets(names, self.k, self.uniform_over)
        return [Term(source=s, scored=s) for s in subsets]


def subset_terms(k: int | None = 0, uniform_over: str = "size") -> SubsetTerms:
    """The ELBO of the full set, of each modality alone, and of k random subsets.

    Every term S draws from q(z | x_S) and reconstructs S; the terms are summed with weight 1.
    Random subsets have 2 to M - 1 modalities and are drawn once a step, for all rows.

    Args:
        k: How many random subsets; None for all 2^M - 1 non-empty subsets instead.
        uniform_over: ``"size"``: first a size, uniform, then a subset of that size, distinct
            ones (the release; not uniform over subsets); ``"subset"``: uniform over subsets,
            distinct. Fewer than k come where there are not as many.

    The sum is no unbiased estimate of the one over all subsets: the full set and the single
    modalities always count once.

    Source: Wu & Goodman 2018, arXiv:1802.05335, eq. 5, and its release.

    Example:
        >>> [t.source for t in subset_terms(k=1)(("a", "b"))]
        [('a', 'b'), ('a',), ('b',)]
    """
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 0):
        raise ValueError(f"expected k to be an integer of at least 0 (or None), got {k!r}.")
    if uniform_over not in ("size", "subset"):
        raise ValueError(f"uniform_over: expected 'size' or 'subset', got {uniform_over!r}.")
    return SubsetTerms(k, uniform_over)


def _random_subsets(
    names: tuple[str, ...], k: int, uniform_over: str
) -> list[tuple[str, ...]]:
    sizes = torch.arange(2, len(names))
    if k == 0 or len(sizes) == 0:
        return []
    counts = torch.tensor([float(comb(len(names), int(s))) for s in sizes])
    chosen: list[tuple[str, ...]] = []
    if uniform_over == "size":
        drawn = torch.bincount(torch.randint(len(sizes), (k,)), minlength=len(sizes))
        for size, how_many, there_are in zip(sizes, drawn, counts, strict=True):
            _add_distinct(chosen, names, size.expand(1), int(min(how_many, there_are)))
    else:
        weighted = sizes[torch.multinomial(counts, 4 * k, replacement=True)]
        _add_distinct(chosen, names, weighted, int(min(k, counts.sum())), counts)
    return chosen


def _add_distinct(
    chosen: list[tuple[str, ...]],
    names: tuple[str, ...],
    sizes: torch.Tensor,
    how_many: int,
    counts: torch.Tensor | None = None,
) -> None:
    """Draw subsets until ``how_many`` new ones are there."""
    target, turn = len(chosen) + how_many, 0
    while len(chosen) < target:
        if turn == len(sizes):
            turn = 0
            if counts is not None:
                sizes = 2 + torch.multinomial(counts, len(sizes), replacement=True)
        members = torch.randperm(len(names))[: int(sizes[turn])].sort().values
        turn += 1
        subset = tuple(names[int(i)] for i in members)
        if subset not in chosen:
            chosen.append(subset)
