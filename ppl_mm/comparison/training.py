"""The training of a trial, read from its run folder."""

import csv
from dataclasses import dataclass
from pathlib import Path

from ppl_mm.runs.config import read_facts
from ppl_mm.systems import System

__all__ = ["OPTIONAL", "PICTURES", "Training", "training"]

PICTURES = ("cross_generation", "prior_samples", "latent", "loss")
"""The pictures of every run, in the order of the page."""

OPTIONAL = ("posterior",)
"""The picture of runs with latents that can be shown."""


@dataclass(frozen=True)
class Training:
    """The facts of a trial's training.

    Attributes:
        epochs: The number of epochs.
        best_epoch: The epoch whose parameters were kept.
        seconds: The time of all epochs, without measuring and drawing.
        parameters: The number of trained parameters.
        hardware: The hardware that it ran on.
        versions: The versions of the software.
    """

    epochs: int
    best_epoch: int
    seconds: float
    parameters: int
    hardware: str
    versions: str


def training(folder: Path) -> Training:
    """Read the facts of the training of the run in a folder.

    Raises:
        ValueError: If a file of the folder is damaged.
    """
    try:
        return _read(folder)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{folder}: a file is damaged ({error}).") from error


def _read(folder: Path) -> Training:
    from PIL import Image

    for name in PICTURES:
        with Image.open(folder / f"{name}.png") as picture:
            picture.load()
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = len(rows)
    if "validation_elbo" in rows[0]:
        best = 1 + max(range(len(rows)), key=lambda i: float(rows[i]["validation_elbo"]))
    system = System.load(folder / "system.safetensors")
    return Training(
        len(rows),
        best,
        sum(float(row["seconds"]) for row in rows),
        sum(p.numel() for p in system.parameters()),
        *read_facts(folder),
    )
