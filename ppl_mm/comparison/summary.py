"""The measures of a comparison's trials: a table for each share of missing values."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from ppl_mm.arguments.typed import typed
from ppl_mm.comparison.trials import Outcome
from ppl_mm.results.comparison import FEW
from ppl_mm.runs.measures import Measures

__all__ = ["Block", "Entry", "is_share", "summarise", "to_csv", "to_markdown"]


@dataclass(frozen=True)
class Entry:
    """The value of a measure for one system at one share of missing values.

    Attributes:
        mean: The mean over the finished seeds of the means over test rows.
        standard_error: The standard error of ``mean`` over seeds, or over test rows if only one
            seed is finished; None if there is only one seed and one row.
        seeds: The number of finished seeds.
        planned: The number of seeds of the comparison.
        monte_carlo_error: The standard error of ``mean`` over draws; None for a measure that is not
            a log-likelihood.
        unreliable: The share of test rows, averaged over seeds, whose log-likelihood is off by an
            unknown amount (Pareto k above 0.7); None if it is not known.
    """

    mean: float
    standard_error: float | None
    seeds: int
    planned: int
    monte_carlo_error: float | None = None
    unreliable: float | None = None

    @property
    def over(self) -> str:
        """The units that the standard error is over, seeds or test rows."""
        return "seeds" if self.seeds > 1 else "test rows"

    @property
    def doubtful(self) -> bool:
        """Whether the estimate is off by an unknown amount in many rows."""
        return self.unreliable is not None and self.unreliable > FEW

    def text(self, decimals: int) -> str:
        """Write the mean and its standard error."""
        error = "" if self.standard_error is None else f" ± {self.standard_error:.{decimals}f}"
        return f"{self.mean:.{decimals}f}{error}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Block:
    """The table of one share of missing values.

    Attributes:
        missing: The share of missing values.
        systems: The systems, which are the columns.
        measures: The measures, which are the rows; larger values are better.
        entries: (measure, system) -> entry, for those that were measured.
    """

    missing: float
    systems: tuple[str, ...]
    measures: tuple[str, ...]
    entries: dict[tuple[str, str], Entry]

    def row(self, measure: str) -> dict[str, Entry]:
        """Return system -> entry of a measure."""
        return {s: self.entries[measure, s] for s in self.systems if (measure, s) in self.entries}

    def decimals(self, measure: str) -> int:
        """Return the number of decimals, at most 3, that shows two digits of the smallest error."""
        errors = [e.standard_error for e in self.row(measure).values() if e.standard_error]
        return min(3, max(0, 1 - math.floor(math.log10(min(errors))))) if errors else 3

    def best(self, measure: str) -> str | None:
        """Return the system whose lead over every other exceeds both standard errors, or None.

        The two standard errors are added. No system leads if an estimate is doubtful, or if seeds
        are missing or have failed.
        """
        row = self.row(measure)
        if len(row) < 2 or any(e.seeds < e.planned for e in row.values()):
            return None
        first = max(row, key=lambda name: row[name].mean)
        others = [entry for name, entry in row.items() if name != first]
        return first if all(_leads(row[first], other) for other in others) else None


@typed
def summarise(outcomes: Iterable[Outcome]) -> list[Block]:
    """Summarise the trials in one block for each share of missing values, in their order."""
    groups: dict[float, dict[str, list[Outcome]]] = {}
    for outcome in outcomes:
        config = outcome.trial.config
        groups.setdefault(config.missing, {}).setdefault(config.system, []).append(outcome)
    return [_block(missing, of_system) for missing, of_system in groups.items()]


def to_markdown(blocks: Sequence[Block]) -> str:
    """Write the tables in Markdown, with the best value in bold."""
    lines = []
    for block in blocks:
        lines += [f"missing {block.missing:g}", ""]
        lines.append("| measure | " + " | ".join(block.systems) + " |")
        lines.append("|---" + "|---:" * len(block.systems) + "|")
        for measure in block.measures:
            best, row = block.best(measure), block.row(measure)
            texts = [_cell(row.get(s), block.decimals(measure), s == best) for s in block.systems]
            name = measure.replace("|", "\\|")
            lines.append(f"| {name} | " + " | ".join(texts) + " |")
        lines.append("")
    return "\n".join(lines)


def to_csv(blocks: Sequence[Block]) -> str:
    """Write the entries as CSV, one a line, with all digits."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    columns = ("mean", "standard_error", "over", "seeds", "monte_carlo_error", "unreliable")
    writer.writerow(("missing", "system", "measure", *columns))
    for block in blocks:
        for (measure, system), entry in block.entries.items():
            values = [getattr(entry, name) for name in columns]
            writer.writerow((f"{block.missing:g}", system, measure, *values))
    return file.getvalue()


def _block(missing: float, of_system: dict[str, list[Outcome]]) -> Block:
    entries = {}
    for system, outcomes in of_system.items():
        values: dict[str, list[_Value]] = {}
        for outcome in outcomes:
            if outcome.measures is not None:
                for name, value in _values(outcome.measures):
                    values.setdefault(name, []).append(value)
        for name, found in values.items():
            entries[name, system] = _entry(found, len(outcomes))
    measures = sorted(dict.fromkeys(name for name, _ in entries), key=_kind)
    return Block(missing, tuple(of_system), tuple(measures), entries)


_Value = tuple[float, float | None, float | None, float | None]
"""The mean, its standard error over rows, its Monte Carlo error, the share of unreliable rows."""


def _values(measures: Measures) -> list[tuple[str, _Value]]:
    """Name the measures; the ELBO of a conditional differs from that of all modalities."""
    found: list[tuple[str, _Value]] = []
    bounded = [x.quantity for x in measures.likelihoods if x.quantity != "ELBO"][:1]
    conditional = any(" | " in quantity for quantity in bounded)
    for x in measures.likelihoods:
        name = f"ELBO of {bounded[0]}" if conditional and x.quantity == "ELBO" else x.quantity
        found.append((name, (x.mean, x.standard_error, x.monte_carlo_error, x.unreliable)))
    for a in measures.accuracies:
        name = f"accuracy of {a.label} from {', '.join(a.given)}"
        found.append((name, (a.value, a.standard_error, None, None)))
    for c in measures.coherences:
        name = f"coherence of {c.label} from {', '.join(c.given)}" if c.given else "joint coherence"
        found.append((name, (c.value, c.standard_error, None, None)))
    return found


def _entry(values: list[_Value], planned: int) -> Entry:
    means, errors, drawn, unreliable = zip(*values, strict=True)
    n = len(means)
    spread = [m for m in means if math.isfinite(m)]
    error = errors[0] if n == 1 else stdev(means) / math.sqrt(n) if len(spread) == n else None
    total = math.sqrt(sum(d**2 for d in drawn)) / n if None not in drawn else None
    share = fmean(unreliable) if None not in unreliable else None
    return Entry(fmean(means), error, n, planned, total, share)


def is_share(measure: str) -> bool:
    """Return whether a measure is a share; otherwise it is in nats."""
    return measure.startswith(("accuracy", "coherence", "joint coherence"))


def _kind(measure: str) -> int:
    """Order the measures: the ELBO, then log-likelihoods, then accuracies, then coherence."""
    if not is_share(measure):
        return 0 if measure.startswith("ELBO") else 1
    return 2 if measure.startswith("accuracy") else 3


def _leads(first: Entry, other: Entry) -> bool:
    errors = (first.standard_error, other.standard_error)
    if (
        None in errors
        or first.doubtful
        or other.doubtful
        or not math.isfinite(first.mean - other.mean)
    ):
        return False
    drawn = (first.monte_carlo_error or 0) + (other.monte_carlo_error or 0)
    return first.mean - other.mean > sum(e for e in errors if e) + drawn


def _cell(entry: Entry | None, decimals: int, best: bool) -> str:
    if entry is None:
        return ""
    text = f"**{entry.text(decimals)}**" if best else entry.text(decimals)
    notes = []
    if entry.unreliable:
        notes.append(f"k > 0.7: {entry.unreliable:.1%}")
    if entry.seeds < entry.planned:
        notes.append(f"{entry.seeds} of {entry.planned} seeds")
    return text + (f" ({'; '.join(notes)})" if notes else "")
