"""The command ``ppl-mm watch``, which shows a run in progress from another terminal."""

import math
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ppl_mm.arguments.wording import counted

__all__ = ["watch"]

_BARS = "▁▂▃▄▅▆▇█"
_LONGEST = 28  # The largest number of characters of a measure's name.
_RANGE = 26  # The space for a measure's smallest and largest value.
_SHOWN = 10  # The number of epochs in the table.


def watch(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that train writes.")],
    follow: Annotated[bool, typer.Option(help="Go on until the run ends.")] = True,
) -> None:
    """Show a run: who trains it, its last epochs, and the curve of each measure."""
    from ppl_mm.files.owned import at_work

    console = Console(highlight=False)
    if not folder.is_dir() and not at_work(folder):
        raise ValueError(f"{folder}: no run here.")
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while follow and at_work(folder):
            live.update(_shown(folder, console.width), refresh=True)
            time.sleep(1)
        live.vertical_overflow = "visible"
        live.update(_shown(folder, console.width), refresh=True)


def _shown(folder: Path, width: int) -> Group:
    from ppl_mm.files.owned import at_work
    from ppl_mm.runs.folder import read_history

    who, rows = at_work(folder), read_history(folder)
    state = "ended" if (folder / "system.safetensors").exists() else "stopped"
    if who:
        state = f"process {who.get('process')} on {who.get('host')} since {who.get('since')}"
    head = Text(f"{folder}: {state}, {counted(len(rows), 'epoch')}")
    return Group(head, _table(rows), *_curves(rows, width))


def _table(rows: list[dict[str, float]]) -> Table:
    """Return the last epochs, without the parts of the loss."""
    names = [name for name in (rows[0] if rows else ()) if "/" not in name]
    table = Table(*map(escape, names))
    for row in rows[-_SHOWN:]:
        table.add_row(*(f"{row[name]:.6g}" if name in row else "" for name in names))
    return table


def _curves(rows: list[dict[str, float]], width: int) -> list[Text]:
    """Draw each measure over the epochs, between its smallest and its largest value."""
    names = [name for name in (rows[-1] if rows else ()) if name not in ("epoch", "seconds")]
    longest = min(max(map(len, names), default=0), _LONGEST)
    columns = max(10, width - longest - _RANGE)
    found = []
    for name in names:
        values = [row[name] for row in rows if name in row]
        if len(values) > columns:
            values = [values[i * len(values) // columns] for i in range(columns)]
        known = [value for value in values if math.isfinite(value)]
        if len(values) > 1 and known:
            title = name if len(name) <= longest else name[: longest - 1] + "…"
            limits = f"{min(known):.6g} to {max(known):.6g}"
            found.append(Text(f"{title:>{longest}} {_curve(values)} {limits}", overflow="ellipsis"))
    return found


def _curve(values: list[float]) -> str:
    """Return a bar for each value, and a space for one that is not finite; one must be."""
    known = [v for v in values if math.isfinite(v)]
    low, high = min(known), max(known)
    size = (high - low) or 1.0
    heights = {v: _BARS[round((v - low) / size * (len(_BARS) - 1))] for v in known}
    return "".join(heights.get(v, " ") for v in values)
