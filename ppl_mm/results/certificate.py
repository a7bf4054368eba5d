"""The coverage of log-likelihoods' intervals on simulated rows: numbers and picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.log_likelihood import LogLikelihood
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.sandwich import Sandwich
from ppl_mm.results.style import BLUE, GREY, ORANGE, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Certificate", "certified_intervals"]

_LEVEL = 0.95
_NORMAL = 1.959964  # 97.5 % quantile
_ERRORS = 2.0  # standard errors of the chains that the bounds are widened by


@dataclass(frozen=True)
class Certificate(Result):
    """Estimates of log p of simulated rows beside exact bounds from both sides.

    Attributes:
        estimate: The estimates and their 95 % intervals.
        bounds: Exact bounds of the same rows, for one number of temperatures.
    """

    estimate: LogLikelihood
    bounds: Sandwich

    @property
    def middle(self) -> Float[Tensor, " N"]:
        """The middle of the two bounds, nats, (N,): it stands for the truth."""
        return 0.5 * (self.bounds.lower[0] + self.bounds.upper[0])

    @property
    def middle_error(self) -> Float[Tensor, " N"]:
        """The Monte Carlo standard error of the middle, nats, (N,)."""
        return 0.5 * torch.hypot(self.bounds.lower_error[0], self.bounds.upper_error[0])

    @property
    def holds(self) -> Bool[Tensor, " N"]:
        """Whether a row's interval holds the middle of the bounds, (N,).

        Its sides and the middle's own error add up in squares: the middle is an estimate too, and
        where its error is the larger, an interval that is right would often miss it.
        """
        return (self.error <= self.sides[0]) & (-self.error <= self.sides[1])

    @property
    def sides(self) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """The distances below and above the estimate within which the middle is held, (N,) each."""
        own = (self.estimate.value - self.estimate.low, self.estimate.high - self.estimate.value)
        below, above = (torch.hypot(side, _NORMAL * self.middle_error) for side in own)
        return below, above

    @property
    def range(self) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """The range of the truth: the bounds, widened by twice their errors, (N,) each."""
        lower = self.bounds.lower[0] - _ERRORS * self.bounds.lower_error[0]
        upper = self.bounds.upper[0] + _ERRORS * self.bounds.upper_error[0]
        return torch.minimum(lower, upper), torch.maximum(lower, upper)

    @property
    def certain(self) -> Bool[Tensor, " N"]:
        """Whether the whole range of the truth is within a row's interval, (N,)."""
        lower, upper = self.range
        return (self.estimate.low <= lower) & (upper <= self.estimate.high)

    @property
    def contradicted(self) -> Bool[Tensor, " N"]:
        """Whether a row's interval and the range of the truth have nothing in common, (N,)."""
        lower, upper = self.range
        return (self.estimate.high < lower) | (self.estimate.low > upper)

    @property
    def error(self) -> Float[Tensor, " N"]:
        """The estimate less the middle of the bounds, nats, (N,)."""
        return self.estimate.value - self.middle

    def expected(self) -> tuple[int, int]:
        """The number of intervals that hold in 95 of 100 samples, if each does with 95 %."""
        from scipy.stats import binom

        n = len(self.holds)
        return int(binom.ppf(0.025, n, _LEVEL)), int(binom.ppf(0.975, n, _LEVEL))

    def numbers(self) -> Iterator[Number]:
        """Shares of rows, then the mean error and the mean gap of the bounds, nats."""
        given, target = self.estimate.given, ", ".join(self.estimate.target)
        for measure in ("holds", "certain", "contradicted", "error"):
            yield number(measure, Estimate.of(getattr(self, measure)), given, target)
        yield number("gap", Estimate.of(self.bounds.gap[0]), given, target)

    def figure(self) -> "Figure":
        """See :func:`ppl_mm.plotting.certified_intervals`."""
        return certified_intervals(self)

    def __str__(self) -> str:
        holds, n = int(self.holds.sum()), len(self.holds)
        low, high = self.expected()
        certain, contradicted = int(self.certain.sum()), int(self.contradicted.sum())
        unreliable = len(self.estimate.unreliable)
        gap, error = Estimate.of(self.bounds.gap[0]), Estimate.of(self.error)
        return "\n".join(
            (
                f"{self.estimate.quantity}: intervals hold in {holds} of {n} simulated rows "
                f"({low} to {high} expected)",
                f"  certainly in {certain}, certainly not in {contradicted}; the exact bounds are "
                f"{gap} nats apart",
                f"  the estimates are {error} nats from the middle of the bounds; Pareto k above "
                f"0.7 in {unreliable} rows",
            )
        )


@typed
def certified_intervals(found: Certificate) -> "Figure":
    """Every row's interval, and the range of the truth, less the middle of the exact bounds.

    Rows are in the order of their errors. Intervals that do not hold the middle stand out; their
    sides count its error too. The grey bars are where the truth is.

    Args:
        found: See :func:`ppl_mm.evaluation.certify`.
    """
    from ppl_mm.results.picture import Picture

    figure = Picture(figsize=(5.8, 3.2), layout="constrained")
    axes = figure.subplots()
    order = found.error.argsort()
    lower, upper = (side[order] - found.middle[order] for side in found.range)
    at = torch.arange(len(order))
    axes.vlines(at, lower.cpu(), upper.cpu(), color=GREY, linewidth=3, alpha=0.5, label="truth")
    holds, error = found.holds[order], found.error[order]
    below, above = (side[order] for side in found.sides)
    for chosen, colour, label in (
        (holds, BLUE, "interval holds"),
        (~holds, ORANGE, "interval does not hold"),
    ):
        rows = chosen.nonzero().squeeze(-1).cpu()
        if len(rows):
            sides = [below[rows].cpu(), above[rows].cpu()]
            axes.errorbar(
                rows,
                error[rows].cpu(),
                sides,
                color=colour,
                fmt=".",
                markersize=3,
                linewidth=0.8,
                label=label,
            )
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set(xlabel="simulated rows, in order", ylabel="nats from the middle of the bounds")
    axes.set_title(f"{found.estimate.quantity}: {int(found.holds.sum())} of {len(order)} hold")
    axes.grid(color=PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure
