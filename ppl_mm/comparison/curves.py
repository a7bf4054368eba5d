"""Curves of measures against the share of missing values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ppl_mm.comparison.summary import Block, is_share
from ppl_mm.results.style import COLOURS, MARKS, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curve"]


def curve(blocks: Sequence[Block], measure: str) -> "Figure":
    """Draw a curve of one measure with its standard errors for each system.

    A system has the same colour in every figure. The marks of doubtful estimates are hollow.
    """
    from ppl_mm.results.picture import Picture

    names = list(dict.fromkeys(name for block in blocks for name in block.systems))
    figure = Picture(figsize=(4.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, name in enumerate(names):
        points = [(b.missing, b.entries[measure, name]) for b in blocks if name in b.row(measure)]
        if points:
            colour, mark = COLOURS[i % 7], MARKS[(i + i // 7) % 7]
            for share, entry in points:
                face = "white" if entry.doubtful else colour
                axes.plot(share, entry.mean, mark, color=colour, markerfacecolor=face, zorder=3)
            axes.errorbar(
                [share for share, _ in points],
                [entry.mean for _, entry in points],
                [entry.standard_error or 0 for _, entry in points],
                label=name,
                color=colour,
                marker=mark,
                capsize=3,
            )
    unit = "share" if is_share(measure) else "nats a row"
    axes.set(xlabel="share of training values missing", ylabel=unit, title=measure)
    axes.set_xticks([block.missing for block in blocks])
    axes.grid(color=PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    columns = min(3, len(names))
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False
    )
    return figure
