"""Wu & Goodman 2018 (MVAE, arXiv:1802.05335): an image and its label."""

from dataclasses import replace

from ppl_mm.experiments import mvae, mvae_table, mvae_weak, mvae_weak_table
from ppl_mm.experiments.mvae import Config
from ppl_mm.experiments.mvae_weak import Config as Weak
from ppl_mm.experiments.reproduction import Table, each

__all__ = ["TABLES"]

IMAGES = ("binary_mnist", "mnist", "fashion_mnist")
SYSTEMS = [
    Config(system=system, dataset=dataset, epochs=500)
    for dataset in IMAGES
    for system in mvae.SYSTEMS
]


def _short(runs: list[Config]) -> list[Config]:
    sizes = {"train_rows": 20_000, "test_rows": 1000, "joint_rows": 500}
    return each(runs, epochs=5, precision="bf16-mixed", **sizes)


def _weak(dataset: str) -> list[Weak]:
    """Tables 8 and 9: by the share of the training rows that are pairs."""
    return [
        Weak(method=method, dataset=dataset, fraction=fraction)
        for method in mvae_weak.METHODS
        for fraction in (0.001, 0.01, 0.1, 1.0)
    ]


def _short_weak(runs: list[Weak]) -> list[Weak]:
    return each(runs, epochs=5, num_train=20_000, precision="bf16-mixed")


LIKELIHOODS = Table(
    title="An image and its label: likelihoods by 1000 draws from q(z | x1), and their variances",
    experiment=mvae,
    data=IMAGES,
    paper=SYSTEMS,
    short=_short(SYSTEMS),
    show=mvae_table.tables_2_and_3,
)
BY_BOTH = replace(
    LIKELIHOODS,
    title="An image and its label: the same by draws from q(z | x1, x2)",
    show=mvae_table.tables_6_and_7,
)
TABLES = {
    "table-2": LIKELIHOODS,
    "table-3": LIKELIHOODS,
    "table-6": BY_BOTH,
    "table-7": BY_BOTH,
    "table-8": Table(
        title="MNIST: accuracy by the share of images that have a label",
        experiment=mvae_weak,
        data=("mnist",),
        paper=_weak("mnist"),
        short=_short_weak(_weak("mnist")),
        show=mvae_weak_table.table_8,
    ),
    "table-9": Table(
        title="FashionMNIST: accuracy by the share of images that have a label",
        experiment=mvae_weak,
        data=("fashion_mnist",),
        paper=_weak("fashion_mnist"),
        short=_short_weak(_weak("fashion_mnist")),
        show=mvae_weak_table.table_9,
    ),
}
