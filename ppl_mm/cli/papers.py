"""The lists of ``ppl-mm reproduce``: the papers, or a paper's tables with data and cost."""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from ppl_mm.cli import listing
from ppl_mm.experiments import papers, reproduction

__all__ = ["pages_list"]


def pages_list(paper: str | None) -> str:
    """Return a line for each paper, or for each table of a paper, below the data it needs."""
    if paper is None:
        return _papers()
    groups: dict[str, list[tuple[str, ...]]] = {}
    for name, table in papers.of(paper)[paper].items():
        missing = reproduction.missing_data(table)
        needs = ", ".join(f"{d}*" if d in missing else d for d in table.data)
        cost = (_of_both(table, len), _of_both(table, _epochs))
        groups.setdefault(needs or "no data", []).append((name, *cost, table.title))
    blocks = []
    for needs, rows in groups.items():
        heading = (f"needs {needs}", "runs", "epochs", "what it shows")
        blocks.append(_block(heading, rows))
    caption = (
        "runs, epochs: in all, at --scale short / paper\n* not here yet: ppl-mm data list\n"
        f"ppl-mm reproduce {paper} --scale smoke makes all whose data are here"
    )
    return "\n\n".join([*blocks, caption])


def _papers() -> str:
    rows = []
    for name, tables in papers.of().items():
        ready = sum(not reproduction.missing_data(table) for table in tables.values())
        rows.append((name, str(len(tables)), str(ready), papers.about(name)))
    heading = ("paper", "pages", "data here", "what it is")
    return listing.table(heading, rows, "ppl-mm reproduce PAPER lists the pages of a paper")


def _block(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    needs, *columns = heading
    lines = [(f"  {page}", *cells) for page, *cells in rows]
    return f"{textwrap.fill(needs, listing.width())}\n{listing.table(('  page', *columns), lines)}"


def _of_both(table: reproduction.Table, count: Callable[[Sequence[Any]], int]) -> str:
    return f"{count(table.short):,}/{count(table.paper):,}"


def _epochs(runs: Sequence[Any]) -> int:
    return sum(getattr(run, "epochs", 0) for run in runs)
