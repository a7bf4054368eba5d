"""Kutuzova et al. 2021 (SVAE, arXiv:2101.07240): digits in halves and in thirds."""

from ppl_mm.experiments import svae, svae_table
from ppl_mm.experiments.reproduction import Table, each
from ppl_mm.experiments.svae import Config

__all__ = ["TABLES"]


def _short(runs: list[Config]) -> list[Config]:
    sizes = {"num_train": 20_000, "num_test": 2000, "oracle_epochs": 2}
    return each(runs, epochs=3, lr=1e-3, precision="bf16-mixed", **sizes)


HALVES = [Config(system=name) for name in ("svae", "vaevae", "vaevae_star")]
HALVES += [Config(system="mmvae", latent_dim=20, batch_size=256, lr=1e-3)]
SHARES = [
    Config(system=name, supervision=share)
    for name in ("svae", "vaevae", "vaevae_star", "svae_star", "mmvae")
    for share in (1.0, 0.1, 0.01, 0.001)
]
THIRDS = [
    Config(system=name, dataset="mnist_split_3", supervision=share, epochs=50)
    for name in ("svae", "vaevae")
    for share in (1.0, 0.1, 0.01, 0.001)
]

TABLES = {
    "table-1": Table(
        title="MNIST-Split, all rows paired: accuracy of what both halves, or one, rebuild",
        experiment=svae,
        data=("mnist_split",),
        paper=HALVES,
        short=_short(HALVES),
        show=svae_table.table_1,
    ),
    "figure-3": Table(
        title="MNIST-Split: both halves, rebuilt from the top, the bottom and both",
        experiment=svae,
        data=("mnist_split",),
        paper=HALVES,
        short=_short(HALVES),
        show=svae_table.figure_3,
    ),
    "figure-4": Table(
        title="MNIST-Split: accuracy by the share of rows that are paired",
        experiment=svae,
        data=("mnist_split",),
        paper=SHARES,
        short=_short([run for run in SHARES if run.system in ("svae", "vaevae", "mmvae")]),
        show=svae_table.figure_4,
    ),
    "figure-6": Table(
        title="MNIST-Split-3: accuracy from each third, each pair and all",
        experiment=svae,
        data=("mnist_split_3",),
        paper=THIRDS,
        short=_short([run for run in THIRDS if run.supervision in (1.0, 0.01)]),
        show=svae_table.figure_6,
    ),
}
