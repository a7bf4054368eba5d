"""The numbers of parameters of SVAE's and VAEVAE's inference networks: figure 5 of the paper.

Nothing is trained. The numbers are counted for the halves and thirds of MNIST, and beside them
stand the paper's k n^2 and k n 2^(n - 1) of n modalities, with the k parameters of one encoder.

    python -m ppl_mm.experiments.svae.parameters
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import typer
from torch import nn

from ppl_mm import plotting
from ppl_mm.experiments import runner
from ppl_mm.experiments.options import CountingOptions
from ppl_mm.experiments.svae import experiment
from ppl_mm.experiments.tables import Record, table

__all__ = ["SMOKE", "Config", "draw_5", "figure_5", "main"]

DATASETS = {2: "mnist_split", 3: "mnist_split_3"}
PAPER = {"svae": lambda n: n**2, "vaevae": lambda n: n * 2 ** (n - 1)}
"""How many encoders' worth of parameters n modalities have."""
_TITLES = {"svae": "SVAE", "vaevae": "VAEVAE"}
_FILE = "parameters-by-modalities.png"
_MOST = 5


@dataclass(frozen=True)
class Config(CountingOptions):
    """The options of the one run."""

    experiment: ClassVar[str] = "svae.parameters"

    out: str = "runs/svae"


SMOKE = Config()


def main(config: Config) -> dict[str, Any]:
    """Count, and write the record."""
    counts: dict[str, dict[str, int]] = {name: {} for name in PAPER}
    for n, dataset in DATASETS.items():
        for name, found in counts.items():
            asked = experiment.Config(system=name, dataset=dataset)
            loaded = experiment.load(asked)
            guide = experiment.build(asked, loaded).guide
            found[str(n)] = sum(p.numel() for p in guide.parameters())
    encoder: Callable[..., nn.Module] = loaded.modalities[0].encoder
    one = sum(p.numel() for p in encoder(asked.latent_dim).parameters())
    return runner.finish(config, {"measures": {"encoder": one, **counts}})


def figure_5(records: list[Record]) -> list[str]:
    """Show our counts and the paper's formulas, in millions; ``draw_5`` draws them."""
    found = records[0]["measures"]
    numbers = range(2, _MOST + 1)
    rows = [["millions of parameters", *(f"{n} modalities" for n in numbers)]]
    for name, title in _TITLES.items():
        ours = [found[name].get(str(n)) for n in numbers]
        rows.append([title, *("" if x is None else f"{x / 1e6:.2f}" for x in ours)])
        paper = [PAPER[name](n) * found["encoder"] / 1e6 for n in numbers]
        rows.append([f"*{title}, paper's formula*", *(f"{x:.2f}" for x in paper)])
    return [f"![Parameters by the number of modalities]({_FILE})\n", *table(rows)]


def draw_5(records: list[Record], folder: Path) -> None:
    """Write the curves; the paper's are dashed."""
    found = records[0]["measures"]
    ours = {t: [(float(n), x / 1e6, 0.0) for n, x in found[k].items()] for k, t in _TITLES.items()}
    paper = {
        t: [(float(n), PAPER[k](n) * found["encoder"] / 1e6, 0.0) for n in range(2, _MOST + 1)]
        for k, t in _TITLES.items()
    }
    title = "parameters of encoders, millions"
    figure = plotting.error_curves({title: ours}, xlabel="modalities", beside={title: paper})
    plotting.save(figure, folder / _FILE)


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
