"""The commands ``ppl-mm data``: the list of data sets, their files, and their contents."""

from pathlib import Path
from typing import Annotated

import typer

from ppl_mm.cli import flags, listing, names
from ppl_mm.cli.data_facts import facts
from ppl_mm.published.facts import summaries

__all__ = ["data_app"]

data_app = typer.Typer(
    help="List the data sets, describe them or your own, and download files.", no_args_is_help=True
)

DataFolder = Annotated[
    str | None,
    typer.Option(
        "--folder", help="Folder of the data; PPL_MM_DATA or the user's cache by default."
    ),
]


@data_app.command("list")
def list_data(folder: DataFolder = None) -> None:
    """List the data sets, and whether their files are there."""
    rows = []
    for summary in summaries(facts(), folder):
        sizes = " / ".join(f"{size:,}" for size in summary.sizes or ()) or "see its files"
        files = "ready" if summary.ready else "missing"
        rows.append((summary.name, files, sizes, ", ".join(summary.modalities)))
    heading = ("data set", "files", "train / validation / test", "modalities")
    typer.echo(listing.table(heading, rows, "missing files: ppl-mm data get NAME"))


@data_app.command("describe")
def describe_data(
    dataset: Annotated[str, flags.DATASET],
    out: Annotated[
        Path | None, typer.Option(help="Also write description.txt and missing.png here.")
    ] = None,
    folder: DataFolder = None,
) -> None:
    """Show a data set's contents, suspicious values, and the networks that will be used."""
    names.check_dataset(dataset)
    from ppl_mm import data, plotting
    from ppl_mm.files import write_atomically

    whole = data.load(dataset, folder)
    guesses = [] if whole.provenance is None else whole.provenance.guesses()
    text = "\n".join([str(whole.describe()), *guesses])
    typer.echo(text)
    if out is not None:
        write_atomically(out / "description.txt", f"{text}\n".encode())
        plotting.save(plotting.presence(whole), out / "missing.png")
        typer.echo(f"written: {out / 'description.txt'}, {out / 'missing.png'}")


@data_app.command("get")
def get_data(
    name: Annotated[str, typer.Argument(help="A data set, such as mnist.")],
    folder: DataFolder = None,
) -> None:
    """Download a data set's published files, with checksums."""
    names.check_dataset(name)
    from ppl_mm import data

    downloads = {summary.name: summary.download for summary in data.describe(folder)}
    if downloads[name] is None:
        typer.echo(f"{name}: ships with a package that is installed, nothing to download.")
    else:
        typer.echo(f"{name}: {data.get(name, folder)}")
