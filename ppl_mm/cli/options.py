"""Options that several commands have."""

from typing import Annotated

import typer

__all__ = ["Dask", "Jobs"]

Jobs = Annotated[int, typer.Option(min=1, help="Runs at a time, each in a process of its own.")]
Dask = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Make the runs on the Dask cluster of this scheduler."),
]
