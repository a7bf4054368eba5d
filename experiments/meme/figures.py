"""Pictures of the MEME experiment's runs: the curves of its tables, and generations."""

from dataclasses import replace
from pathlib import Path

from ppl_mm import plotting
from ppl_mm.experiments import captions, generated, runner, tables
from ppl_mm.experiments.findings import finding
from ppl_mm.experiments.meme import experiment, table
from ppl_mm.experiments.meme.experiment import Config
from ppl_mm.experiments.meme.paper import EPOCHS, FRACTIONS, PAPER, TITLES, name_of, rows_of
from ppl_mm.experiments.tables import Record

__all__ = ["curves", "draw_crossed", "draw_curves", "figure_3", "figure_4"]

_READS = {
    "coherence": table.coherences,
    "correlation": table.correlations,
    "latents": table.latent_accuracies,
}
_Points = dict[str, list[tuple[float, float, float]]]


def curves(kind: str, records: list[Record]) -> list[str]:
    """Return the page of a table's curves on one data set, which :func:`draw_curves` draws."""
    return [
        *table.presets(records),
        finding("meme", "Curves"),
        f"![{kind} by the fraction of pairs]({_curves_file(kind, records)})\n",
    ]


def draw_curves(kind: str, records: list[Record], folder: Path) -> None:
    """Write coherence, latents or correlation by the fraction of pairs; the paper's are dashed."""
    panels: dict[str, _Points] = {}
    paper: dict[str, _Points] = {}
    published = records[0]["config"]["dataset"] in EPOCHS
    several = len({tables.length(r["config"]) for r in records}) > 1
    for title, read in _READS[kind](records).items():
        numbers = PAPER[title[0].lower() + title[1:]] if published else {}
        for (row, made), runs in rows_of(records).items():
            first = next(iter(runs.values()))[0]
            scheme = row.rpartition(", ")[2]
            alone = set(runs) == {1}  # All rows are pairs, whatever the scheme.
            name = name_of(first) if alone else row
            name += f", epochs: {made}" if several else ""
            panels.setdefault(title, {})[name] = [
                tables.point(f, [read(r["measures"]) for r in found]) for f, found in runs.items()
            ]
            known = TITLES[first["config"]["system"]]
            values = numbers.get(known, numbers.get(f"{known}, {scheme}", ()))
            if values:
                points = zip(FRACTIONS, values, strict=False)
                paper.setdefault(title, {})[name] = [(f, v, 0.0) for f, v in points]
    figure = plotting.error_curves(panels, xlabel="fraction of pairs", beside=paper)
    plotting.save(figure, folder / _curves_file(kind, records))


def figure_3(records: list[Record]) -> list[str]:
    """Show each modality generated from the other, for the first seed; ``draw_crossed`` draws."""
    lines = []
    for record in tables.first_seed(records):
        config = Config(**record["config"])
        first, second = _names(config)
        kinds = {f"from-{s}": f"{t} given {s}" for s, t in ((first, second), (second, first))}
        lines += tables.pictures({config.name: name_of(record)}, kinds)
    return lines


def draw_crossed(records: list[Record], folder: Path) -> None:
    """Write draws of each modality given the other, for a test row of every class."""
    for record in tables.first_seed(records):
        config = replace(Config(**record["config"]), out=str(folder), device="cpu")
        system, dataset = runner.trained(config, experiment.load, experiment.build)
        rows = dataset.test[generated.one_of_each(dataset.classes("test"))]
        first, second = _names(config)
        for given, target in ((first, second), (second, first)):
            figure = generated.from_some(system, rows, (given,), (target,), seed=config.seed)
            plotting.save(figure, folder / f"{config.name}-from-{given}.png")


def figure_4(records: list[Record]) -> list[str]:
    """Show generations from birds' pictures and from their captions, for the first seed."""
    lines = []
    for record in tables.first_seed(records):
        lines += [f"{name_of(record)}:\n", *captions.read(record["measures"]["examples"])]
    return lines


def _names(config: Config) -> tuple[str, str]:
    first, second = config.dataset.split("_")
    return first, second


def _curves_file(kind: str, records: list[Record]) -> str:
    return f"{records[0]['config']['dataset']}-{kind}-by-fraction.png"
