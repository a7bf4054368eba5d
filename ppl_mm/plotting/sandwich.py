"""Bounds on log-likelihoods that close in on the truth."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from ppl_mm.arguments.typed import typed
from ppl_mm.likelihood.sandwich import Sandwich
from ppl_mm.plotting.tiles import PALE
from ppl_mm.results.estimate import Estimate

__all__ = ["sandwich_curves"]

_SIDES = (("lower", "#0072B2"), ("upper", "#D55E00"))


@typed
def sandwich_curves(panels: Mapping[str, Sandwich]) -> Figure:
    """Lower and upper bound against the number of temperatures, a panel a result.

    Means over simulated rows; bars are 2 standard errors of the gap, half to each side, as the
    rows themselves differ by far more.

    Args:
        panels: Title -> result, see :func:`ppl_mm.likelihood.sandwich`.

    Raises:
        ValueError: For no result.
    """
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
