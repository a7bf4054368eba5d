"""Bounds on log-likelihoods that close in on the truth: numbers and picture."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import BLUE, ORANGE, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Sandwich", "sandwich_curves"]

_SIDES = (("lower", BLUE), ("upper", ORANGE))


@dataclass(frozen=True)
class Sandwich(Result):
    """Bounds on the log-likelihood of simulated rows, for each number of temperatures.

    Attributes:
        num_temperatures: T, S of them.
        lower: log of the mean of K unbiased estimates of p(x), nats, (S, N): on average too low,
            and more than b nats too high with a probability below exp(-b).
        upper: minus the log of the mean of K unbiased estimates of 1 / p(x), (S, N): on average
            too high, and more than b nats too low with a probability below exp(-b).
        num_chains: K.
        target: The modalities scored.
        start: Where chains start, "prior" or "posterior".
        obs: The simulated rows.
        latents: What they were simulated from, site -> (N, *event).
    """

    num_temperatures: tuple[int, ...]
    lower: Tensor
    upper: Tensor
    num_chains: int
    target: tuple[str, ...]
    start: str
    obs: Observations
    latents: dict[str, Tensor]

    @property
    def gap(self) -> Tensor:
        """Upper less lower, nats, (S, N): on average no less than 0."""
        return self.upper - self.lower

    @property
    def quantity(self) -> str:
        """What is bounded, such as ``log p(image, label)``."""
        return f"log p({', '.join(self.target)})"

    def table(self) -> Table:
        """Means over rows with their standard errors, a line a number of temperatures."""
        title = f"{self.quantity} of {self.lower.shape[1]} simulated rows, nats a row"
        table = Table("temperatures", title=title)
        for heading in ("lower bound", "upper bound", "gap"):
            table.add_column(heading, justify="right")
        for t, *rows in zip(self.num_temperatures, self.lower, self.upper, self.gap, strict=True):
            table.add_row(str(t), *(str(Estimate.of(row)) for row in rows))
        return table

    def numbers(self) -> Iterator[Number]:
        """Means over rows: both bounds and the gap, for each number of temperatures."""
        for s, t in enumerate(self.num_temperatures):
            for side in ("lower", "upper", "gap"):
                value = Estimate.of(getattr(self, side)[s])
                yield number(f"{side} bound" if side != "gap" else side, value, temperatures=t)

    def figure(self) -> "Figure":
        """Both bounds against the number of temperatures."""
        return sandwich_curves({self.quantity: self})


@typed
def sandwich_curves(panels: Mapping[str, Sandwich]) -> "Figure":
    """Lower and upper bound against the number of temperatures, a panel a result.

    Means over simulated rows; bars are 2 standard errors of the gap, half to each side, as the
    rows themselves differ by far more.

    Args:
        panels: Title -> result, see :func:`ppl_mm.evaluation.sandwich`.

    Raises:
        ValueError: For no result.
    """
    from matplotlib.figure import Figure

    if not panels:
        raise ValueError("sandwich_curves: expected at least one result, got none.")
    figure = Figure(figsize=(3.4 * len(panels) + 0.6, 2.9), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, result) in zip(all_axes, panels.items(), strict=True):
        error = [Estimate.of(gap).standard_error for gap in result.gap]
        for side, colour in _SIDES:
            mean = getattr(result, side).mean(1).cpu().numpy()
            axes.errorbar(
                result.num_temperatures, mean, error, color=colour, marker="o", label=side
            )
        axes.set(title=title, xscale="log", xlabel="temperatures")
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("log-likelihood, nats a row")
    all_axes[0].legend(frameon=False)
    return figure
