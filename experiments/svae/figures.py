"""Pictures of the SVAE experiment's runs: the curves of its figures, and generations."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor, nn

from ppl_mm import data, generate, plotting
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments import captions, runner, tables
from ppl_mm.experiments.svae import experiment, table
from ppl_mm.experiments.svae.experiment import Config
from ppl_mm.experiments.tables import Record
from ppl_mm.oracles.outputs import classify
from ppl_mm.systems import System

__all__ = ["draw_curves", "draw_pairs", "figure_9", "with_curves"]

_DRAWS = 10  # The number of draws of z in a picture.


def with_curves(page: Callable[[list[Record]], list[str]], records: list[Record]) -> list[str]:
    """Return a page of one data set, with the curves that :func:`draw_curves` draws."""
    return [*page(records), f"![By the share of rows that are paired]({_curves_file(records)})\n"]


def draw_curves(records: list[Record], folder: Path) -> None:
    """Write the measures on one data set by the share of paired rows, with a panel for each."""
    panels: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for title, read in table.reads(records[0]).items():
        for runs in table.settings_of(records):
            config = runs[0]["config"]
            name = table.name_of(runs[:1])
            cells = [read(r["measures"]["test"]) for r in runs]
            points = panels.setdefault(title, {}).setdefault(name, [])
            points.append(tables.point(100 * config["supervision"], cells))
    measure = "correlation" if records[0]["config"]["dataset"] == "cub" else "accuracy"
    figure = plotting.error_curves(
        panels, xlabel="paired rows, %", ylabel=measure, logarithmic=True
    )
    plotting.save(figure, folder / _curves_file(records))


def _curves_file(records: list[Record]) -> str:
    return f"{records[0]['config']['dataset']}-by-share.png"


def draw_pairs(records: list[Record], folder: Path) -> None:
    """Write pairs of pictures drawn from the prior, with the class that classifiers read."""
    for record in tables.first_seed(records):
        config = replace(Config(**record["config"]), out=str(folder), device="cpu")
        if config.dataset not in experiment.PAIRS:
            continue
        system, dataset = runner.trained(config, experiment.load, experiment.build)
        figure = _pairs_figure(
            system, experiment.classifiers(dataset, config), dataset, config.seed
        )
        plotting.save(figure, folder / f"{config.name}-together.png")


def _pairs_figure(
    system: System, classifiers: dict[str, nn.Module], dataset: data.DataSet, seed: int
) -> Figure:
    names = [m.name for m in dataset.modalities]
    blank = Observations.blank(_DRAWS)
    drawn = generate(system, blank, names, given=(), mean=True, seed=seed)
    figure = Figure(figsize=(0.75 * _DRAWS, 0.95 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), _DRAWS, squeeze=False)
    for name, row in zip(names, grid, strict=True):
        pictures = drawn[name][0].cpu()
        found = classify(classifiers[name], pictures)
        row[0].set_ylabel(name)
        for axes, picture, digit in zip(row, pictures, found.tolist(), strict=True):
            axes.imshow(_pixels(picture), cmap="gray", vmin=0, vmax=1)
            axes.set_title(str(digit), fontsize=9, pad=2)
            axes.set(xticks=[], yticks=[])
    return figure


def _pixels(picture: Tensor) -> Any:
    """Return (H, W), or (H, W, 3) for a picture in colour."""
    values = picture.clamp(0, 1)
    return (values[0] if len(values) == 1 else values.permute(1, 2, 0)).numpy()


def figure_9(records: list[Record]) -> list[str]:
    """Show generations from birds' pictures and from their captions, for the first seed."""
    lines = []
    for record in tables.first_seed(records):
        found = record["measures"]["test"]["examples"]
        lines += [f"{table.name_of([record])}:\n", *captions.read(found)]
    return lines
