"""What a page says of a comparison besides its measures: data, training, hardware."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass

from ppl_mm.comparison.cells import Outcome
from ppl_mm.runs.config import read_facts
from ppl_mm.systems import System

__all__ = ["Training", "data_in_words", "missing_in_words", "training"]


@dataclass(frozen=True)
class Training:
    """How a cell was trained.

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


def training(outcome: Outcome) -> Training:
    """How a cell that is done was trained."""
    folder = outcome.cell.folder
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


def data_in_words(outcomes: Sequence[Outcome]) -> str:
    """Name, rows and modalities of the data."""
    cell = outcomes[0].cell
    held, data = cell.dataset.validation, cell.dataset
    rows = [f"{len(data.train):,} training", f"{len(data.test):,} test"]
    if held is not None:
        rows.insert(1, f"{len(held):,} validation")
    parts = []
    for m in data.modalities:
        shape = " x ".join(map(str, data.test[m.name].shape[1:]))
        parts.append(f"{m.name} ({shape + ', ' if shape else ''}{type(m.likelihood).__name__})")
    origin = f" Origin: {data.origin}." if data.origin else ""
    return f"{data.name}: {', '.join(rows)} rows of {', '.join(parts)}.{origin}"


def missing_in_words(outcomes: Sequence[Outcome]) -> str:
    """What is missing, and how it was chosen."""
    shares = sorted({o.cell.config.missing for o in outcomes})
    if shares == [0]:
        return "Nothing is left out of the data."
    number = len(outcomes[0].cell.dataset.modalities)
    empty = f"{shares[-1] ** number:.3g} at {shares[-1]:g}"
    return (
        "Each modality of each training row is left out with the given probability, independently, "
        "once. At one seed the same values are missing for every system, and what is missing at "
        "one share is missing at every larger one. A row may lose everything (probability "
        f"{empty}) and then teaches nothing. Validation and test rows are left as they are."
    )
