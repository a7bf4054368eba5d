"""Lower and upper bounds on log-likelihoods by temperatures: numbers and picture."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float
from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import BLUE, ORANGE, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SIDES", "Sandwich", "sandwich_curves"]

SIDES = (("lower", BLUE), ("upper", ORANGE))
"""The bounds, and their colours."""


@dataclass(frozen=True)
class Sandwich(Result):
    """Bounds on the log-likelihood of simulated rows, for each number of temperatures.

    Attributes:
        num_temperatures: T, S of them.
        lower: log of the mean of K unbiased estimates of p(x), nats, (S, N): on average too low,
            and more than b nats too high with a probability below exp(-b).
        upper: minus the log of the mean of K unbiased estimates of 1 / p(x), (S, N): on average
            too high, and more than b nats too low with a probability below exp(-b).
        lower_error: The Monte Carlo errors of the lower bounds, nats, (S, N): half the width of a
            95 % interval, divided by 1.96; NaN for one chain.
        upper_error: Those of the upper bounds, (S, N).
        num_chains: K.
        target: The modalities scored.
        start: The start of the chains, "prior", "posterior" or "refined".
        obs: The simulated rows.
        latents: The latents that they were simulated from, site -> (N, *event).
    """

    num_temperatures: tuple[int, ...]
    lower: Tensor
    upper: Tensor
    lower_error: Tensor
    upper_error: Tensor
    num_chains: int
    target: tuple[str, ...]
    start: str
    obs: Observations
    latents: dict[str, Tensor]

    @property
    def gap(self) -> Float[Tensor, "S N"]:
        """Upper less lower, nats, (S, N): on average no less than 0."""
        return self.upper - self.lower

    @property
    def quantity(self) -> str:
        """The quantity that is bounded, such as ``log p(image, label)``."""
        return f"log p({', '.join(self.target)})"

    def table(self) -> Table:
        """Means over rows with their standard errors, a line a number of temperatures.

        The columns "chains" hold the Monte Carlo errors of the means of the bounds.
        """
        title = f"{self.quantity} of {self.lower.shape[1]} simulated rows, nats a row"
        table = Table("temperatures", title=title)
        for heading in ("lower bound", "chains", "upper bound", "chains", "gap"):
            table.add_column(heading, justify="right")
        for s, t in enumerate(self.num_temperatures):
            errors = [f"{self.monte_carlo_error(side)[s]:.3f}" for side, _ in SIDES]
            lower, upper, gap = (str(Estimate.of(x[s])) for x in (self.lower, self.upper, self.gap))
            table.add_row(str(t), lower, errors[0], upper, errors[1], gap)
        return table

    def monte_carlo_error(self, side: str) -> Float[Tensor, " S"]:
        """The Monte Carlo error of the mean over rows of the "lower" or "upper" bounds, (S,)."""
        error: Tensor = getattr(self, f"{side}_error")
        return error.square().sum(1).sqrt() / error.shape[1]

    def numbers(self) -> Iterator[Number]:
        """Means over rows: both bounds, the gap and Monte Carlo errors, for every T."""
        for s, t in enumerate(self.num_temperatures):
            for side in ("lower", "upper", "gap"):
                value = Estimate.of(getattr(self, side)[s])
                yield number(f"{side} bound" if side != "gap" else side, value, temperatures=t)
            for side, _ in SIDES:
                error = self.monte_carlo_error(side)[s]
                yield number(f"Monte Carlo error of the {side} bound", error, temperatures=t)

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
    from ppl_mm.results.picture import Picture

    if not panels:
        raise ValueError("sandwich_curves: expected at least one result, got none.")
    figure = Picture(figsize=(3.4 * len(panels) + 0.6, 2.9), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, result) in zip(all_axes, panels.items(), strict=True):
        error = [Estimate.of(gap).standard_error for gap in result.gap]
        for side, colour in SIDES:
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
