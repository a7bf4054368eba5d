"""Tables and figures of papers, and their reproduction."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import rich
from rich.console import Console

from ppl_mm import data
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.experiments import runner
from ppl_mm.experiments.options import changed, lacks
from ppl_mm.experiments.page import head
from ppl_mm.experiments.tables import Record
from ppl_mm.files import owned, write_atomically
from ppl_mm.runs.parallel import in_parallel
from ppl_mm.training.signals import terminable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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

SCALES = ("smoke", "short", "paper")
SHARES = ("fraction", "supervision", "keep")
_KIND_OF: dict[str, Callable[[Any], Any]] = {
    "scheme": lambda scheme: scheme == "split",
    "observed": lambda names: "+" in names,
    "split": bool,
    "omega": lambda omega: omega == 1,
    **dict.fromkeys(SHARES, lambda share: share == 1),
}
"""An option of many values -> the function to its kind."""
KINDS = (
    *("system", "method", "dataset", "terms", "objective", "preset", "direction", "family"),
    *("shared_noise", "impartial", "scale"),
    *_KIND_OF,
)
"""The options that distinguish kinds of runs, not only their sizes."""


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
Run = TypeVar("Run", bound="DataclassInstance")


@dataclass(frozen=True)
class Table:
    """A table or a figure of a paper.

    Attributes:
        title: A line that says what the table shows.
        experiment: The module whose ``main(config)`` makes and measures one run.
        data: The data sets that the runs read.
        paper: The runs with the paper's own sizes.
        short: The runs with sizes that take minutes; they are fewer where the paper's are a grid.
            At the scale ``smoke``, the first run of each kind has the sizes of
            ``experiment.SMOKE``, and of ``experiment.SMOKE_OF_OTHERS`` where the run of ``SMOKE``
            does not have an option; a kind differs in system, data set or another of ``KINDS``.
        show: The function from the runs' records to the lines of a Markdown page, which has our
            numbers beside the paper's, and pictures.
        draw: The function that writes pictures of several records into a folder.
        stands_in: The paper's data, where ``data`` stand in for them; empty elsewhere.
        smoke: Further runs at the scale ``smoke``, for cases that the short runs leave out.
    """

    title: str
    experiment: ModuleType
    data: tuple[str, ...]
    paper: Sequence[Config]
    short: Sequence[Config]
    show: Show
    draw: Draw | None = None
    stands_in: str = ""
    smoke: Sequence[Config] = ()


def each(runs: Sequence[Run], **options: Any) -> list[Run]:
    """Return the runs with these options, each where it has an effect.

    Example:
        >>> from ppl_mm.experiments.svae import Config
        >>> [run.epochs for run in each([Config(), Config(system="vaevae")], epochs=3)]
        [3, 3]
    """
    return [changed(run, **options) for run in runs]


def repeated(runs: Sequence[Run], number: int) -> list[Run]:
    """Return the runs once for each of this number of seeds.

    Example:
        >>> from ppl_mm.experiments.svae import Config
        >>> [(run.system, run.seed) for run in repeated([Config(), Config(system="mmvae")], 2)]
        [('svae', 0), ('svae', 1), ('mmvae', 0), ('mmvae', 1)]
    """
    return [changed(run, seed=seed) for run in runs for seed in range(number)]


def runs_of(
    table: Table, scale: str = "short", *, seeds: Sequence[int] = (), **options: Any
) -> list[Config]:
    """Return the table's runs at a scale, with further options and once for each seed.

    An option of some of the runs, such as one system's, does not change the others; see
    :func:`not_of_all`.

    Example:
        >>> from ppl_mm.experiments.papers import TABLES
        >>> table = TABLES["svae"]["table-1"]
        >>> [run.system for run in runs_of(table, "paper")]
        ['svae', 'vaevae', 'vaevae_star', 'mmvae']
        >>> len(runs_of(table, "paper", seeds=[0, 1, 2]))
        12

    Raises:
        ValueError: If the scale is unknown, no run has an option, or its value is unknown or has
            another type.
    """
    if scale not in SCALES:
        raise ValueError(f"scale: expected {', '.join(SCALES)}, got {scale!r}.")
    runs = {"smoke": _smoke(table), "short": table.short, "paper": table.paper}[scale]
    known = {field.name: field.type for field in fields(runs[0])}
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{name}: no option of these runs; they have {', '.join(known)}.")
        if get_origin(known[name]) is Literal:
            if value not in (choices := get_args(known[name])):
                raise ValueError(unknown_name(name, value, choices))
            continue
        kinds = get_args(known[name]) or (known[name],)
        if type(value) not in (*kinds, int if float in kinds else None):
            told = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{name}: expected a value of type {told}, got {value!r}.")
    chosen = [
        changed(run, **{**options, "seed": seed}) for run in runs for seed in seeds or (run.seed,)
    ]
    for name in options:
        if all(reasons := [lacks(run, name) for run in chosen]):
            raise ValueError(f"{name}: {reasons[0]}.")
    return list(dict.fromkeys(chosen))  # The runs may have differed only in a replaced option.


def not_of_all(runs: Sequence[Config], options: Iterable[str]) -> list[str]:
    """Return a sentence for each option that some of the runs do not have.

    Example:
        >>> from ppl_mm.experiments.mvae import Config
        >>> not_of_all([Config(system="vae"), Config(system="mvae")], ["epochs", "terms"])
        ["terms: an option of mvae and mvae_q, got 'vae'; 1 of 2 runs are without it."]
    """
    told = []
    for name in options:
        reasons = [reason for run in runs if (reason := lacks(run, name))]
        if reasons:
            told.append(f"{name}: {reasons[0]}; {len(reasons)} of {len(runs)} runs are without it.")
    return told


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
    lines = [*head(table, name, scale, runs, records), *(f"- {told}" for told in partly), ""]
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


def _smoke(table: Table) -> list[Config]:
    """Return one run of each kind, with every option that ``SMOKE`` has changed, in float32.

    A few steps in bfloat16 take seconds on processors that have to emulate it.
    """
    smoke = table.experiment.SMOKE
    default = asdict(type(smoke)())
    sizes = {name: value for name, value in asdict(smoke).items() if value != default[name]}
    sizes |= getattr(table.experiment, "SMOKE_OF_OTHERS", {})
    sizes |= {"precision": default["precision"]} if "precision" in default else {}
    first: dict[str, Config] = {}
    for run in (*table.short, *table.smoke):
        first.setdefault(str([_kind(run, name) for name in KINDS]), run)
    return each(list(first.values()), **sizes)


def _kind(run: Config, name: str) -> Any:
    """Return the kind of an option, None if the run does not have it."""
    value = getattr(run, name, None)
    return value if value is None else _KIND_OF.get(name, lambda same: same)(value)
