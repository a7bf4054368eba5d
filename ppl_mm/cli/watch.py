"""The command ``ppl-mm watch``, which shows a run in progress from another terminal."""

import csv
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

__all__ = ["watch"]

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60
_SHOWN = 10  # The number of epochs in the table.


def watch(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that train writes.")],
    follow: Annotated[bool, typer.Option(help="Go on until the run ends.")] = True,
) -> None:
    """Show a run: who trains it, its last epochs, and the curve of each measure."""
    from ppl_mm.files.owned import owner

    if not folder.is_dir():
        raise ValueError(f"{folder}: no run here.")
    with Live(_shown(folder), console=Console(highlight=False), auto_refresh=False) as live:
        while follow and owner(folder):
            time.sleep(1)
            live.update(_shown(folder), refresh=True)
        live.update(_shown(folder), refresh=True)


def _shown(folder: Path) -> Group:
    from ppl_mm.files.owned import owner

    who, rows = owner(folder), _history(folder)
    state = "ended" if (folder / "system.safetensors").exists() else "stopped"
    if who:
        state = f"process {who.get('process')} on {who.get('host')} since {who.get('since')}"
    return Group(Text(f"{folder}: {state}, {len(rows)} epochs"), _table(rows), *_curves(rows))


def _history(folder: Path) -> list[dict[str, str]]:
    try:
        with (folder / "history.csv").open() as file:
            return list(csv.DictReader(file))
    except OSError:
        return []


def _table(rows: list[dict[str, str]]) -> Table:
    table = Table(*(rows[0] if rows else ()))
    for row in rows[-_SHOWN:]:
        table.add_row(*(f"{float(value):.6g}" if value else "" for value in row.values()))
    return table


def _curves(rows: list[dict[str, str]]) -> list[Text]:
    """Draw each measure over the epochs, between its smallest and its largest value."""
    found = []
    for name in rows[0] if rows else ():
        values = [float(row[name]) for row in rows if row[name]]
        if name not in ("epoch", "seconds") and len(values) > 1:
            few = [values[i * len(values) // _WIDTH] for i in range(_WIDTH)]
            few = few if len(values) > _WIDTH else values
            found.append(Text(f"{name:>20} {_curve(few)} {min(values):.6g} to {max(values):.6g}"))
    return found


def _curve(values: list[float]) -> str:
    low, high = min(values), max(values)
    size = (high - low) or 1.0
    return "".join(_BARS[round((v - low) / size * (len(_BARS) - 1))] for v in values)
