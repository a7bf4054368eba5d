"""The files of a run folder: its history and its pictures."""

import csv
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ppl_mm import plotting
from ppl_mm.batch.observations import Observations
from ppl_mm.data import DataSet
from ppl_mm.data.running import tiles_of
from ppl_mm.runs import likelihoods
from ppl_mm.runs.config import CONFIG_FILE, Config, write_config
from ppl_mm.runs.records import write_csv
from ppl_mm.systems import System
from ppl_mm.training import Callback, FitResult, Training

__all__ = [
    "DRAWN",
    "FILES",
    "SHOWN",
    "Kept",
    "Run",
    "check_folder",
    "draw",
    "examples",
    "numbers",
    "read_history",
    "write_history",
]

FILES = (
    *("config.json", "checkpoint.pt", "system.safetensors", "history.csv", "metrics.json"),
    *("loss.png", "prior_samples.png", "cross_generation.png", "latent.png", "posterior.png"),
    likelihoods.LIKELIHOODS,
)
"""The files that a run writes and ``overwrite`` removes."""

SHOWN, _MOST = 8, 10  # The largest numbers of rows of a picture, without classes and with.
DRAWN = 1000  # The number of test rows for latents and ranges of values in pictures.
_SECONDS = 1.0  # The smallest time between two writings of the history.


@dataclass(frozen=True)
class Run:
    """A trained system, with its data set of the run's modalities."""

    folder: Path
    config: Config
    dataset: DataSet
    system: System

    @property
    def label(self) -> str | None:
        """The data set's label, if the run uses it."""
        return self.dataset.label if self.dataset.label in self.dataset.test.names else None

    @property
    def tiles(self) -> plotting.Tiles:
        """The groups of modalities that pictures show as one image."""
        return tiles_of(self.dataset)

    @property
    def words(self) -> plotting.Words:
        """The functions that put values of modalities in words, if the data set has them."""
        return self.dataset.words()


class Kept(Callback):
    """Begin a run folder when the run can start, and keep its history up to date."""

    def __init__(self, folder: Path, config: Config, resume: bool) -> None:
        self.folder, self.config, self.resume = folder, config, resume
        self.written = 0.0

    def before_fit(self, training: Training) -> None:
        """Replace the old run's files; its options go last, so files and options always match."""
        if training.epoch > self.config.epochs:
            raise ValueError(
                f"epochs: the run in {self.folder} has {training.epoch} already, asked to go on "
                f"until {self.config.epochs}. Ask for more."
            )
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
        """Write the last part of the history, also of a stopped run."""
        if training.is_first and training.history:
            write_csv(self.folder / "history.csv", training.history)


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
    return (
        run.config.num_samples if num_samples is None else num_samples,
        run.config.rows if rows is None else rows,
    )


def check_folder(folder: Path, resume: bool, overwrite: bool) -> None:
    """Raise if a folder holds a run that is neither resumed nor overwritten."""
    if resume and overwrite:
        raise ValueError("resume and overwrite exclude each other; choose one.")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: is a file, and a run needs a folder; give another.")
    there = [name for name in FILES if (folder / name).exists()]
    if there and not (resume or overwrite):
        raise FileExistsError(
            f"{folder}: holds a run already ({', '.join(there)}). Go on with it by --resume, "
            "replace it by --overwrite, or give another folder."
        )


def read_history(folder: Path) -> list[dict[str, float]]:
    """Return the rows of a run's history that are whole; none if there is no such file."""
    found = []
    with suppress(OSError), (folder / "history.csv").open() as file:
        for row in csv.DictReader(file):
            with suppress(TypeError, ValueError):  # The file ends within this row.
                found.append({name: float(x) for name, x in row.items() if x != ""})
    return [row for row in found if {"epoch", "loss"} <= row.keys()]


def write_history(folder: Path, result: FitResult) -> None:
    """Write a row for each epoch, and the picture of the losses."""
    if result.history:  # The history is empty if the first epoch diverged.
        write_csv(folder / "history.csv", result.history)
        plotting.save(plotting.losses(result.history, result.best_epoch), folder / "loss.png")


def draw(run: Run) -> None:
    """Write the pictures of a trained run."""
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
    with suppress(ValueError):  # There are fewer than two latent coordinates, or one is discrete.
        pictures["posterior"] = plotting.posterior(run.system, run.dataset.test)
    for name, picture in pictures.items():
        plotting.save(picture, run.folder / f"{name}.png")
