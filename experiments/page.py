"""The head of a page: what the paper claims, what ours show, and how its runs differ from them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ppl_mm.arguments.wording import counted
from ppl_mm.experiments.findings import claims
from ppl_mm.experiments.options import lacks
from ppl_mm.experiments.tables import Record, composed, table, trained
from ppl_mm.runs.records import PLACES

if TYPE_CHECKING:
    from ppl_mm.experiments.reproduction import Table

__all__ = ["differences", "head"]

Config = Any

_SHOWN = 6  # The number of values of an option that a cell shows.


def head(
    page: "Table", name: str, scale: str, runs: Sequence[Config], records: Sequence[Record]
) -> list[str]:
    """Return the first lines of a page.

    Args:
        page: The table or figure.
        name: Its name, by which the paper's findings know it.
        scale: The scale of the runs.
        runs: The runs that were asked for.
        records: Their records, as far as they were made.
    """
    names = " and ".join(page.data)
    theirs = page.stands_in or (f"the published files of {names}" if composed(records) else "")
    lines = [f"# {page.title}\n"]
    if theirs:
        lines.append(
            f"**This page is a stand-in.** The paper's is of {theirs}; this one is of "
            f"{names if page.stands_in else f'{names} composed anew'}. No number below compares "
            "with the paper's.\n"
        )
    origins = sorted({r["data"] for r in records if r.get("data")})
    lines += [f"Data: {'; '.join(origins)}.\n"] if origins else []
    known = claims(page.experiment.__name__.split(".")[2], name)
    if known:
        said = f"the paper says of {theirs}" if theirs else "the paper says"
        columns = [said, "our recorded runs show", "records in experiments/results"]
        lines += ["## What the paper claims\n", *table([columns, *known])]
    return [*lines, *_how_far(page, scale, runs), *_how_trained(records)]


def _how_far(page: "Table", scale: str, runs: Sequence[Config]) -> list[str]:
    found = differences(runs, page.paper)
    seeds = [str(seed) for seed in sorted({run.seed for run in runs})]
    of_seeds = f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}"
    number = f"{counted(len(runs), 'run')} ({of_seeds})"
    if not found:
        return [f"The numbers below are of {number} with the paper's settings.\n"]
    only = ", which show that the page can be made and nothing else" if scale == "smoke" else ""
    return [
        f"The numbers below are of {number} at the scale *{scale}*{only}. The paper has "
        f"{len(page.paper)}:\n",
        *table([["option", "these runs", "the paper"], *found]),
    ]


def _how_trained(records: Sequence[Record]) -> list[str]:
    """Say in which precision the runs trained, and by which steps."""
    found = Counter(trained(r) for r in records if "precision" in r.get("config", {}))
    told = "; ".join(f"{counted(number, 'run')} {how}" for how, number in found.items())
    return [f"Training: {told}.\n"] if told else []


def differences(runs: Sequence[Config], paper: Sequence[Config]) -> list[list[str]]:
    """Return a row for each option whose values differ: its name, ours and the paper's.

    Example:
        >>> from ppl_mm.experiments.svae import Config
        >>> differences([Config(epochs=3, seed=1)], [Config(), Config(supervision=0.1)])
        [['epochs', '3', '200'], ['supervision', '1.0', '0.1, 1.0']]
    """
    rows = []
    for field in fields(runs[0]):
        if field.name not in ("seed", *PLACES):
            ours, theirs = (
                {getattr(r, field.name) for r in many if not lacks(r, field.name)}
                for many in (runs, paper)
            )
            if ours != theirs:
                rows.append([field.name.replace("_", " "), _values(ours), _values(theirs)])
    return rows


def _values(found: set[Any]) -> str:
    """Return the values in order, or the ends of many."""
    numbers = all(isinstance(value, int | float) for value in found)
    told = [str(v) for v in (sorted(found) if numbers else sorted(found, key=str))]
    told = ["all" if v == "None" else v or "none" for v in told]
    return ", ".join(told) if len(told) <= _SHOWN else f"{told[0]} to {told[-1]} ({len(told)})"
