"""MVAE's list of terms: everything, each modality alone, and random subsets."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import comb
from typing import Annotated, Literal

import torch

from ppl_mm.arguments.kinds import Range
from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.subsets import MOST_MODALITIES, check_all_subsets
from ppl_mm.batch.terms import Term

__all__ = ["SubsetTerms", "subset_terms"]

Uniform = Literal["size", "subset"]


@typed
@dataclass(frozen=True)
class SubsetTerms:
    """See :func:`subset_terms`; call it with names to get the terms of one step."""

    k: int | None
    uniform_over: Uniform
    scored: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __call__(self, names: Sequence[str]) -> list[Term]:
        """The terms of one step."""
        names = tuple(names)
        if self.k is None:
            check_all_subsets(names, "subset_terms(None)", "Draw some: subset_terms(k=3).")
            sizes = range(len(names), 0, -1)
            subsets = [s for size in sizes for s in combinations(names, size)]
        else:
            subsets = [names, *((name,) for name in names)]
            subsets += _random_subsets(names, self.k, self.uniform_over)
        alone: dict[tuple[str, ...], tuple[str, ...]]
        alone = {(name,): scored for name, scored in self.scored}
        for named in dict(self.scored).keys() | {n for _, scored in self.scored for n in scored}:
            if named not in names:
                raise ValueError(f"scored: {unknown_name('modality', named, names)}")
        return [Term(source=s, scored=alone.get(s, s)) for s in subsets]


@typed
def subset_terms(
    k: Annotated[int, Range(0, 2**MOST_MODALITIES - 1)] | None = 0,
    uniform_over: Uniform = "size",
    *,
    scored: Mapping[str, Sequence[str]] | None = None,
) -> SubsetTerms:
    """The ELBO of the full set, of each modality alone, and of k random subsets.

    Every term S draws from q(z | x_S) and reconstructs S; the terms are summed with weight 1.
    Random subsets have 2 to M - 1 modalities and are drawn once a step, for all rows.

    Args:
        k: The number of random subsets, 255 at most; None for all 2^M - 1 non-empty subsets
            instead, of eight modalities at most.
        uniform_over: ``"size"``: first a size, uniform, then a subset of that size, distinct
            ones (the release; not uniform over subsets); ``"subset"``: uniform over subsets,
            distinct. There are fewer than k if so few exist.
        scored: Modality -> the modalities that the term of this modality alone reconstructs, where
            a row has them; by default itself. ``{"image": ("image", "label")}`` asks q(z | image)
            for the label too, which the paper's own terms do not (its authors' earlier code did).

    The sum does not estimate the one over all subsets without bias, as the full set and the single
    modalities always count once.

    Raises:
        ValueError: For an unknown ``uniform_over``, k out of range, or, with the names of a
            system, a modality in ``scored`` that the system does not have.

    Source: Wu & Goodman 2018, arXiv:1802.05335, eq. 5, and its release.

    Example:
        >>> [t.source for t in subset_terms(k=1)(("a", "b"))]
        [('a', 'b'), ('a',), ('b',)]
        >>> terms = subset_terms(scored={"image": ("image", "label")})(("image", "label"))
        >>> [(t.source, t.scored) for t in terms[1:]]
        [(('image',), ('image', 'label')), (('label',), ('label',))]
    """
    pairs = tuple((name, tuple(those)) for name, those in (scored or {}).items())
    return SubsetTerms(k, uniform_over, pairs)


def _random_subsets(names: tuple[str, ...], k: int, uniform_over: Uniform) -> list[tuple[str, ...]]:
    sizes = range(2, len(names))
    if k == 0 or len(sizes) == 0:
        return []
    number = {size: comb(len(names), size) for size in sizes}
    if uniform_over == "subset":
        weights = torch.tensor([float(number[size]) for size in sizes])

        def any_size() -> int:
            return sizes[int(torch.multinomial(weights, 1))]

        return _distinct(names, any_size, min(k, sum(number.values())))
    drawn = Counter(sizes[int(i)] for i in torch.randint(len(sizes), (k,)))
    return [
        subset
        for size, count in sorted(drawn.items())
        for subset in _distinct(names, partial(int, size), min(count, number[size]))
    ]


def _distinct(
    names: tuple[str, ...], draw_size: Callable[[], int], how_many: int
) -> list[tuple[str, ...]]:
    """Different subsets, each uniform among those of the size drawn for it."""
    chosen: dict[tuple[str, ...], None] = {}
    while len(chosen) < how_many:
        members = torch.randperm(len(names))[: draw_size()].sort().values
        chosen[tuple(names[int(i)] for i in members)] = None
    return list(chosen)
