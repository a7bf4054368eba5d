"""Wu & Goodman 2018 (MVAE, arXiv:1802.05335): an image and its label, or its string of digits."""

from dataclasses import replace

from ppl_mm.experiments.mvae import experiment as mvae
from ppl_mm.experiments.mvae import (
    faces_pages,
    parameters,
    table,
    translation_pages,
    vision_pages,
    weak,
    weak_table,
)
from ppl_mm.experiments.mvae.experiment import Config
from ppl_mm.experiments.mvae.readings import in_readings
from ppl_mm.experiments.mvae.weak import Config as Weak
from ppl_mm.experiments.reproduction import Table, each

__all__ = ["TABLES"]

IMAGES = ("binary_mnist", "mnist", "fashion_mnist", "multimnist")
SYSTEMS = in_readings(
    Config(system=system, dataset=dataset, epochs=500, joint_rows=10_000)
    for dataset in IMAGES
    for system in mvae.SYSTEMS
    if (system, dataset) != ("cvae", "multimnist")  # The paper does not have it.
)
SAMPLED = [
    Config(dataset=dataset, epochs=500, joint_rows=10_000)
    for dataset in IMAGES
    if dataset != "binary_mnist"
]


def _short(runs: list[Config]) -> list[Config]:
    sizes = {"train_rows": 20_000, "test_rows": 1000, "joint_rows": 1000}
    return each(runs, epochs=5, precision="bf16-mixed", **sizes)


MNIST = in_readings(
    Weak(method=method, fraction=fraction)
    for method in weak.METHODS
    for fraction in weak_table.FRACTIONS
)
FASHION = each([run for run in MNIST if run.method != "ae"], dataset="fashion_mnist", epochs=100)
MULTIMNIST = [
    replace(run, dataset="multimnist", epochs=100) for run in MNIST if run.method in weak.SYSTEMS
]


def _short_weak(runs: list[Weak]) -> list[Weak]:
    few = [run for run in runs if run.fraction in (0.001, 0.01, 0.1, 1.0)]
    return each(few, epochs=5, num_train=20_000, precision="bf16-mixed")


LIKELIHOODS = Table(
    title="An image and its label: likelihoods by draws from q(z | x1), and their variances",
    experiment=mvae,
    data=IMAGES,
    paper=SYSTEMS,
    short=_short(SYSTEMS),
    show=table.tables_2_and_3,
)
BY_BOTH = replace(
    LIKELIHOODS,
    title="An image and its label: the same by draws from q(z | x1, x2)",
    show=table.tables_6_and_7,
)
PARAMETERS = [parameters.Config()]
TABLES = {
    "table-1": Table(
        title="Parameters of the inference networks",
        experiment=parameters,
        data=(),
        paper=PARAMETERS,
        short=PARAMETERS,
        show=parameters.table_1,
    ),
    "figure-2": Table(
        title="Images drawn from the prior, and given a label",
        experiment=mvae,
        data=("mnist", "fashion_mnist", "multimnist"),
        paper=SAMPLED,
        short=_short(SAMPLED),
        show=table.figure_2,
    ),
    "table-2": LIKELIHOODS,
    "table-3": LIKELIHOODS,
    "table-6": BY_BOTH,
    "table-7": BY_BOTH,
    "figure-3": Table(
        title="Accuracy by the share of images that have a label",
        experiment=weak,
        data=("mnist", "fashion_mnist", "multimnist"),
        paper=MNIST + FASHION + MULTIMNIST,
        short=_short_weak(MNIST + FASHION + MULTIMNIST),
        show=weak_table.figure_3,
        draw=weak_table.draw,
    ),
    "table-8": Table(
        title="MNIST: accuracy by the share of images that have a label",
        experiment=weak,
        data=("mnist",),
        paper=MNIST,
        short=_short_weak(MNIST),
        show=weak_table.table_8,
    ),
    "table-9": Table(
        title="FashionMNIST: accuracy by the share of images that have a label",
        experiment=weak,
        data=("fashion_mnist",),
        paper=FASHION,
        short=_short_weak(FASHION),
        show=weak_table.table_9,
    ),
    "table-10": Table(
        title="MultiMNIST: accuracy of strings by the share of images that have one",
        experiment=weak,
        data=("multimnist",),
        paper=MULTIMNIST,
        short=_short_weak(MULTIMNIST),
        show=weak_table.table_10,
    ),
    **faces_pages.TABLES,
    **vision_pages.TABLES,
    **translation_pages.TABLES,
}
