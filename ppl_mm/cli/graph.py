"""The command ``ppl-mm graph``."""

from pathlib import Path
from typing import Annotated

import typer

from ppl_mm.cli import flags, names
from ppl_mm.cli.runs import DataDir

__all__ = ["graph"]


def graph(
    system: Annotated[str, typer.Argument(help="A name from: ppl-mm systems.")],
    dataset: Annotated[str, typer.Argument(help="A data set, as train takes it.")],
    out: Annotated[
        Path | None,
        typer.Option(help="A .svg, .png, .pdf or .gv file. Default: SYSTEM-DATASET.svg."),
    ] = None,
    modality: Annotated[
        list[str] | None, typer.Option(help="Use this modality of the data set; repeatable.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of the system; repeatable."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Draw a system's model and guide as graphs with plates, before any training."""
    names.check_system(system)
    names.check_dataset(dataset)
    from ppl_mm import plotting, runs

    given = flags.settings({"modality": modality, "option": option, "data_dir": data_dir})
    built, obs = runs.untrained(system, dataset, **given)
    path = Path(f"{system}-{Path(dataset).stem}.svg") if out is None else out
    plotting.save_graph(plotting.graph(built, obs), path)
    typer.echo(str(path))
