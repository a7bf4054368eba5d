"""The files of a comparison: ``report.html``, ``table.md`` and ``table.csv``."""

from collections.abc import Sequence
from pathlib import Path

from ppl_mm.arguments.typed import typed
from ppl_mm.comparison.page import page
from ppl_mm.comparison.summary import Block, summarise, to_csv, to_markdown
from ppl_mm.comparison.trials import Outcome
from ppl_mm.files import write_atomically

__all__ = ["write"]


@typed
def write(folder: str | Path, outcomes: Sequence[Outcome], command: str = "") -> list[Block]:
    """Write the page and the tables of the finished trials, and return the tables.

    Args:
        folder: The folder to write to.
        outcomes: The outcomes of all trials.
        command: The command that repeats the comparison, which the page shows.
    """
    blocks = summarise(outcomes)
    contents = {
        "report.html": page(outcomes, blocks, command),
        "table.md": to_markdown(blocks),
        "table.csv": to_csv(blocks),
    }
    for name, text in contents.items():
        write_atomically(Path(folder) / name, text.encode())
    return blocks
