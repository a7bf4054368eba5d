"""Run folders: train a system on a data set, both by name, and come back to it.

    run = train("runs/digits", "mvae", "digits", epochs=50)
    metrics = evaluate(run)
    run = load("runs/digits")

A run folder holds

    config.json                  the options, with versions and the command that repeats the run
    checkpoint.pt                what ``resume=True`` goes on from
    system.safetensors           the trained system, for ``System.load``
    history.csv, loss.png        a row an epoch, and its curves
    prior_samples.png, cross_generation.png, latent.png
    posterior.png                where a posterior has two coordinates to show
    metrics.json                 likelihoods and accuracies of held-out rows
    likelihoods.npz              the likelihoods row by row
"""

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ppl_mm import plotting
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.observations import Observations
from ppl_mm.data import DataSet
from ppl_mm.data.running import reference, tiles_of
from ppl_mm.files import owned, write_atomically
from ppl_mm.processes import is_first
from ppl_mm.runs import likelihoods
from ppl_mm.runs.building import build, choose, load_data, training_rows
from ppl_mm.runs.config import (
    CONFIG_FILE,
    Config,
    configure,
    files,
    read_config,
    resumed,
    write_config,
)
from ppl_mm.runs.measures import Measures, measure
from ppl_mm.runs.records import command
from ppl_mm.runs.steering import monitor_of, scheduler_of
from ppl_mm.systems import System
from ppl_mm.training import Callback, DivergedError, FitResult, StoppedError, Training

__all__ = [
    "DRAWN",
    "FILES",
    "SHOWN",
    "Run",
    "evaluate",
    "examples",
    "load",
    "numbers",
    "train",
    "write_csv",
]

FILES = (
    *("config.json", "checkpoint.pt", "system.safetensors", "history.csv", "metrics.json"),
    *("loss.png", "prior_samples.png", "cross_generation.png", "latent.png", "posterior.png"),
    likelihoods.LIKELIHOODS,
)
"""The files that a run writes, and that ``overwrite`` removes."""

SHOWN, _MOST = 8, 10  # the most rows of a picture, without classes and with
DRAWN = 1000  # test rows whose latents, and whose range of values, pictures show
_SECONDS = 1.0  # the least time between two writings of the history


@dataclass(frozen=True)
class Run:
    """A trained system with the data set, of the run's modalities, that it was trained on."""

    folder: Path
    config: Config
    dataset: DataSet
    system: System

    @property
    def label(self) -> str | None:
        """The data set's label, where the run uses it."""
        return self.dataset.label if self.dataset.label in self.dataset.test.names else None

    @property
    def tiles(self) -> plotting.Tiles:
        """Which modalities to draw as one image."""
        return tiles_of(self.dataset)

    @property
    def words(self) -> plotting.Words:
        """How values of modalities read, where the data set says it."""
        return self.dataset.words()


@typed
def train(
    folder: str | Path,
    system: str,
    dataset: str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    **options: object,
) -> Run:
    """Train, and write the run folder with everything except ``metrics.json``.

    Of several processes under ``torchrun``, the first one writes.

    Args:
        folder: The run folder.
        system: A name of ``systems.available()``.
        dataset: A name of ``data.available()``, or the path of a declaration.
        resume: Whether to go on with the run in ``folder``; the result equals a run that was never
            stopped.
        overwrite: Whether to replace the run in ``folder``; its files go once the new run can
            start.
        progress: Whether to show a progress bar.
        callbacks: What is called around the run, see :func:`ppl_mm.fit`.
        options: Fields of :class:`Config`; the others get the data set's defaults, or with
            ``resume`` those of the saved run.

    Raises:
        FileExistsError: If the folder holds a run, without ``resume`` or ``overwrite``.
        FileNotFoundError: If there is nothing to resume, or the data are missing.
        ValueError: If a name is unknown, an option is out of range, or, with ``resume``, an option
            differs.
        FolderInUseError: If another process trains in ``folder``; it names the process and host.
        DivergedError: If training diverges, see :func:`ppl_mm.fit`; the history so far is in the
            folder.
        StoppedError: After Ctrl-C or SIGTERM; it says the command that goes on.
    """
    folder, dataset = Path(folder), reference(dataset)
    with owned(folder) if is_first() else nullcontext():
        return _train(folder, system, dataset, resume, overwrite, progress, callbacks, options)


def _train(
    folder: Path,
    system: str,
    dataset: str,
    resume: bool,
    overwrite: bool,
    progress: bool,
    callbacks: Sequence[Callback],
    options: dict[str, Any],
) -> Run:
    """Train in a folder that is this process's own."""
    _check_folder(folder, resume, overwrite)
    if resume:
        config = resumed(folder, {"system": system, "dataset": dataset, **options})
        whole = load_data(dataset, config.data_dir, config.data_options)
    else:
        whole = load_data(dataset, options.get("data_dir"), options.get("data_options", {}))
        config = configure(system, whole, **options)
    if progress and is_first() and whole.provenance is not None:
        print(*whole.provenance.guesses(), sep="\n", end="\n" * bool(whole.provenance.guesses()))
    chosen = choose(whole, config.modalities)
    rows = training_rows(config, chosen)
    built = build(config, chosen, rows)
    kept = files(folder)
    try:
        result = kept.train(
            built,
            rows,
            config,
            config.learning_rate,
            validation=chosen.validation,
            patience=config.patience,
            annealing_epochs=config.annealing_epochs,
            impartial=config.impartial,
            transform=chosen.transform,
            step=config.step,
            checkpoint_every=max(1, config.epochs // 20),
            resume=resume,
            scheduler=scheduler_of(config.scheduler, config.epochs),
            monitor=monitor_of(config.monitor),
            callbacks=[_Folder(folder, config, resume), *callbacks],
            progress=progress,
        )
    except DivergedError as error:
        if is_first():
            _write_history(folder, error.result)
        raise
    except StoppedError as error:
        words = ["ppl-mm", "train", config.system, config.dataset]
        again = command(words, {"out": folder}) + " --resume"
        raise StoppedError(error.where, f"Go on by: {again}", error.result, error.number) from None
    run = Run(folder, config, chosen, built)
    if is_first():
        built.save(kept.system)
        _write_history(folder, result)
        _draw(run)
    return run


class _Folder(Callback):
    """Begin a run folder once the run can start, and keep its history up to date."""

    def __init__(self, folder: Path, config: Config, resume: bool) -> None:
        self.folder, self.config, self.resume = folder, config, resume
        self.written = 0.0

    def before_fit(self, training: Training) -> None:
        """Replace the old run's files; its options go last, so that none are those of another."""
        if training.is_first:
            for name in () if self.resume else FILES:
                if name != CONFIG_FILE:
                    (self.folder / name).unlink(missing_ok=True)
            write_config(self.folder, self.config, training.epoch)

    def after_epoch(self, training: Training) -> None:
        """Write the history, at most every second."""
        if training.is_first and time.monotonic() - self.written > _SECONDS:
            write_csv(self.folder / "history.csv", training.history)
            self.written = time.monotonic()

    def after_fit(self, training: Training) -> None:
        """Write what came last, of a run that is stopped too."""
        if training.is_first and training.history:
            write_csv(self.folder / "history.csv", training.history)


@typed
def load(folder: str | Path, *, data_dir: str | None = None) -> Run:
    """Load the trained run in a folder.

    Args:
        folder: The folder that :func:`train` wrote.
        data_dir: The folder of the data, if they have moved.

    Raises:
        FileNotFoundError: If there is no trained run, or the data are missing.
        ValueError: If a file is damaged.
    """
    folder = Path(folder)
    config = read_config(folder)
    path = files(folder).system
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; has the training ended? Go on with it by the same train "
            "command and --resume."
        )
    whole = load_data(config.dataset, data_dir or config.data_dir, config.data_options)
    return Run(folder, config, choose(whole, config.modalities), System.load(path))


@typed
def evaluate(
    run: Run,
    *,
    num_samples: int | None = None,
    rows: int | None = None,
    classifiers: Mapping[str, nn.Module] | None = None,
) -> Measures:
    """Measure likelihoods and accuracies on the test rows, and write ``metrics.json``.

    Args:
        run: A trained run.
        num_samples: The number of draws per row for likelihoods; the configuration's by default.
        rows: The number of test rows for likelihoods; the configuration's by default.
        classifiers: Classifiers of the modalities whose coherence is measured too.
    """
    num_samples, rows = numbers(run, num_samples, rows)
    found = measure(
        run.system,
        run.dataset.test,
        run.label,
        num_samples=num_samples,
        rows=rows,
        classifiers=classifiers,
        labels=run.dataset.classes("test") if classifiers else None,
    )
    content = json.dumps(found.to_dict(), indent=1)
    with owned(run.folder):
        likelihoods.write(run.folder / likelihoods.LIKELIHOODS, found.results)
        write_atomically(run.folder / "metrics.json", content.encode())
    return found


def examples(run: Run, rows: int | None = None) -> Observations:
    """Return test rows to show: the first of each class, or the first few without classes."""
    test = run.dataset.test
    if rows is not None or run.label is None:
        return test[: SHOWN if rows is None else rows]
    first: dict[int, int] = {}
    for i, kind in enumerate(plotting.classes(test, run.label)):
        first.setdefault(kind, i)
    return test[[first[kind] for kind in sorted(first) if kind >= 0][:_MOST]]


def numbers(run: Run, num_samples: int | None, rows: int | None) -> tuple[int, int | None]:
    """Return the draws and test rows of likelihoods, by default the configuration's."""
    num_samples = run.config.num_samples if num_samples is None else num_samples
    rows = run.config.rows if rows is None else rows
    check_at_least_one("rows", 1 if rows is None else rows)
    return num_samples, rows


def write_csv(path: Path, rows: Sequence[Mapping[str, float | str]]) -> None:
    """Write at least one row; a column that some rows lack is empty there."""
    file = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, file.getvalue().encode())


def _check_folder(folder: Path, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise ValueError("resume and overwrite exclude each other; choose one.")
    there = [name for name in FILES if (folder / name).exists()]
    if there and not (resume or overwrite):
        raise FileExistsError(
            f"{folder}: holds a run already ({', '.join(there)}). Go on with it by --resume, "
            "replace it by --overwrite, or give another folder."
        )


def _write_history(folder: Path, result: FitResult) -> None:
    if result.history:  # it is empty where the first epoch diverged
        write_csv(folder / "history.csv", result.history)
        plotting.save(plotting.losses(result.history, result.best_epoch), folder / "loss.png")


def _draw(run: Run) -> None:
    like = run.dataset.test[:DRAWN]
    pictures = {
        "prior_samples": plotting.prior_samples(
            run.system, tiles=run.tiles, like=like, words=run.words
        ),
        "cross_generation": plotting.cross_generation(
            run.system,
            examples(run),
            tiles=run.tiles,
            label=run.label,
            like=like,
            words=run.words,
        ),
        "latent": plotting.posterior_means(run.system, like, label=run.label),
    }
    with suppress(ValueError):  # fewer than two latent coordinates, or one that is discrete
        pictures["posterior"] = plotting.posterior(run.system, run.dataset.test)
    for name, picture in pictures.items():
        plotting.save(picture, run.folder / f"{name}.png")
