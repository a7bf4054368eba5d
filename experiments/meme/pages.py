"""Joy et al. 2022 (MEME, arXiv:2106.12570): pairs of pictures, and birds, few of them paired."""

from dataclasses import replace
from functools import partial
from typing import Any

from ppl_mm.experiments.meme import experiment as meme
from ppl_mm.experiments.meme import figures, gradients, likelihood
from ppl_mm.experiments.meme import table as meme_table
from ppl_mm.experiments.meme.experiment import Config
from ppl_mm.experiments.meme.likelihood import BOTH
from ppl_mm.experiments.reproduction import Draw, Show, Table, each
from ppl_mm.objectives.options import Preset

__all__ = ["TABLES"]

SCHEMES = ("svhn", "mnist", "split")
# The objective of the release comes first, as its numbers are the paper's; see the findings.
PRESETS: tuple[Preset, ...] = ("code", "paper", "bound")
MEMES = [Config(preset=preset, dataset="mnist_svhn") for preset in PRESETS]
MMVAE, MVAE = (Config(system=name, dataset="mnist_svhn") for name in ("mmvae", "mvae"))
PAIRED = [*MEMES, MMVAE, MVAE]
FEW = [
    replace(run, fraction=fraction, scheme=scheme)
    for run in (*MEMES, MVAE)
    for scheme in SCHEMES
    for fraction in (0.5, 0.25, 0.125, 0.0625)
]
DIRECTIONS = [
    replace(run, direction=direction) for run in MEMES for direction in (BOTH, "mnist", "svhn")
]
LAPLACE = [replace(MMVAE, family="laplace")]
BIRDS = [replace(run, dataset="cub", epochs=300, lr=1e-4) for run in PAIRED]
BIRDS += [
    replace(run, fraction=fraction, scheme=scheme)
    for run in BIRDS
    if run.system != "mmvae"
    for scheme in ("image", "caption", "split")
    for fraction in (0.5, 0.25, 0.125)
]


def _short(runs: list[Config]) -> list[Config]:
    """Return short runs: all pairs, or a quarter of them with either modality of the rest."""
    kept = [run for run in runs if (run.fraction, run.scheme) in ((1, "split"), (0.25, "split"))]
    sizes = {"num_train": 10_000, "num_test": 2000, "batch_size": 64}
    measures = {"classifier_epochs": 2, "process_steps": 500, "likelihood_rows": 100}
    return each(kept, **sizes, **measures, epochs=3, lr=1e-3, precision="bf16-mixed")


def _curves(table: Table, kind: str, what: str) -> Table:
    return replace(
        table,
        title=f"{what} by the fraction of pairs, as curves",
        show=partial(figures.curves, kind),
        draw=partial(figures.draw_curves, kind),
    )


def _tables(dataset: str, suffix: str) -> dict[str, Table]:
    """Return the tables on a data set: MNIST-SVHN, or one in its place."""

    def runs(paper: list[Config]) -> list[Config]:
        names = {"svhn": dataset.removeprefix("mnist_")}
        return [
            replace(
                run,
                dataset=dataset,
                scheme=names.get(run.scheme, run.scheme),
                direction=names.get(run.direction, run.direction),
            )
            for run in paper
        ]

    def table(title: str, show: Show, paper: list[Config], draw: Draw | None = None) -> Table:
        common: dict[str, Any] = {"experiment": meme, "data": (dataset,), "draw": draw}
        common["stands_in"] = "MNIST and SVHN" if suffix else ""
        return Table(title, paper=runs(paper), short=runs(_short(paper)), show=show, **common)

    related = table("Relatedness: distances of pairs and others", meme_table.figure_8, PAIRED)
    coherence = table("Coherence by the fraction of pairs", meme_table.table_3, PAIRED + FEW)

    return {
        f"table-2{suffix}": table(
            "Likelihood of pairs, by the direction of training",
            likelihood.table_2,
            DIRECTIONS,
        ),
        f"table-3{suffix}": coherence,
        f"table-4{suffix}": replace(
            coherence, title="Latent accuracy by the fraction of pairs", show=meme_table.table_4
        ),
        f"table-6{suffix}": replace(
            coherence, title="Mutual information of generated pictures", show=meme_table.table_6
        ),
        f"table-7{suffix}": table(
            "MMVAE with Laplace posteriors and prior", meme_table.table_7, LAPLACE
        ),
        f"figure-3{suffix}": table(
            "MEME: each modality generated from the other",
            figures.figure_3,
            MEMES,
            figures.draw_crossed,
        ),
        f"figure-5{suffix}": _curves(coherence, "coherence", "Coherence"),
        f"figure-7{suffix}": _curves(coherence, "latents", "Latent accuracy"),
        f"figure-8{suffix}": related,
        f"figure-9{suffix}": replace(
            related,
            title="Relatedness: distances between classes, and what lies together",
            show=meme_table.figure_9,
        ),
    }


GRADIENTS = [gradients.Config()]
CORRELATION = Table(
    title="Birds: correlation of image and caption by the fraction of pairs",
    experiment=meme,
    data=("cub",),
    paper=BIRDS,
    short=_short(BIRDS),
    show=meme_table.table_5,
)

TABLES = {
    **_tables("mnist_svhn", ""),
    **_tables("mnist_fashion", "-fashion"),
    "table-5": CORRELATION,
    "figure-4": replace(
        CORRELATION,
        title="Birds: MEME's captions from pictures, and pictures from captions",
        paper=BIRDS[: len(MEMES)],
        short=_short(BIRDS[: len(MEMES)]),
        show=figures.figure_4,
    ),
    "figure-6": _curves(CORRELATION, "correlation", "Birds: correlation of image and caption"),
    "figure-8-cub": replace(
        CORRELATION,
        title="Birds: distances of pairs and others",
        paper=BIRDS[: len(PAIRED)],
        short=_short(BIRDS[: len(PAIRED)]),
        show=meme_table.figure_8,
    ),
    "figure-10": Table(
        title="Signal to noise of the gradients, with the stop-gradient and without",
        experiment=gradients,
        data=("digits",),
        paper=GRADIENTS,
        short=each(GRADIENTS, draws=30),
        show=lambda records: [
            f"![Signal to noise]({gradients.Config(**r['config']).name}.png)" for r in records
        ],
        stands_in="data that it does not name",
    ),
}
