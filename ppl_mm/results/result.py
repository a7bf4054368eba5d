"""The results of measures, number by number: a table in the terminal, a data frame, a picture."""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ppl_mm.arguments.typed import typed
from ppl_mm.results.style import BLUE, PALE, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Number", "Result", "estimates", "in_words", "number"]

_LINE = 0.24  # inches

Number = dict[str, Any]
"""A number and what it is of: ``measure``, ``observed``, ``target``, ``value``,
``standard_error``, and what else tells it from its neighbours."""


def number(
    measure: str,
    value: Any,
    observed: Sequence[str] | None = None,
    target: str = "",
    **more: object,
) -> Number:
    """One number of a result.

    Args:
        measure: Its name.
        value: A number, or an :class:`~ppl_mm.evaluation.Estimate`, which brings its error.
        observed: The modalities that the system was given; None where that is no part of the
            question.
        target: The modality that was generated, predicted or looked at.
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
    """The result of a measure. ``print``, ``rich.print``, ``to_pandas`` and ``plot`` work on all.

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
        table = Table(*(escape(key.replace("_", " ")) for key in shown))
        for row in rows:
            table.add_row(*(escape(_text(row.get(key, ""))) for key in shown))
        return table

    def figure(self) -> "Figure":
        """The numbers as points with bars of one standard error, a panel for each measure."""
        return estimates(self)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """The picture of the result, written to ``path`` as a PNG where one is given."""
        figure = self.figure()
        if path is not None:
            save(figure, path)
        return figure

    def __rich__(self) -> Table:
        return self.table()

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=100, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get().rstrip()


@typed
def estimates(found: Result) -> "Figure":
    """Every number as a point with a bar of one standard error: a panel for each measure.

    Args:
        found: The result of any measure of :mod:`ppl_mm.evaluation`.
    """
    from ppl_mm.results.picture import Picture

    panels: dict[str, list[Number]] = {}
    for row in found.numbers():
        panels.setdefault(row["measure"], []).append(row)
    lines = [len(rows) for rows in panels.values()]
    height = _LINE * sum(lines) + 0.9 * len(panels)
    figure = Picture(figsize=(5.6, height), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=lines)[:, 0]
    for axes, (measure, rows) in zip(all_axes, panels.items(), strict=True):
        axes.errorbar(
            [row["value"] for row in rows],
            range(len(rows)),
            xerr=[row["standard_error"] for row in rows],
            fmt="o",
            color=BLUE,
            markersize=4,
        )
        axes.set_yticks(range(len(rows)), [_told(row) for row in rows])
        axes.set(title=measure, ylim=(len(rows) - 0.5, -0.5))
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _text(value: object) -> str:
    """A number in four digits, nothing for NaN."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return str(value)


def _told(row: Number) -> str:
    """The name of a number: ``top + bottom → label``."""
    known = ("measure", "observed", "target", "value", "standard_error")
    more = [f"{key} {value}" for key, value in row.items() if key not in known]
    sides = [side for side in (row["observed"], row["target"]) if side]
    return ", ".join([" → ".join(sides), *more] if sides else more)
