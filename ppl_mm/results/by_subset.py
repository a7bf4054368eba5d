"""Results with a number of every row, for every target generated from every subset."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from rich.table import Table
from torch import Tensor

from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, in_words, number

__all__ = ["BySubset", "Subset"]

Subset = tuple[str, ...]
"""The modalities that a generation is given; empty for the prior."""


class BySubset(Result):
    """Numbers of rows (N,) for S subsets and T targets.

    Averages leave out targets that were given. Standard errors are over rows, as for another test
    set and the same trained system. A row's cells are averaged first, as they share its input.

    Attributes:
        measure: The name of the numbers.
        title: The title of the table.
        subsets: The S subsets that were given.
        targets: The T modalities that were generated.
    """

    measure: ClassVar[str]
    title: ClassVar[str]
    subsets: tuple[Subset, ...]
    targets: tuple[str, ...]

    @property
    @abstractmethod
    def of_rows(self) -> Float[Tensor, "S T N"]:
        """The numbers, (S, T, N)."""

    def cell(self, given: str | Sequence[str], target: str) -> Estimate:
        """The mean over rows of one target from one subset."""
        subset = (given,) if isinstance(given, str) else tuple(given)
        return Estimate.of(self.of_rows[self.subsets.index(subset), self.targets.index(target)])

    def per_target(self) -> dict[str, Estimate]:
        """Target -> mean over the subsets without it."""
        kept = {t: self._without(t) for t in self.targets}
        return {t: Estimate.of(rows.mean(0)) for t, rows in kept.items() if len(rows)}

    def numbers(self) -> Iterator[Number]:
        """The cells, and the means over those whose target was not given."""
        for s in self.subsets:
            for t in self.targets:
                yield number(self.measure, self.cell(s, t), s, t)
        for target, mean in self.per_target().items():
            yield number(f"mean {self.measure}", mean, target=target)

    def table(self) -> Table:
        """The matrix, for ``rich.print``; brackets mark targets that were given."""
        table = Table("given", *self.targets, title=self.title)
        for subset in self.subsets:
            cells = [(str(self.cell(subset, t)), t in subset) for t in self.targets]
            table.add_row(in_words(subset), *(f"({c})" if own else c for c, own in cells))
        table.add_section()
        means = self.per_target()
        table.add_row("mean", *(str(means.get(t, "")) for t in self.targets))
        if means and any(t in s for s in self.subsets for t in self.targets):
            table.caption = "means are without targets in brackets, which were given"
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON, an estimate as [value, standard error]."""
        return {
            "given": [list(s) for s in self.subsets],
            "targets": list(self.targets),
            "cells": [[self.cell(s, t).to_list() for t in self.targets] for s in self.subsets],
            "per target": {t: e.to_list() for t, e in self.per_target().items()},
        }

    def _without(self, target: str, subsets: Sequence[int] | None = None) -> Tensor:
        """Numbers of a target from those of these subsets that lack it, (S', N)."""
        which = range(len(self.subsets)) if subsets is None else subsets
        kept = [i for i in which if target not in self.subsets[i]]
        return self.of_rows[kept, self.targets.index(target)]
