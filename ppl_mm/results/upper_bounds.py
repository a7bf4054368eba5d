"""Lower and approximate upper bounds on log-likelihoods of real rows: numbers and picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float
from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.sandwich import SIDES, Sandwich
from ppl_mm.results.style import PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["UpperBounds", "upper_bound_curves"]


@dataclass(frozen=True)
class UpperBounds(Result):
    """Bounds on the log-likelihood of real rows, beside those of rows simulated in their likeness.

    The upper bounds of real rows are approximate: their chains start at resampled draws and not at
    an exact draw of p(z | x). Simulated rows have both, so that one sees what the approximation
    does to them.

    Attributes:
        num_temperatures: T, S of them.
        lower: The lower bounds of the real rows, nats, (S, N).
        upper: Their approximate upper bounds, (S, N).
        lower_error: The Monte Carlo standard errors of the lower bounds, (S, N).
        upper_error: Those of the upper bounds, (S, N).
        simulated: The exact bounds of simulated rows.
        simulated_upper: Their approximate upper bounds, made as those of the real rows, (S, N').
    """

    num_temperatures: tuple[int, ...]
    lower: Tensor
    upper: Tensor
    lower_error: Tensor
    upper_error: Tensor
    simulated: Sandwich
    simulated_upper: Tensor

    @property
    def gap(self) -> Float[Tensor, "S N"]:
        """Approximate upper less lower bound of the real rows, nats, (S, N)."""
        return self.upper - self.lower

    @property
    def bias(self) -> Float[Tensor, "S n"]:
        """Approximate less exact upper bound of the simulated rows, nats, (S, N').

        Where it is below 0 on average, the approximate bounds of real rows are too low too.
        """
        return self.simulated_upper - self.simulated.upper

    def numbers(self) -> Iterator[Number]:
        """Means over rows, for every T: of the real rows, then of the simulated ones."""
        for s, t in enumerate(self.num_temperatures):
            for measure, rows in self._means(s).items():
                yield number(measure, Estimate.of(rows), temperatures=t)

    def table(self) -> Table:
        """Means over rows with their standard errors, a column for each T."""
        title = (
            f"{self.simulated.quantity} of {self.lower.shape[1]} rows, and of "
            f"{self.simulated.lower.shape[1]} simulated ones, nats a row"
        )
        table = Table("temperatures", title=title)
        for t in self.num_temperatures:
            table.add_column(str(t), justify="right")
        columns = [self._means(s) for s in range(len(self.num_temperatures))]
        for measure in columns[0]:
            table.add_row(measure, *(str(Estimate.of(column[measure])) for column in columns))
        return table

    def figure(self) -> "Figure":
        """The bounds against T, see :func:`ppl_mm.plotting.upper_bound_curves`."""
        return upper_bound_curves(self)

    def _means(self, s: int) -> dict[str, Tensor]:
        return {
            "lower bound": self.lower[s],
            "approximate upper bound": self.upper[s],
            "gap": self.gap[s],
            "gap of simulated rows": self.simulated.gap[s],
            "approximate less exact upper bound of simulated rows": self.bias[s],
        }


@typed
def upper_bound_curves(found: UpperBounds) -> "Figure":
    """Bounds against the number of temperatures: of real rows left, of simulated ones right.

    The approximate upper bounds are dashed. Bars are 2 standard errors of the gap, half to each
    side, as the rows themselves differ by far more.

    Args:
        found: See :func:`ppl_mm.evaluation.upper_bounds`.
    """
    from ppl_mm.results.picture import Picture

    simulated = found.simulated
    panels = {
        f"{found.lower.shape[1]} rows": (found.lower, None, found.upper),
        f"{simulated.lower.shape[1]} simulated rows": (
            simulated.lower,
            simulated.upper,
            found.simulated_upper,
        ),
    }
    figure = Picture(figsize=(7.4, 3.1), layout="constrained")
    for axes, (title, (lower, exact, approximate)) in zip(
        figure.subplots(1, 2), panels.items(), strict=True
    ):
        (_, blue), (_, orange) = SIDES
        for label, bound, colour, line in (
            ("lower", lower, blue, "-"),
            ("upper", exact, orange, "-"),
            ("approximate upper", approximate, orange, "--"),
        ):
            if bound is not None:
                errors = [Estimate.of(gap).standard_error for gap in bound - lower]
                axes.errorbar(
                    found.num_temperatures,
                    bound.mean(1).cpu(),
                    errors,
                    color=colour,
                    linestyle=line,
                    marker="o",
                    markersize=4,
                    label=label,
                )
        axes.set(title=title, xscale="log", xlabel="temperatures")
        axes.set_xticks(found.num_temperatures, [str(t) for t in found.num_temperatures])
        axes.minorticks_off()
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel(f"{simulated.quantity}, nats a row")
    figure.axes[1].legend(frameon=False, fontsize="small")
    return figure
