"""Tables and figures of papers, and their reproduction."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import rich
from rich.console import Console

from ppl_mm import data
from ppl_mm.experiments import runner
from ppl_mm.experiments.page import head
from ppl_mm.experiments.scales import SCALES, each, not_of_all, repeated, runs_of
from ppl_mm.experiments.tables import Record
from ppl_mm.files import owned, write_atomically
from ppl_mm.runs.parallel import in_parallel
from ppl_mm.training.signals import terminable

__all__ = [
    "SCALES",
    "Draw",
    "RunsFailedError",
    "Show",
    "Table",
    "each",
    "missing_data",
    "not_of_all",
    "repeated",
    "reproduce",
    "runs_of",
]


class RunsFailedError(RuntimeError):
    """Runs of a page failed.

    Attributes:
        page: The page, which has what the other runs allow.
        runs: The name of each run that failed, with the reason.
    """

    def __init__(self, page: Path, runs: Sequence[str]) -> None:
        super().__init__(f"{page}: {'; '.join(runs)}")
        self.page, self.runs = page, runs


Config = Any
Show = Callable[[list[Record]], list[str]]
Draw = Callable[[list[Record], Path], None]


@dataclass(frozen=True)
class Table:
    """A table or a figure of a paper.

    Attributes:
        title: A line that says what the table shows.
        experiment: The module whose ``main(config)`` makes and measures one run.
        data: The data sets that the runs read.
        paper: The runs with the paper's own sizes.
        short: The runs with sizes that take minutes; they are fewer where the paper's are a grid.
            At the scale ``smoke``, there is a run of each of their kinds, and of each kind that the
            paper's add for a system, with the sizes of ``experiment.SMOKE``, and of
            ``experiment.SMOKE_OF_OTHERS`` where the run of ``SMOKE`` does not have an option. A
            kind differs in system, data set or another of ``KINDS``.
        show: The function from the runs' records to the lines of a Markdown page, which has our
            numbers beside the paper's, and pictures.
        draw: The function that writes pictures of several records into a folder.
        stands_in: The paper's data, where ``data`` stand in for them; empty elsewhere.
    """

    title: str
    experiment: ModuleType
    data: tuple[str, ...]
    paper: Sequence[Config]
    short: Sequence[Config]
    show: Show
    draw: Draw | None = None
    stands_in: str = ""


def missing_data(table: Table, folder: str | Path | None = None) -> list[str]:
    """Return the names of the table's data sets whose files are not there."""
    ready = {summary.name: summary.ready for summary in data.describe(folder)}
    return [name for name in table.data if not ready[name]]


def reproduce(
    table: Table,
    out: Path,
    name: str,
    scale: str = "short",
    *,
    seeds: Sequence[int] = (),
    num_jobs: int = 1,
    dask: str | None = None,
    **options: Any,
) -> Path:
    """Make the runs that are not there yet, and write the table as ``<out>/<name>.md``.

    Args:
        table: A table of ``papers.TABLES``.
        out: The folder of records, pictures and trained systems. Several tables may share it.
        name: The name of the page.
        scale: smoke (seconds, to see that it runs), short, or paper (the paper's own sizes).
        seeds: The seeds; each run is made once for each. By default the runs have their own.
        num_jobs: The number of processes on this machine, each with a run at a time.
        dask: The address of a Dask scheduler, whose workers make the runs.
        options: The options that every run gets that has them, such as ``device="cuda"``. The page
            says which of the runs are without one.

    Returns:
        The page's path.

    A run that fails is a line of the page, and the others are made. Each run is made by one
    process: several commands in one folder divide them.

    Raises:
        RunsFailedError: If runs failed, after the page is written.
        FileNotFoundError: If data are missing; the message says how to get them.
        ValueError: In the cases of :func:`runs_of`, or if a run of that name was made with other
            options.
    """
    runs = runs_of(table, scale, seeds=seeds, out=str(out), **options)
    for missing in missing_data(table):
        data.load(missing)  # The error names the files and their source.
    partly = not_of_all(runs, options)
    for told in partly:
        rich.print(told)
    calls = [(table.experiment.__name__, config) for config in runs]
    failures: dict[int, str] = {}
    with terminable():
        if num_jobs == 1 and dask is None:
            made: Iterator[tuple[int, str]] = ((i, _made(*call)) for i, call in enumerate(calls))
        else:
            folders = {config.name: runner.files(config).record for config in runs}
            made = in_parallel(_made, calls, folders, Console(), num_jobs, dask)
        for i, failure in made:
            if failure:
                failures[i] = failure
    records = [runner.files(c).read() for i, c in enumerate(runs) if i not in failures]
    page = out / f"{name}.md"
    lines = head(table, name, scale, runs, records)
    lines += [*(f"- {told}" for told in partly), ""] if partly else []
    lines += _shown(table, records, out, bool(failures))
    lines += [f"- failed: `{runner.command(runs[i])}`: {failures[i]}" for i in sorted(failures)]
    write_atomically(page, ("\n".join(lines) + "\n").encode())
    if failures:
        raise RunsFailedError(page, [f"{runs[i].name} ({failures[i]})" for i in sorted(failures)])
    return page


def _made(experiment: str, config: Config) -> str:
    """Make a run unless it exists; return why it failed, or nothing."""
    kept = runner.files(config)
    try:
        with owned(kept.record):
            record = kept.read()
            if "measures" in record:
                runner.check(config, record)
            else:
                rich.print(f"run: {runner.command(config)}")
                import_module(experiment).main(config)
    except Exception as error:  # The other runs continue after any error.
        if isinstance(error, ValueError) and "Give another folder with --out" in str(error):
            raise  # The run was made with other options.
        return str(error) or type(error).__name__
    return ""


def _shown(table: Table, records: list[Record], out: Path, partial: bool) -> list[str]:
    """Return the lines of the table; if runs failed, those that the other runs allow."""
    try:
        if table.draw is not None:
            table.draw(records, out)
        return table.show(records)
    except (KeyError, IndexError, ValueError, StopIteration) as error:
        if not partial:
            raise
        return [f"The table needs the runs that failed ({error}).\n"]
