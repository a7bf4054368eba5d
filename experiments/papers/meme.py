"""Joy et al. 2022 (MEME, arXiv:2106.12570): pictures of two kinds, and birds, few of them pairs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ppl_mm.experiments import meme, meme_gradients, meme_likelihood, meme_table
from ppl_mm.experiments.meme import Config
from ppl_mm.experiments.reproduction import Table, each
from ppl_mm.experiments.tables import Record

__all__ = ["TABLES"]

SCHEMES = ("svhn", "mnist", "split")
PAIRED = [Config(system=name, dataset="mnist_svhn") for name in ("meme", "mmvae", "mvae")]
FEW = [
    replace(run, fraction=fraction, scheme=scheme)
    for run in (PAIRED[0], PAIRED[2])
    for scheme in SCHEMES
    for fraction in (0.5, 0.25, 0.125, 0.0625)
]
DIRECTIONS = [PAIRED[0], *(replace(PAIRED[0], direction=name) for name in ("mnist", "svhn"))]
BIRDS = [replace(run, dataset="cub", epochs=300, lr=1e-4) for run in PAIRED]
BIRDS += [
    replace(run, fraction=fraction, scheme=scheme)
    for run in (BIRDS[0], BIRDS[2])
    for scheme in ("image", "caption", "split")
    for fraction in (0.5, 0.25, 0.125)
]


def _short(runs: list[Config]) -> list[Config]:
    """All pairs, and a quarter of them with either modality of the rest."""
    kept = [run for run in runs if (run.fraction, run.scheme) in ((1, "split"), (0.25, "split"))]
    sizes = {"num_train": 10_000, "num_test": 2000, "batch_size": 64}
    measures = {"classifier_epochs": 2, "process_steps": 500, "likelihood_rows": 100}
    return each(kept, **sizes, **measures, epochs=3, lr=1e-3, precision="bf16-mixed")


def _tables(dataset: str, suffix: str) -> dict[str, Table]:
    """The tables on a data set: MNIST-SVHN, or one in its place."""

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

    def table(title: str, show: Callable[[list[Record]], list[str]], paper: list[Config]) -> Table:
        common: dict[str, Any] = {"experiment": meme, "data": (dataset,)}
        return Table(title, paper=runs(paper), short=runs(_short(paper)), show=show, **common)

    return {
        f"table-2{suffix}": table(
            "Likelihood of pairs, by the direction of training",
            meme_likelihood.table_2,
            DIRECTIONS,
        ),
        f"table-3{suffix}": table(
            "Coherence by the fraction of pairs", meme_table.table_3, PAIRED + FEW
        ),
        f"table-4{suffix}": table(
            "Latent accuracy by the fraction of pairs", meme_table.table_4, PAIRED + FEW
        ),
        f"table-6{suffix}": table(
            "Mutual information of generated pictures", meme_table.table_6, PAIRED + FEW
        ),
        f"figure-8{suffix}": table(
            "Relatedness: distances of pairs and others, and between classes",
            lambda records: [*meme_table.relatedness(records), *meme_table.figures(records)],
            PAIRED,
        ),
    }


GRADIENTS = [meme_gradients.Config()]

TABLES = {
    **_tables("mnist_svhn", ""),
    **_tables("mnist_fashion", "-fashion"),
    "table-5": Table(
        title="Birds: correlation of image and caption by the fraction of pairs",
        experiment=meme,
        data=("cub",),
        paper=BIRDS,
        short=_short(BIRDS),
        show=meme_table.table_5,
    ),
    "figure-10": Table(
        title="Signal to noise of the gradients, with the stop-gradient and without",
        experiment=meme_gradients,
        data=("digits",),
        paper=GRADIENTS,
        short=each(GRADIENTS, draws=30),
        show=lambda records: [
            f"![Signal to noise]({meme_gradients.Config(**r['config']).name}.png)" for r in records
        ],
    ),
}
