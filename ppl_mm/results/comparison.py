"""Log-likelihoods of several systems on the same rows, paired: numbers, table and picture."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.results.likelihood_errors import NORMAL, ErrorPart, mean_interval
from ppl_mm.results.log_likelihood import RELIABLE_K, LogLikelihood
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import BLUE, GREY, PALE
from ppl_mm.results.unreliable import at_least

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FEW", "Comparison", "Difference", "paired_differences"]

FEW = 0.05
"""The share of rows with a Pareto k above 0.7 up to which a sum over rows can be compared."""

_WIDTH = 80


@dataclass(frozen=True)
class Difference:
    """Log-likelihoods of one system less those of another, row by row, in nats.

    Attributes:
        value: The differences, (N,); NaN where both are -inf.
        low: The lower ends of their 95 % intervals, (N,).
        high: The upper ends, (N,).
        parts: The independent parts of the Monte Carlo error, for that of the sum.
    """

    value: Tensor
    low: Tensor
    high: Tensor
    parts: tuple[ErrorPart, ...]

    @classmethod
    def of(cls, first: LogLikelihood, second: LogLikelihood) -> "Difference":
        """The differences of two results; the ends of the intervals as for a conditional.

        The distances from the value to the ends add up in squares, the first's lower one with the
        second's upper one (Zou & Donner 2008, Statistics in Medicine 27).
        """
        value = first.value - second.value
        below = torch.hypot(first.value - first.low, second.high - second.value)
        above = torch.hypot(first.high - first.value, second.value - second.low)
        known = first.value.isfinite() & second.value.isfinite()
        return cls(
            value,
            torch.where(known, value - below, -math.inf),
            torch.where(known, value + above, math.inf),
            (*first.parts, *(part.turned() for part in second.parts)),
        )

    @property
    def undecided(self) -> Bool[Tensor, " N"]:
        """Whether the interval of a row holds 0, (N,)."""
        return (self.low < 0) & (self.high > 0)

    def sum(self) -> float:
        """The sum over rows."""
        return self.value.sum().item()

    def dse(self) -> float:
        """The standard error of the sum over rows (another test set): sqrt(N Var[value])."""
        return _error(self.value)

    def mcse(self) -> float:
        """The Monte Carlo error of the sum (other draws), from the rows' intervals.

        It is half the width of a 95 % interval of the sum, divided by 1.96: it counts what the
        tails of the weights hide, and that rows which hold the same share their draws. Infinite
        where nothing is known of a row.
        """
        if not bool(self.value.isfinite().all()):
            return math.inf
        return len(self.value) * sum(mean_interval(self.parts)) / (2 * NORMAL)


@dataclass(frozen=True)
class Comparison(Result):
    """Log-likelihoods of several systems on the same rows, the best first.

    The words are arviz's: ``elpd`` is the sum of log p over rows, ``se`` its standard error,
    ``elpd_diff`` the best system's elpd less this one's, ``dse`` its standard error, of the
    differences row by row, which is far smaller than ``se`` where the same rows are hard for both
    systems.

    Attributes:
        results: Name -> result, in falling order of elpd.
    """

    results: dict[str, LogLikelihood]

    @property
    def best(self) -> str:
        """The name of the system with the largest elpd."""
        return next(iter(self.results))

    @property
    def quantity(self) -> str:
        """The name of the quantity, such as ``log p(image | label)``."""
        return self.results[self.best].quantity

    def difference(self, first: str, second: str) -> Difference:
        """The first system's log-likelihoods less the second's, row by row.

        Raises:
            ValueError: For a name that is not compared.
        """
        for name in (first, second):
            if name not in self.results:
                raise ValueError(f"{name!r} is not compared; there are {', '.join(self.results)}.")
        return Difference.of(self.results[first], self.results[second])

    def unreliable(self, name: str) -> float:
        """The share of a system's rows with a Pareto k above 0.7."""
        return (self.results[name].pareto_k > RELIABLE_K).double().mean().item()

    def to_frame(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each system, as of ``arviz.compare``.

        Columns ``rank``, ``elpd``, ``se``, ``elpd_diff``, ``dse``, ``mcse`` (the Monte Carlo error
        of ``elpd_diff``), ``undecided`` (the share of rows whose interval of the difference holds
        0) and ``unreliable`` (the share of the system's own rows with a Pareto k above 0.7).
        """
        import pandas

        lines = [{k: v for k, v in line.items() if k != "name"} for line in self.lines()]
        return pandas.DataFrame(lines, index=list(self.results))

    def lines(self) -> list[dict[str, Any]]:
        """A dict for each system, with its ``name`` and the columns of :meth:`to_frame`."""
        return [self._line(name) for name in self.results]

    def numbers(self) -> Iterator[Number]:
        """Each system's elpd, its difference to the best with its Monte Carlo error, and shares."""
        first = self.results[self.best]
        target = ", ".join(first.target)
        for line in self.lines():
            name = line["name"]
            for measure, error in (("elpd", "se"), ("elpd_diff", "dse")):
                found = number(measure, line[measure], first.given, target, system=name)
                yield found | {"standard_error": line[error]}
            for measure in ("mcse", "undecided", "unreliable"):
                yield number(measure, line[measure], first.given, target, system=name)

    def table(self) -> Table:
        """A line for each system, for ``rich.print``; unreliable ones are grey."""
        rows = len(self.results[self.best].value)
        table = Table(
            title=f"{self.quantity}, sum over {rows} rows, nats",
            caption=escape(self._caption()),
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
            width=_WIDTH,
        )
        table.add_column("", overflow="fold", ratio=1)
        for heading in ("rank", "elpd", "se", "elpd_diff", "dse", "mcse", "undecided", "k>0.7"):
            table.add_column(heading, justify="right", no_wrap=True)
        for line in self.lines():
            name = line["name"]
            cells = [str(line["rank"]), *(_short(line[key]) for key in ("elpd", "se"))]
            if name == self.best:
                cells += [""] * 4
            else:
                cells += [_short(line[key]) for key in ("elpd_diff", "dse")]
                cells.append(self.error_over_draws(name))
                cells.append(f"{line['undecided']:.0%}")
            cells.append(f"{line['unreliable']:.1%}")
            grey = "bright_black" if line["unreliable"] > FEW else None
            table.add_row(escape(name), *cells, style=grey)
        return table

    def error_over_draws(self, name: str) -> str:
        """The ``mcse`` of a system's difference to the best, marked where rows are unreliable."""
        error = self.difference(self.best, name).mcse()
        return at_least(_short(error), self.unreliable(name), self.unreliable(self.best))

    def figure(self) -> "Figure":
        """Differences to the best system, see :func:`ppl_mm.plotting.paired_differences`."""
        return paired_differences(self)

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=_WIDTH, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get().rstrip()

    def _line(self, name: str) -> dict[str, Any]:
        own, difference = self.results[name], self.difference(self.best, name)
        first = name == self.best
        return {
            "name": name,
            "rank": list(self.results).index(name),
            "elpd": own.value.sum().item(),
            "se": _error(own.value),
            "elpd_diff": 0.0 if first else difference.sum(),
            "dse": 0.0 if first else difference.dse(),
            "mcse": 0.0 if first else difference.mcse(),
            "undecided": 1.0 if first else difference.undecided.double().mean().item(),
            "unreliable": self.unreliable(name),
        }

    def _caption(self) -> str:
        text = (
            f"elpd_diff: elpd of {self.best} less that of the line. dse: its standard error over "
            "rows. mcse: over draws. undecided: share of rows whose interval of the difference "
            "holds 0."
        )
        if any(self.unreliable(name) for name in self.results):
            text += f" ≥: the errors of rows with k > {RELIABLE_K} are not all in it."
        grey = [name for name in self.results if self.unreliable(name) > FEW]
        if grey:
            text += (
                f" In doubt, and grey: {', '.join(grey)} (k > {RELIABLE_K} in more than {FEW:.0%} "
                "of the rows); their elpd may be far off, mostly too low."
            )
        return text


@typed
def paired_differences(found: Comparison) -> "Figure":
    """Mean log-likelihoods a row, and their differences to the best system.

    On the left bars are standard errors over rows of each mean; on the right thin bars are those
    of the paired differences, thick ones their Monte Carlo error. Systems with a Pareto k above 0.7
    in more than 5 % of the rows are grey.

    Args:
        found: See :func:`ppl_mm.evaluation.compare`.
    """
    from ppl_mm.results.picture import Picture

    lines = found.to_frame()
    rows = len(found.results[found.best].value)
    figure = Picture(figsize=(7.2, 0.32 * len(lines) + 1.1), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for i, (_, line) in enumerate(lines.iterrows()):
        colour = GREY if line["unreliable"] > FEW else BLUE
        style = {"fmt": "o", "color": colour, "markersize": 4}
        left.errorbar(line["elpd"] / rows, i, xerr=line["se"] / rows, **style)
        right.errorbar(-line["elpd_diff"] / rows, i, xerr=line["dse"] / rows, **style)
        right.errorbar(
            -line["elpd_diff"] / rows, i, xerr=line["mcse"] / rows, linewidth=4, alpha=0.5, **style
        )
    left.set_yticks(range(len(lines)), list(lines.index))
    left.set(xlabel=f"{found.quantity}, nats a row", ylim=(len(lines) - 0.5, -0.5))
    right.set(xlabel=f"less that of {found.best}, nats a row")
    right.axvline(0.0, color="black", linewidth=0.8, linestyle="--")
    for axes in (left, right):
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if (lines["unreliable"] > FEW).any():
        figure.supxlabel(
            f"grey: Pareto k above {RELIABLE_K} in more than {FEW:.0%} of the rows",
            fontsize="small",
            color=GREY,
        )
    return figure


def _error(rows: Tensor) -> float:
    """The standard error of a sum over rows; NaN for one row, or where a row is not finite."""
    if len(rows) < 2 or not bool(rows.isfinite().all()):
        return math.nan
    return rows.std().item() * math.sqrt(len(rows))


def _short(value: float) -> str:
    """A number of nats in at most eight characters."""
    if not math.isfinite(value) or abs(value) < 1000:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 1e5 else f"{value:.0f}"
