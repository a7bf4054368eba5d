"""Pictures of the CMMD paper's generations and latents: figures 4, F.1, G.1, and tags."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ppl_mm import plotting
from ppl_mm.data.words import spell
from ppl_mm.experiments import generated, runner
from ppl_mm.experiments.cmmd import data, experiment, three
from ppl_mm.experiments.cmmd.config import LABEL, task_of
from ppl_mm.experiments.cmmd.paper import TITLES, name_of
from ppl_mm.experiments.cmmd.three_table import TITLES as TITLES_OF_THREE
from ppl_mm.experiments.findings import finding
from ppl_mm.experiments.tables import Record, Runs, first_seed, table

__all__ = [
    "draw_figure_4",
    "draw_latents",
    "draw_missing",
    "figure_4",
    "figure_f1",
    "figure_g1",
    "table_7",
    "table_c1",
]

_POINTS = 1000  # The number of rows in a picture of latents.


def figure_4(records: list[Record]) -> list[str]:
    """Show generations of CMMD from the word, and from the word and MNIST."""
    return _page(records, three.Config, "generated")


def draw_figure_4(records: list[Record], folder: Path) -> None:
    """Write each system's generations from the modalities it observes, for a row of each class."""
    for config in _configs(records, three.Config, folder):
        system, dataset = runner.trained(config, three.load, three.build)
        rows = dataset.test[generated.one_of_each(dataset.test[LABEL])].drop(LABEL)
        given = tuple(config.observed.split("+"))
        targets = [n for n in rows.names if n not in given]
        figure = generated.from_some(
            system, rows, given, targets, num_samples=4, words={"text": _word}, seed=config.seed
        )
        plotting.save(figure, folder / f"{config.name}-generated.png")


def figure_g1(records: list[Record]) -> list[str]:
    """Show generations of CMMD, MMVAE and MVAE from MNIST."""
    return _page(records, experiment.Config, "generated")


def draw_missing(records: list[Record], folder: Path) -> None:
    """Write the generated missing modalities, for a test row of each class."""
    for config in _configs(records, experiment.Config, folder):
        system, dataset = runner.trained(config, data.load, experiment.build)
        task = task_of(config)
        rows = dataset.test[generated.one_of_each(dataset.test[LABEL])].drop(LABEL)
        figure = generated.from_some(
            system, rows, task.observed, task.missing, num_samples=4, seed=config.seed
        )
        plotting.save(figure, folder / f"{config.name}-generated.png")


def figure_f1(records: list[Record]) -> list[str]:
    """Show the latents of test rows given the observed modalities, by t-SNE."""
    return _page(records, experiment.Config, "latents")


def draw_latents(records: list[Record], folder: Path) -> None:
    """Write the posterior means given the observed modalities, in two dimensions."""
    for config in _configs(records, experiment.Config, folder):
        system, dataset = runner.trained(config, data.load, experiment.build)
        rows = dataset.test[: config.num_test][:_POINTS]
        given = task_of(config).observed
        figure = plotting.posterior_means(system, rows, label=LABEL, given=given, seed=config.seed)
        plotting.save(figure, folder / f"{config.name}-latents.png")


def table_7(records: list[Record]) -> list[str]:
    """Show the tags that each system makes of photographs with several tags."""
    return [finding("cmmd", "Tags"), *_tags(records, some=True)]


def table_c1(records: list[Record]) -> list[str]:
    """Show the tags that each system makes of photographs without tags."""
    return [finding("cmmd", "Tags"), *_tags(records, some=False)]


def _tags(records: list[Record], *, some: bool) -> list[str]:
    first = first_seed(records)
    rows = [["tags", *(f"made by {TITLES[r['config']['system']]}" for r in first)]]
    for examples in zip(*(r["measures"]["tags"] for r in first), strict=True):
        if bool(examples[0]["real"]) == some:
            words = [examples[0]["real"], *(e["made"] for e in examples)]
            rows.append([" ".join(map(str, tags)) or "-" for tags in words])
    return table(rows)


def _page(records: list[Record], kind: Callable[..., Any], picture: str) -> list[str]:
    lines = []
    for record in first_seed(records):
        name = _title(record)
        lines.append(f"{name}:\n\n![{name}]({kind(**record['config']).name}-{picture}.png)\n")
    return lines


def _title(record: Record) -> str:
    config = record["config"]
    if "split" in config:
        runs: Runs = [record]
        return name_of(runs)
    return f"{TITLES_OF_THREE[config['system']]} from {config['observed']}"


def _configs(records: list[Record], kind: Callable[..., Any], folder: Path) -> Iterator[Any]:
    """Return the runs of the first seed, which are read from this folder."""
    for record in first_seed(records):
        yield replace(kind(**record["config"]), out=str(folder), device="cpu")


def _word(symbols: Tensor) -> str:
    return spell(symbols[None])[0].strip() or "-"
