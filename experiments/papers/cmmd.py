"""Mancisidor et al. 2023 (CMMD): one view, or some of three modalities, are missing in use."""

from dataclasses import replace

from ppl_mm.experiments import cmmd, cmmd_table, cmmd_three, cmmd_three_table
from ppl_mm.experiments.cmmd_three import Config as Three
from ppl_mm.experiments.reproduction import Table, each

__all__ = ["TABLES"]

VIEWS = [cmmd.Config(omega=omega) for omega in (0.4, 0.2, 0.6, 0.8)]
VIEWS += [cmmd.Config(system=name, epochs=250) for name in ("vcca", "vcca_private")]
VIEWS += [cmmd.Config(system=name) for name in ("mvae", "mmvae")]
CLASSIFIERS = [cmmd.Config(system=name, epochs=100) for name in ("classifier", "matched", "mvcl")]
CLASSIFIERS += [cmmd.Config(system=name, epochs=50) for name in ("cca", "dcca", "dccae")]


def _short_views(runs: list[cmmd.Config]) -> list[cmmd.Config]:
    sizes = {"num_train": 20_000, "num_test": 2000, "num_particles": 3}
    kept = [run for run in runs if run.system != "cmmd" or run.omega == 0.4]
    return each(kept, epochs=4, lr=1e-3, precision="bf16-mixed", **sizes)


OBSERVED = ("mnist", "svhn", "text", "mnist+svhn", "mnist+text", "svhn+text", "mnist+svhn+text")
THREE = [Three(observed=observed) for observed in OBSERVED]
THREE += [Three(system=name) for name in ("mvae", "mmvae", "mopoe")]


def _fashion(runs: list[Three]) -> list[Three]:
    """FashionMNIST in SVHN's place."""
    named = [replace(run, observed=run.observed.replace("svhn", "fashion")) for run in runs]
    return each(named, dataset="mnist_fashion_text")


def _short_three(runs: list[Three]) -> list[Three]:
    sizes = {"num_train": 10_000, "num_test": 2000, "batch_size": 100, "classifier_epochs": 2}
    return each(runs, epochs=3, lr=1e-3, precision="bf16-mixed", **sizes)


def _three(number: int, title: str, *, fashion: bool) -> Table:
    runs = _fashion(THREE) if fashion else THREE
    return Table(
        title=title,
        experiment=cmmd_three,
        data=("mnist_fashion_text" if fashion else "mnist_svhn_text",),
        paper=runs,
        short=_short_three(runs),
        show=cmmd_three_table.table_5 if number == 5 else cmmd_three_table.table_6,
    )


TABLES = {
    "table-2": Table(
        title="Two views of MNIST: the class from the rotated digit",
        experiment=cmmd,
        data=("two_view_mnist",),
        paper=VIEWS + CLASSIFIERS,
        short=_short_views(VIEWS + CLASSIFIERS),
        show=cmmd_table.table_2,
    ),
    "figure-3": Table(
        title="Two views of MNIST: posterior collapse",
        experiment=cmmd,
        data=("two_view_mnist",),
        paper=VIEWS,
        short=_short_views(VIEWS),
        show=cmmd_table.figure_3,
        draw=cmmd_table.draw,
    ),
    "table-5": _three(5, "Three modalities: latent accuracy from every subset", fashion=False),
    "table-6": _three(6, "Three modalities: coherence", fashion=False),
    "table-5-fashion": _three(5, "The same with FashionMNIST for SVHN", fashion=True),
    "table-6-fashion": _three(6, "The same with FashionMNIST for SVHN", fashion=True),
}
