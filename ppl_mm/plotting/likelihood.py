"""Log-likelihoods of rows with their intervals."""

from matplotlib.figure import Figure

from ppl_mm.arguments.typed import typed
from ppl_mm.likelihood.result import RELIABLE_K, LogLikelihood
from ppl_mm.plotting.tiles import PALE

__all__ = ["likelihood_intervals"]


@typed
def likelihood_intervals(result: LogLikelihood) -> Figure:
    """The estimate and 95 % interval of every row, in order; unreliable rows stand out.

    Args:
        result: See :func:`ppl_mm.log_likelihood`.
    """
    figure = Figure(figsize=(5.4, 3.0), layout="constrained")
    axes = figure.subplots()
    order = result.value.argsort()
    flagged = result.pareto_k[order] > RELIABLE_K
    kinds = (
        (~flagged, "#0072B2", f"Pareto k up to {RELIABLE_K}"),
        (flagged, "#D55E00", f"Pareto k above {RELIABLE_K}: off by an unknown amount"),
    )
    for chosen, colour, label in kinds:
        at = chosen.nonzero().squeeze(-1)
        if len(at):
            rows = order[at]
            value = result.value[rows]
            sides = [value - result.low[rows], result.high[rows] - value]
            axes.errorbar(
                at.cpu(),
                value.cpu(),
                [side.cpu() for side in sides],
                color=colour,
                fmt=".",
                markersize=3,
                linewidth=0.8,
                label=label,
            )
    axes.set(xlabel="rows, in order", ylabel=f"{result.quantity}, nats")
    axes.grid(color=PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    return figure
