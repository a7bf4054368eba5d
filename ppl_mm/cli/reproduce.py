"""The command ``ppl-mm reproduce``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ppl_mm.cli import flags
from ppl_mm.cli.options import Dask, Jobs

__all__ = ["reproduce"]


def reproduce(
    paper: Annotated[
        str | None, typer.Argument(help="svae, mmvae_plus, ...; all are listed without it.")
    ] = None,
    table: Annotated[
        str | None,
        typer.Argument(help="A table or figure; all whose data are here, with --scale alone."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="smoke (seconds), short (minutes a run), or paper (its own sizes).  "
            "[default: short]"
        ),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="A run each; repeatable.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Option of every run, such as epochs=10 or device=cuda; repeatable.",
        ),
    ] = None,
    jobs: Jobs = 1,
    dask: Dask = None,
    out: Annotated[Path | None, typer.Option(help="Default: runs/reproduce/PAPER-SCALE.")] = None,
) -> None:
    """Make a table or a figure of a paper again, beside the paper's numbers.

    Runs that are in the folder already are not made again: a stopped command goes on.
    """
    from rich.markdown import Markdown

    from ppl_mm.cli.papers import pages_list
    from ppl_mm.experiments import papers, reproduction

    if paper is None or (table is None and scale is None):
        typer.echo(pages_list(paper))
        return
    scale = scale or "short"
    folder = Path("runs", "reproduce", f"{paper}-{scale}") if out is None else out
    options: dict[str, Any] = flags.options(option or [])
    options |= {"seeds": seed or (), "num_jobs": jobs, "dask": dask}
    asked = papers.ready(paper) if table is None else [table]
    failed: list[str] = []
    try:
        for name in asked:
            found = papers.table(paper, name)
            try:
                page = reproduction.reproduce(found, folder, name, scale, **options)
            except reproduction.RunsFailedError as error:
                page = error.page
                failed += [run for run in error.runs if run not in failed]
            if table is not None:
                Console().print(Markdown(page.read_text()))
            typer.echo(f"page: {page}")
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here.", err=True)
        raise typer.Exit(130) from None
    if failed:
        typer.echo(f"failed: {'; '.join(failed)}", err=True)
        raise typer.Exit(1)
