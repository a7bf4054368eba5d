"""The guide's posterior beside a Markov chain's."""

import torch
from matplotlib.figure import Figure

from ppl_mm.arguments.typed import typed
from ppl_mm.likelihood.posterior_check import PosteriorCheck
from ppl_mm.plotting.tiles import PALE

__all__ = ["posterior_intervals"]

_MOST_ROWS, _MOST_COORDINATES = 6, 12
_SIDES = (("NUTS", "#000000", -0.15), ("guide", "#D55E00", 0.15))


@typed
def posterior_intervals(check: PosteriorCheck) -> Figure:
    """Mean and two standard deviations of every coordinate: sites downwards, rows across.

    At most six rows and twelve coordinates are shown, the first.

    Args:
        check: See :func:`ppl_mm.likelihood.posterior_check`.
    """
    sites = list(check.guide)
    rows = min(_MOST_ROWS, next(iter(check.guide.values())).shape[1])
    figure = Figure(figsize=(1.9 * rows + 1.2, 1.9 * len(sites) + 0.6), layout="constrained")
    panels = figure.subplots(len(sites), rows, squeeze=False, sharey="row", sharex="row")
    for line, site in zip(panels, sites, strict=True):
        line[0].set_ylabel(site)
        for row, axes in enumerate(line):
            for (label, colour, aside), draws in zip(
                _SIDES, (check.exact[site].flatten(0, 1), check.guide[site]), strict=True
            ):
                own = draws[:, row, :_MOST_COORDINATES].cpu()
                at = torch.arange(own.shape[1]) + aside
                axes.errorbar(at, own.mean(0), 2 * own.std(0), color=colour, fmt=".", label=label)
            axes.grid(color=PALE, axis="y")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
    for row, axes in enumerate(panels[0]):
        axes.set_title(f"row {row}")
    for axes in panels[-1]:
        axes.set_xlabel("coordinate")
    panels[0][0].legend(frameon=False, fontsize="small")
    return figure
