"""Wu & Goodman 2018 (MVAE, arXiv:1802.05335): a face and its attributes, one modality or 18."""

from dataclasses import replace
from typing import Any

from ppl_mm.experiments.mvae import attributes, attributes_table, table
from ppl_mm.experiments.mvae import experiment as mvae
from ppl_mm.experiments.mvae.attributes import Config as Attributes
from ppl_mm.experiments.mvae.experiment import Config
from ppl_mm.experiments.mvae.readings import in_readings
from ppl_mm.experiments.mvae.weak_table import FRACTIONS
from ppl_mm.experiments.reproduction import Table, each, repeated

__all__ = ["TABLES"]

PAPER = {"epochs": 100, "lr": 1e-4, "num_samples": 100, "test_rows": 19_962, "joint_rows": 19_962}

FACES = each([Config(system=system, dataset="celeba") for system in mvae.SYSTEMS], **PAPER)
MVAE19 = replace(FACES[-1], dataset="celeba19")
ATTRIBUTES_AS_ONE_OR_18 = in_readings([*FACES, MVAE19])
KEPT = [Attributes(keep=share) for share in reversed(FRACTIONS)]
SUBSETS = [Attributes(k=k) for k in (1, 0, 2, 5, 10, 20, 50)]
SUBSETS += each(SUBSETS, shared_noise=True)


def _short(runs: list[Any]) -> list[Any]:
    sizes = {"train_rows": 5000, "test_rows": 200, "joint_rows": 200}
    return each(runs, epochs=3, precision="bf16-mixed", **sizes)


BY_IMAGE = Table(
    title="A face and its attributes: likelihoods by draws from q(z | x1), and their variances",
    experiment=mvae,
    data=("celeba", "celeba19"),
    paper=ATTRIBUTES_AS_ONE_OR_18,
    short=_short(ATTRIBUTES_AS_ONE_OR_18),
    show=table.tables_2_and_3,
)
BY_BOTH = replace(
    BY_IMAGE,
    title="A face and its attributes: the same by draws from q(z | x1, x2)",
    show=table.tables_6_and_7,
)
TABLES = {
    "figure-2-celeba": Table(
        title="Faces drawn from the prior, and given one attribute and no other",
        experiment=mvae,
        data=("celeba",),
        paper=FACES[-1:],
        short=_short(FACES[-1:]),
        show=table.figure_2,
    ),
    "table-2-celeba": BY_IMAGE,
    "table-3-celeba": BY_IMAGE,
    "table-6-celeba": BY_BOTH,
    "table-7-celeba": BY_BOTH,
    "figure-9": Table(
        title="A face and 18 attributes, of which training rows keep a share at random",
        experiment=attributes,
        data=("celeba19",),
        paper=KEPT,
        short=_short([run for run in KEPT if run.keep in (0.01, 0.1, 1.0)]),
        show=attributes_table.figure_9,
        draw=attributes_table.draw_9,
    ),
    "figure-10": Table(
        title="A face and 18 attributes: more random subsets among the terms",
        experiment=attributes,
        data=("celeba19",),
        paper=repeated(SUBSETS, 3),
        short=_short([run for run in SUBSETS if run.k in (0, 1, 10)]),
        show=attributes_table.figure_10,
        draw=attributes_table.draw_10,
    ),
}
