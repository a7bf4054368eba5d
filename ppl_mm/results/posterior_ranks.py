"""Ranks of true latents among draws of a posterior: numbers, a test of uniformity, a picture."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import BLUE, ORANGE, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PosteriorRanks", "rank_curves"]

_LEVEL = 0.05
_MOST_BINS, _FEWEST_ROWS = 20, 5  # rows that a bin of the test expects


@dataclass(frozen=True)
class PosteriorRanks(Result):
    """Ranks of the latents that rows were simulated from, among draws of their posterior.

    If the draws are of p(z | x), every rank from 0 to L is equally likely.

    Attributes:
        ranks: The number of draws below the true value, (N, D), whole numbers from 0 to L.
        num_draws: The number L of draws.
        coordinates: The names of the D coordinates, such as ``z[0]``.
        given: The modalities conditioned on.
        draws: The source of the draws, "guide" or "refined".
    """

    ranks: Tensor
    num_draws: int
    coordinates: tuple[str, ...]
    given: tuple[str, ...]
    draws: str

    @property
    def num_bins(self) -> int:
        """The bins of the test: a divisor of L + 1, at most 20, that expects 5 rows in each."""
        most = max(1, min(_MOST_BINS, len(self.ranks) // _FEWEST_ROWS))
        return max(b for b in range(1, most + 1) if (self.num_draws + 1) % b == 0)

    def counts(self) -> Int[Tensor, "D bins"]:
        """The number of ranks in each bin, (D, bins)."""
        bins = self.ranks.long() * self.num_bins // (self.num_draws + 1)
        return torch.nn.functional.one_hot(bins, self.num_bins).sum(0)

    def p_values(self) -> Float[Tensor, " D"]:
        """The p-value of a chi-squared test that each coordinate's ranks are uniform, (D,)."""
        from scipy.stats import chisquare

        return torch.from_numpy(chisquare(self.counts().cpu().numpy(), axis=1).pvalue)

    def p_value(self) -> float:
        """The p-value of all coordinates together: D times the smallest, at most 1 (Bonferroni)."""
        return min(1.0, len(self.coordinates) * self.p_values().min().item())

    def width(self) -> Float[Tensor, " D"]:
        """The variance of the ranks over that of uniform ones, (D,).

        Above 1 the draws are too narrow (true values lie outside them), below 1 too wide.
        """
        share = (self.ranks.double() + 0.5) / (self.num_draws + 1)
        return 12.0 * (share - 0.5).square().mean(0) / (1.0 - (self.num_draws + 1) ** -2)

    def shift(self) -> Float[Tensor, " D"]:
        """The mean rank over L less a half, (D,): above 0 the draws are too small."""
        return self.ranks.double().mean(0) / self.num_draws - 0.5

    def numbers(self) -> Iterator[Number]:
        """Yield the p-value, width and shift of every coordinate."""
        found = {"p-value": self.p_values(), "width": self.width(), "shift": self.shift()}
        for measure, values in found.items():
            for name, value in zip(self.coordinates, values.tolist(), strict=True):
                yield number(measure, value, self.given, name)

    def table(self) -> Table:
        """A line for each coordinate, and what all of them say in the caption."""
        uniform = self.p_value() >= _LEVEL
        table = Table(
            "coordinate",
            title=f"{self.draws} draws of p(z | {', '.join(self.given) or 'nothing'}), ranks of "
            f"the truth in {len(self.ranks)} rows",
            caption=f"all together: p = {self.p_value():.2g}, "
            + ("as if uniform" if uniform else "not uniform: these are not draws of the posterior")
            + ". width: above 1 too narrow. shift: above 0 too small.",
            caption_justify="left",
        )
        for heading in ("p-value", "width", "shift"):
            table.add_column(heading, justify="right")
        columns = (self.p_values(), self.width(), self.shift())
        for name, p, width, shift in zip(
            self.coordinates, *(x.tolist() for x in columns), strict=True
        ):
            table.add_row(name, f"{p:.2g}", f"{width:.2f}", f"{shift:+.3f}")
        return table

    def figure(self) -> "Figure":
        """See :func:`ppl_mm.plotting.rank_curves`."""
        return rank_curves(self)


@typed
def rank_curves(found: PosteriorRanks) -> "Figure":
    """The difference of ranks from uniform ones: their histogram, and distribution functions.

    On the left all coordinates together; the dashed line is what uniform ranks give. On the right a
    curve for each coordinate, its distribution function less the uniform one; within the band are
    95 % of such curves (Dvoretzky, Kiefer & Wolfowitz). Coordinates that a chi-squared test finds
    not uniform at 5 % divided by their number stand out. Curves like a falling S belong to draws
    that are too wide, a rising one to draws that are too narrow.

    Args:
        found: See :func:`ppl_mm.evaluation.posterior_ranks`.
    """
    from ppl_mm.results.picture import Picture

    figure = Picture(figsize=(7.2, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = found.counts().double().mean(0).cpu()
    bins = torch.arange(found.num_bins) / found.num_bins
    left.bar(
        bins.numpy(),
        counts.numpy(),
        width=1 / found.num_bins,
        align="edge",
        color=BLUE,
        edgecolor="white",
    )
    left.axhline(len(found.ranks) / found.num_bins, color="black", linestyle="--", linewidth=0.8)
    left.set(xlabel="rank / draws", ylabel="rows, mean over coordinates", xlim=(0, 1))
    n = len(found.ranks)
    band = math.sqrt(math.log(2 / _LEVEL) / (2 * n))
    right.axhspan(-band, band, color=PALE)
    p = found.p_values()
    for d in range(found.ranks.shape[1]):
        x = ((found.ranks[:, d].double() + 0.5) / (found.num_draws + 1)).sort().values.cpu()
        off = bool(p[d] < _LEVEL / len(found.coordinates))
        style = {"color": ORANGE if off else BLUE, "linewidth": 1.2 if off else 0.6}
        label = f"{found.coordinates[d]} (p = {p[d]:.1g})" if off else None
        right.step(
            x.numpy(), ((torch.arange(n) + 0.5) / n - x).numpy(), where="mid", label=label, **style
        )
    right.set(xlabel="rank / draws", ylabel="share of rows below, less rank", xlim=(0, 1))
    if 0 < int((p < _LEVEL / len(p)).sum()) <= 4:
        right.legend(loc="upper right", frameon=False, fontsize="small")
    figure.suptitle(f"{found.draws} draws: p = {found.p_value():.2g}", fontsize="medium")
    for axes in (left, right):
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
