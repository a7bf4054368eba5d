"""The commands that ask a trained run, such as ``evaluate`` and ``impute``."""

import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ppl_mm.cli import flags

__all__ = ["DataDir", "embed", "evaluate", "generate", "impute", "loglik"]

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A folder that train wrote.")]
DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir", help="Folder of the data; PPL_MM_DATA or the user's cache by default."
    ),
]
Target = Annotated[
    list[str],
    typer.Option("--target", help="A modality; several times, or names with commas between."),
]
Given = Annotated[
    list[str] | None,
    typer.Option("--given", help="What to condition on, as --target; nothing by default."),
]
Refine = Literal["auto", "none"]
Refinement = Literal["auto", "none", "laplace", "variational", "adaptive", "annealed"]
Samples = Annotated[int | None, typer.Option(help="Draws per row; the run's by default.")]
Rows = Annotated[int | None, typer.Option(help="Test rows for likelihoods; the run's by default.")]


def evaluate(
    folder: RunFolder, num_samples: Samples = None, rows: Rows = None, data_dir: DataDir = None
) -> None:
    """Measure a trained run again, with other numbers of draws or rows; writes metrics.json."""
    from ppl_mm import runs

    run = runs.load(folder, data_dir=data_dir)
    found = runs.evaluate(run, num_samples=num_samples, rows=rows)
    table = found.table(f"{run.config.system} on {run.dataset.name}")
    Console(highlight=False).print(table)


def generate(
    folder: RunFolder,
    target: Target,
    given: Given = None,
    num: Annotated[int, typer.Option(help="Draws per row.")] = 6,
    rows: Annotated[
        int | None, typer.Option(help="Test rows; one of each class by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Default: RUN/generated.png.")] = None,
    npz: Annotated[
        Path | None, typer.Option(help="Also write the values, (draws, rows, ...) a modality.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Also write the values, a line for each row and draw.")
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Draw as for rows with this covariate, such as site=b; repeatable.",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Draw modalities given others of test rows, or from the prior, into a picture.

    Each value is the likelihood's mean (labels and symbols: its mode) at a draw of z.
    """
    from ppl_mm import runs

    run = runs.load(folder, data_dir=data_dir)
    out = run.folder / "generated.png" if out is None else out
    runs.generate(
        run,
        flags.names(target),
        flags.names(given),
        out,
        num_samples=num,
        rows=rows,
        seed=seed,
        npz=npz,
        csv=csv,
        covariates=flags.covariates(covariate or ()),
    )
    typer.echo(" ".join(str(path) for path in (out, npz, csv) if path is not None))


def impute(
    folder: RunFolder,
    out: Annotated[Path, typer.Option(help="The CSV file.")],
    num: Annotated[int, typer.Option(help="Draws per row.")] = 200,
    refine: Annotated[
        Refine,
        typer.Option(help="auto: draws of the model's posterior; none: the guide's, faster."),
    ] = "auto",
    interval: Annotated[
        float | None, typer.Option(help="Also write intervals of this level, such as 0.9.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Fill in the empty cells of all rows, given what each row holds; the others stay as they are.

    Numbers have their mean; yes or no, classes and words the most probable one. Images that rows
    lack become files in a folder beside the CSV.
    """
    from ppl_mm import runs

    run = runs.load(folder, data_dir=data_dir)
    filled = runs.impute(run, out, num_draws=num, refine=refine, interval=interval, seed=seed)
    typer.echo(f"{out}: {filled:,} cells filled in")


def embed(
    folder: RunFolder,
    out: Annotated[Path, typer.Option(help="The CSV file.")],
    given: Given = None,
    refine: Annotated[
        Refine, typer.Option(help="none: the guide's posterior; auto: the model's own, slower.")
    ] = "none",
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Write the mean and the scale of every row's posterior, given all that it holds or --given."""
    from ppl_mm import runs

    run = runs.load(folder, data_dir=data_dir)
    runs.embed(run, out, flags.names(given) if given else None, refine=refine, seed=seed)
    typer.echo(str(out))


def loglik(
    folder: RunFolder,
    target: Target,
    given: Given = None,
    proposal: Annotated[
        str,
        typer.Option(help="joint, given, prior, defensive, or modalities with commas between."),
    ] = "joint",
    refine: Annotated[
        Refinement,
        typer.Option(
            help="auto; none (the draws of the proposal as they are); or laplace, variational, "
            "adaptive or annealed for every row."
        ),
    ] = "auto",
    num_samples: Samples = None,
    rows: Rows = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write a line a row to this file.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Estimate log p(target | given) of test rows, with its error."""
    from ppl_mm import runs
    from ppl_mm.results.unreliable import UnreliableLikelihoodWarning

    run = runs.load(folder, data_dir=data_dir)
    names = proposal.split(",")
    with warnings.catch_warnings():  # the summary says the same
        warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
        result = runs.likelihood(
            run,
            flags.names(target),
            flags.names(given),
            proposal=names if set(names) <= set(run.config.modalities) else proposal,
            refine=refine,
            num_samples=num_samples,
            rows=rows,
            seed=seed,
            path=csv,
        )
    typer.echo(str(result))
