"""Joy et al. 2022 (MEME, arXiv:2106.12570): pictures of two kinds, of which few are pairs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ppl_mm.experiments import meme, meme_gradients, meme_table
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


def _short(runs: list[Config]) -> list[Config]:
    """All pairs, and a quarter of them with either modality of the rest."""
    kept = [run for run in runs if (run.fraction, run.scheme) in ((1, "split"), (0.25, "split"))]
    sizes = {"num_train": 10_000, "num_test": 2000, "batch_size": 64}
    measures = {"classifier_epochs": 2, "process_steps": 500}
    return each(kept, **sizes, **measures, epochs=3, lr=1e-3, precision="bf16-mixed")


def _tables(dataset: str, suffix: str) -> dict[str, Table]:
    """The tables on a data set: MNIST-SVHN, or one in its place."""

    def runs(paper: list[Config]) -> list[Config]:
        second = dataset.removeprefix("mnist_")
        named = [replace(r, scheme=second if r.scheme == "svhn" else r.scheme) for r in paper]
        return each(named, dataset=dataset)

    def table(title: str, show: Callable[[list[Record]], list[str]], paper: list[Config]) -> Table:
        common: dict[str, Any] = {"experiment": meme, "data": (dataset,)}
        return Table(title, paper=runs(paper), short=runs(_short(paper)), show=show, **common)

    return {
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
