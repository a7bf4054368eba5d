"""How the run of a trial was trained, as its folder tells it."""

import csv
from dataclasses import dataclass
from pathlib import Path

from ppl_mm.runs.config import read_facts
from ppl_mm.systems import System

__all__ = ["PICTURES", "Training", "training"]

PICTURES = ("cross_generation", "prior_samples", "latent", "loss")
"""The pictures of a run, as a page shows them."""


@dataclass(frozen=True)
class Training:
    """How a trial was trained.

    Attributes:
        epochs: How many it took.
        best_epoch: The one whose parameters were kept.
        seconds: Of all epochs, without measuring and drawing.
        parameters: Numbers that were trained.
        hardware: What it ran on.
        versions: Of the software.
    """

    epochs: int
    best_epoch: int
    seconds: float
    parameters: int
    hardware: str
    versions: str


def training(folder: Path) -> Training:
    """How the run of a folder was trained.

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
