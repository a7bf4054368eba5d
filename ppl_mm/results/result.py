"""What measures return, number by number: a table in the terminal, a data frame, a picture."""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

__all__ = ["Number", "Result", "in_words", "number"]

Number = dict[str, Any]
"""A number and what it is of: ``measure``, ``observed``, ``target``, ``value``,
``standard_error``, and what else tells it from its neighbours."""


def number(
    measure: str,
    value: Any,
    observed: Sequence[str] | None = None,
    target: str = "",
    **more: Any,
) -> Number:
    """One number of a result.

    Args:
        measure: Its name.
        value: A number, or an :class:`~ppl_mm.evaluation.Estimate`, which brings its error.
        observed: What the system was given; None where that is no part of the question.
        target: What was generated, predicted or looked at.
        **more: Further columns.

    Example:
        >>> found = number("coherence", 0.5, ["top", "bottom"], "label")
        >>> found["observed"], found["value"], found["standard_error"]
        ('top + bottom', 0.5, nan)
    """
    return {
        "measure": measure,
        "observed": "" if observed is None else in_words(observed),
        "target": target,
        "value": float(getattr(value, "value", value)),
        "standard_error": float(getattr(value, "standard_error", math.nan)),
        **more,
    }


def in_words(observed: Sequence[str]) -> str:
    """``top + bottom``; ``nothing`` for no modality."""
    return " + ".join(observed) or "nothing"


class Result(ABC):
    """What a measure found. ``print``, ``rich.print``, ``to_pandas`` and ``plot`` work on all.

    A class says what its numbers are. One with a better table, or a better picture, than the list
    of them has its own ``table`` or ``figure``.

    Example:
        >>> from ppl_mm.evaluation import Estimate
        >>> Estimate(0.75, 0.25).to_pandas()[["value", "standard_error"]].values.tolist()
        [[0.75, 0.25]]
    """

    @abstractmethod
    def numbers(self) -> Iterator[Number]:
        """Every number, see :func:`number`."""

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each number.

        Columns ``measure``, ``observed``, ``target``, ``value``, ``standard_error`` (NaN where
        none is known), and further ones of some measures.
        """
        import pandas

        return pandas.DataFrame(list(self.numbers()))

    def table(self) -> Table:
        """The numbers, for ``rich.print``."""
        rows = list(self.numbers())
        keys = dict.fromkeys(key for row in rows for key in row)
        shown = [key for key in keys if any(_text(row.get(key, "")) for row in rows)]
        table = Table(*(key.replace("_", " ") for key in shown))
        for row in rows:
            table.add_row(*(_text(row.get(key, "")) for key in shown))
        return table

    def figure(self) -> Figure:
        """The numbers as points with bars of one standard error, a panel for each measure."""
        from ppl_mm import plotting

        return plotting.estimates(self)

    def plot(self, path: str | Path | None = None) -> Figure:
        """The picture of the result, written to ``path`` as a PNG where one is given."""
        from ppl_mm import plotting

        figure = self.figure()
        if path is not None:
            plotting.save(figure, path)
        return figure

    def __rich__(self) -> Table:
        return self.table()

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=100, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get().rstrip()


def _text(value: Any) -> str:
    """A number in four digits, nothing for NaN."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return str(value)
