"""The command ``ppl-mm compare``."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ppl_mm.cli import flags, names
from ppl_mm.cli.options import Dask, Jobs

if TYPE_CHECKING:
    from ppl_mm.comparison import Block

__all__ = ["command"]

_NOT_SHARED = (
    *("system", "dataset", "option", "missing", "seed", "out", "quiet"),
    *("resume", "overwrite", "evaluate", "monitor", "logger", "callback"),
)
"""The options of ``train`` that have no meaning here, or a different one."""

_BESIDE = 3  # The number of systems in one table of the terminal.
_CAPTION = (
    "± standard error over seeds, or over test rows of one seed. ?, in grey: off by an unknown "
    "amount in more than 5% of the rows (Pareto k above 0.7); do not rank systems by it."
)
_HELP = (
    "Train and measure several systems on one data set, and write one page about them.\n\n"
    "A trial is a system, a share of missing training values and a seed, with the same data, "
    "networks, settings and measures as every other; each is a run folder. Finished trials are "
    "not repeated: the same command continues where it was stopped, and more systems, shares or "
    "seeds add trials."
)


def command(train: Callable[..., None]) -> Callable[..., None]:
    """Return the command, with the options of ``train`` for the settings that all trials share."""

    def compare(
        dataset: Annotated[str, flags.DATASET],
        system: Annotated[list[str], typer.Option(help="A name from: ppl-mm systems; repeatable.")],
        missing: Annotated[
            list[float] | None,
            typer.Option(help="Share of training values left out at random; repeatable."),
        ] = None,
        seed: Annotated[
            list[int] | None, typer.Option(help="Seed of everything random; repeatable.")
        ] = None,
        option: Annotated[
            list[str] | None,
            typer.Option(
                metavar="[SYSTEM.]NAME=VALUE",
                help="Option of one system, such as mmvae_plus.private_dim=8, or of all.",
            ),
        ] = None,
        load: Annotated[
            list[Path] | None,
            typer.Option(metavar="RUN", help="A trained run to take for its trial; repeatable."),
        ] = None,
        coherence: Annotated[
            bool,
            typer.Option(help="Measure it, where rows have classes, by classifiers of real rows."),
        ] = True,
        jobs: Jobs = 1,
        dask: Dask = None,
        out: Annotated[Path | None, typer.Option(help="Default: runs/compare-DATASET.")] = None,
        quiet: Annotated[bool, typer.Option("--quiet", help="Print errors alone.")] = False,
        **training: object,
    ) -> None:
        for name in system:
            names.check_system(name)
        names.check_dataset(dataset)
        from ppl_mm.comparison import adopt, plan, run, write
        from ppl_mm.runs import records

        out = Path("runs", f"compare-{Path(dataset).stem}") if out is None else out
        common, own = _options(option or (), system)
        trials = plan(
            out,
            dataset,
            system,
            missing=missing or [0.0],
            seeds=seed or [0],
            own=own,
            **flags.settings({**training, "option": common}),
        )
        adopt(trials, load or ())
        outcomes = run(trials, coherence=coherence, progress=not quiet, num_jobs=jobs, dask=dask)
        several: dict[str, Any] = {
            "system": system,
            "missing": missing,
            "seed": seed,
            "option": option,
        }
        several["coherence"] = None if coherence else False
        given = {**several, **training, "out": out}
        blocks = write(out, outcomes, records.command(["ppl-mm", "compare", dataset], given))
        if not quiet:
            for block in blocks:
                for i in range(0, len(block.systems), _BESIDE):
                    Console(highlight=False).print(_table(block, block.systems[i : i + _BESIDE]))
            typer.echo(f"page: {out / 'report.html'}   tables: table.md, table.csv")
        if any(o.failure is not None for o in outcomes):
            failed = [f"{o.trial} ({o.failure})" for o in outcomes if o.failure is not None]
            typer.echo(f"failed: {'; '.join(failed)}", err=True)
            raise typer.Exit(1)
        if any(o.state == "not run yet" for o in outcomes):
            raise typer.Exit(130)

    own = [p for p in inspect.signature(compare).parameters.values() if p.kind is not p.VAR_KEYWORD]
    others = inspect.signature(train).parameters.values()
    shared = [p.replace(kind=p.KEYWORD_ONLY) for p in others if p.name not in _NOT_SHARED]
    compare.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    compare.__doc__ = _HELP
    return compare


def _options(
    given: Sequence[str], systems: Sequence[str]
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Split options into those of all systems, as they came, and system -> its own."""
    common, own = [], dict[str, list[str]]()
    for text in given:
        system, dot, _ = text.partition("=")[0].partition(".")
        if dot:
            own.setdefault(system, []).append(text.removeprefix(f"{system}."))
        else:
            common.append(text)
    return common, {system: flags.options(texts) for system, texts in own.items()}


def _table(block: "Block", systems: Sequence[str]) -> Table:
    """Return the part of a block with some systems as a table for the terminal."""
    table = Table(
        "held-out rows",
        title=f"missing {block.missing:g}",
        caption=_CAPTION,
        caption_justify="left",
    )
    for name in systems:
        table.add_column(name, justify="right")
    for measure in block.measures:
        row, best = block.row(measure), block.best(measure)
        texts = []
        for system in systems:
            text = row[system].text(block.decimals(measure)) if system in row else ""
            doubtful = system in row and row[system].doubtful
            style = "bright_black" if doubtful else "bold" if system == best else ""
            texts.append(f"[{style}]{text}[/]{'?' if doubtful else ''}" if style else text)
        table.add_row(measure, *texts)
    return table
