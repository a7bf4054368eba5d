"""The command ``ppl-mm``: it parses and prints; the work is in ppl_mm.runs.

A command imports its modules when it runs, so help and wrong names need no torch.
"""

import sys
import textwrap
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from ppl_mm.cli import compare, flags, listing, names
from ppl_mm.cli.data import data_app
from ppl_mm.cli.graph import graph
from ppl_mm.cli.reproduce import reproduce
from ppl_mm.cli.runs import DataDir, embed, evaluate, generate, impute, loglik
from ppl_mm.cli.watch import watch

__all__ = ["app"]


class _OneLineErrors(TyperGroup):
    """Report an error that the user can correct in one line; other errors keep their traceback."""

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except typer.Abort:
            code = 130
        # FloatingPointError means that training diverged.
        except (ValueError, OSError, ModuleNotFoundError, FloatingPointError) as error:
            code = _say(str(error))
        except Exception as error:
            if not hasattr(error, "format_message"):  # Not an error of Typer's arguments.
                raise
            code = _say(error.format_message())
        sys.exit(code if isinstance(code, int) else 0)


def _say(message: str) -> int:
    message = message.partition("\nTrace Shapes")[0]  # Pyro adds a table of sites to messages.
    if message:  # There is no result if help was shown.
        typer.echo(f"error: {message}", err=True)
    return 2


app = typer.Typer(
    cls=_OneLineErrors,
    help="Train multimodal variational autoencoders, and ask them for likelihoods and samples.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")

_model = partial(typer.Option, rich_help_panel="What to train")
_training = partial(typer.Option, rich_help_panel="How to train it")
_folder = partial(typer.Option, rich_help_panel="Run folder")
_measures = partial(typer.Option, rich_help_panel="Measures")


@app.command("systems")
def list_systems(
    name: Annotated[
        str | None,
        typer.Argument(help="Show its data and options."),
    ] = None,
) -> None:
    """List the systems that train knows, or show the page of one."""
    if name is None:
        caption = "its options and what data it needs: ppl-mm systems NAME"
        typer.echo(listing.table(("system", "what it is"), names.systems().items(), caption))
        return
    names.check_system(name)
    from ppl_mm import systems

    what, needs = (listing.plain(text) for text in systems.about(name))
    typer.echo(listing.page(what, needs, systems.options(name)))


@app.command()
def train(
    system: Annotated[str, typer.Argument(help="A name from: ppl-mm systems.")],
    dataset: Annotated[str, flags.DATASET],
    modality: Annotated[
        list[str] | None, _model(help="Use this modality of the data set; repeatable.")
    ] = None,
    latent_dim: Annotated[int | None, _model(help="Size of the latent z.")] = None,
    weight: Annotated[
        list[str] | None,
        _model(metavar="NAME=VALUE", help="Weight of a modality in training; repeatable."),
    ] = None,
    terms: Annotated[
        str | None, _model(help="Random subsets of modalities per step, or: all subsets.")
    ] = None,
    beta: Annotated[float | None, _model(help="Factor of the KL in training.")] = None,
    option: Annotated[
        list[str] | None,
        _model(
            metavar="NAME=VALUE",
            help="Further option of the system, such as private_dim=8; repeatable.",
        ),
    ] = None,
    data_option: Annotated[
        list[str] | None,
        _model(
            metavar="NAME=VALUE",
            help="Option of the data set, such as num_train=5000; repeatable.",
        ),
    ] = None,
    paired: Annotated[
        float | None, _model(help="Share of rows with paired modalities, 0 to 1; the rest apart.")
    ] = None,
    missing: Annotated[
        float | None, _model(help="Share of training values, row by row, left out at random.")
    ] = None,
    epochs: Annotated[int | None, _training(help="Passes through the training rows.")] = None,
    batch_size: Annotated[int | None, _training(help="Rows per step.")] = None,
    learning_rate: Annotated[float | None, _training(help="Learning rate of Adam.")] = None,
    scheduler: Annotated[
        str | None,
        _training(help="Learning rate's course: cosine, linear, exponential:GAMMA or plateau."),
    ] = None,
    monitor: Annotated[
        str | None,
        _training(help="Measure that decides the best epoch: elbo, loss, accuracy:LABEL, ..."),
    ] = None,
    annealing_epochs: Annotated[
        int | None, _training(help="Epochs over which the KL's factor grows from 0.")
    ] = None,
    patience: Annotated[
        int | None, _training(help="Stop after this many epochs without a better validation ELBO.")
    ] = None,
    clip_norm: Annotated[float | None, _training(help="Largest norm of the gradient.")] = None,
    impartial: Annotated[
        str | None, _training(help="Combine the modalities' gradients: pcgrad, imtl_g or mgda.")
    ] = None,
    seed: Annotated[int | None, _training(help="Seed of networks, order and noise.")] = None,
    device: Annotated[str | None, _training(help="auto, cpu, cuda or cuda:1.")] = None,
    precision: Annotated[str | None, _training(help="Such as 32-true or bf16-mixed.")] = None,
    step: Annotated[
        str | None, _training(help="How steps are taken: auto, eager, recorded or compiled.")
    ] = None,
    out: Annotated[Path | None, _folder(help="Default: runs/SYSTEM-DATASET.")] = None,
    resume: Annotated[bool, _folder("--resume", help="Go on with the folder's run.")] = False,
    overwrite: Annotated[bool, _folder("--overwrite", help="Replace the folder's run.")] = False,
    data_dir: DataDir = None,
    num_samples: Annotated[int | None, _measures(help="Draws per row for likelihoods.")] = None,
    rows: Annotated[int | None, _measures(help="Test rows for likelihoods.")] = None,
    evaluate: Annotated[bool, _measures(help="Measure likelihoods and accuracies.")] = True,
    logger: Annotated[
        list[str] | None, _folder(help="Log measures by csv or tensorboard; repeatable.")
    ] = None,
    callback: Annotated[
        list[str] | None,
        _folder(metavar="MODULE:NAME", help="Call an own ppl_mm.training.Callback; repeatable."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors alone.")] = False,
) -> None:
    """Train a system on a data set, measure it on held-out rows, and draw pictures.

    What is not given is the data set's default, or with --resume the run's.
    """
    if not callback:  # A module with a callback may register systems and data sets of its own.
        names.check_system(system)
        names.check_dataset(dataset)
    from ppl_mm import runs
    from ppl_mm.processes import alone, is_first
    from ppl_mm.runs import steering
    from ppl_mm.training import StoppedError

    given = flags.settings(
        {
            "modality": modality,
            "latent_dim": latent_dim,
            "weight": weight,
            "option": option,
            "data_option": data_option,
            "terms": terms,
            "beta": beta,
            "paired": paired,
            "missing": missing,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "scheduler": scheduler,
            "monitor": monitor,
            "annealing_epochs": annealing_epochs,
            "patience": patience,
            "clip_norm": clip_norm,
            "impartial": impartial,
            "seed": seed,
            "device": device,
            "precision": precision,
            "step": step,
            "data_dir": data_dir,
            "num_samples": num_samples,
            "rows": rows,
        }
    )
    out = Path("runs", f"{system}-{Path(dataset).stem}") if out is None else out
    with runs.owned(out) if is_first() else nullcontext():
        try:
            run = runs.train(
                out,
                system,
                dataset,
                resume=resume,
                overwrite=overwrite,
                progress=not quiet,
                callbacks=[
                    *(steering.log_of(name, out) for name in logger or ()),
                    *(steering.callback_of(text) for text in callback or ()),
                ],
                **given,
            )
        except StoppedError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(128 + error.number) from None
        if not is_first():  # Only one of several processes measures and prints.
            return
        with alone():
            found = runs.evaluate(run) if evaluate else None
    if not quiet:
        if found is not None:
            _print(found.table(f"{system} on {run.dataset.name}"))
        pictures = ", ".join(sorted(path.name for path in run.folder.glob("*.png")))
        typer.echo(f"run folder: {run.folder}")
        typer.echo(textwrap.fill(f"pictures: {pictures}", listing.width(), subsequent_indent="  "))


app.command("compare")(compare.command(train))


for asked in (evaluate, generate, loglik, impute, embed, graph, watch, reproduce):
    app.command()(asked)


def _print(table: Table) -> None:
    Console(highlight=False).print(table)
