"""Numbers with their errors, whatever measure they are of."""

from matplotlib.figure import Figure

from ppl_mm.arguments.typed import typed
from ppl_mm.plotting.tiles import BLUE, PALE
from ppl_mm.results.result import Number, Result

__all__ = ["estimates"]

_LINE = 0.24  # inches


@typed
def estimates(found: Result) -> Figure:
    """Every number as a point with a bar of one standard error: a panel for each measure.

    Args:
        found: What any measure of :mod:`ppl_mm.evaluation` returned.
    """
    panels: dict[str, list[Number]] = {}
    for row in found.numbers():
        panels.setdefault(row["measure"], []).append(row)
    lines = [len(rows) for rows in panels.values()]
    height = _LINE * sum(lines) + 0.9 * len(panels)
    figure = Figure(figsize=(5.6, height), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=lines)[:, 0]
    for axes, (measure, rows) in zip(all_axes, panels.items(), strict=True):
        axes.errorbar(
            [row["value"] for row in rows],
            range(len(rows)),
            xerr=[row["standard_error"] for row in rows],
            fmt="o",
            color=BLUE,
            markersize=4,
        )
        axes.set_yticks(range(len(rows)), [_told(row) for row in rows])
        axes.set(title=measure, ylim=(len(rows) - 0.5, -0.5))
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _told(row: Number) -> str:
    """What a number is of: ``top + bottom → label``."""
    known = ("measure", "observed", "target", "value", "standard_error")
    more = [f"{key} {value}" for key, value in row.items() if key not in known]
    sides = [side for side in (row["observed"], row["target"]) if side]
    return ", ".join([" → ".join(sides), *more] if sides else more)
