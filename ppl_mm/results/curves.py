"""Estimates with their errors against a number: a panel for each measure, a curve for each name."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ppl_mm.arguments.typed import typed
from ppl_mm.results.style import COLOURS, MARKS, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Panels", "error_curves"]

_ABREAST = 4  # panels

Panels = Mapping[str, Mapping[str, Sequence[tuple[float, float, Any]]]]
"""Title of a panel -> name of a curve -> points (x, value, error); NaN for an unknown error."""


@typed
def error_curves(
    panels: Panels,
    *,
    xlabel: str | Mapping[str, str],
    ylabel: str = "",
    beside: Panels | None = None,
    logarithmic: bool = False,
) -> "Figure":
    """A curve for each name, with error bars; a name has the same colour in every panel.

    Args:
        panels: The curves to draw; a curve need not be in all panels. Points in any order.
        xlabel: The label of the x axis of all panels, or title of a panel -> its label.
        ylabel: The label of the y axis of the first panel.
        beside: Curves to draw dashed, in the colour of that name, such as published ones; of
            panels and names that ``panels`` has.
        logarithmic: Whether x is.

    Raises:
        ValueError: For no panel, or one without points.

    Example:
        >>> points = [(0.1, 0.62, 0.02), (1.0, 0.85, 0.01)]
        >>> figure = error_curves({"accuracy": {"MVAE": points}}, xlabel="share of pairs")
        >>> [axes.get_title() for axes in figure.axes]
        ['accuracy']
    """
    from matplotlib.ticker import MaxNLocator

    from ppl_mm.results.picture import Picture

    if not panels or not all(any(curves.values()) for curves in panels.values()):
        raise ValueError("error_curves: expected panels with points, got none.")
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    columns = min(len(panels), _ABREAST)
    rows = -(-len(panels) // columns)
    figure = Picture(figsize=(3.1 * columns + 1.6, 3.1 * rows), layout="constrained")
    all_axes = [figure.add_subplot(rows, columns, i + 1) for i in range(len(panels))]
    handles: dict[str, Any] = {}
    for axes, (title, curves) in zip(all_axes, panels.items(), strict=True):
        published = (beside or {}).get(title, {})
        for name, points in curves.items():
            i = names.index(name)
            style: dict[str, Any] = {"color": COLOURS[i % 7], "marker": MARKS[(i + i // 7) % 7]}
            x, values, errors = zip(*sorted(points), strict=True)
            handles[name] = axes.errorbar(x, values, errors, markersize=5, capsize=3, **style)
            if name in published:
                x, values, _ = zip(*sorted(published[name]), strict=True)
                axes.plot(x, values, "--", markersize=4, markerfacecolor="white", lw=1, **style)
        axes.set(title=title, xlabel=xlabel if isinstance(xlabel, str) else xlabel[title])
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        elif all(float(x).is_integer() for points in curves.values() for x, _, _ in points):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel(ylabel)
    figure.legend(
        [handles[n] for n in names], names, loc="outside right center", frameon=False, fontsize=9
    )
    return figure
