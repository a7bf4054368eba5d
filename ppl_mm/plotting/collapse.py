"""Curves of collapse, of several systems side by side.

Source: Mancisidor et al. 2023 (CMMD), doi:10.1016/j.neunet.2023.10.048, figure 3.
"""

from collections.abc import Mapping

from matplotlib.figure import Figure

from ppl_mm.arguments.typed import typed
from ppl_mm.measures.collapse import Collapse
from ppl_mm.plotting.curves import COLOURS
from ppl_mm.plotting.tiles import PALE

__all__ = ["collapse_curves"]

_DASHES = ("-", "--", "-.", ":")


@typed
def collapse_curves(panels: Mapping[str, Mapping[str, Collapse]]) -> Figure:
    """The share of collapsed coordinates against epsilon: a panel a question, a curve a system.

    A system has the same colour in every panel, and need not be in all.

    Args:
        panels: Title -> system's name -> its curve, see
            :func:`ppl_mm.evaluation.posterior_collapse`.

    Raises:
        ValueError: For no panel, or one without curves.
    """
    if not panels or not all(panels.values()):
        raise ValueError("collapse_curves: expected panels with curves, got none.")
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    figure = Figure(figsize=(3.1 * len(panels) + 1.4, 2.9), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    lines = {}
    for axes, (title, curves) in zip(all_axes, panels.items(), strict=True):
        for name, curve in curves.items():
            i = names.index(name)
            (lines[name],) = axes.plot(
                curve.epsilons.cpu().numpy(),
                100 * curve.fractions.cpu().numpy(),
                label=name,
                color=COLOURS[i % len(COLOURS)],
                linestyle=_DASHES[i // len(COLOURS) % len(_DASHES)],
            )
        axes.set(title=title, xlabel="epsilon", ylim=(-3, 103))
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("collapsed coordinates, %")
    figure.legend([lines[n] for n in names], names, loc="outside right center", frameon=False)
    return figure
