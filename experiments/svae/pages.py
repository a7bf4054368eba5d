"""Kutuzova et al. 2021 (SVAE, arXiv:2101.07240): parts of digits, pairs of pictures, birds."""

from dataclasses import replace
from functools import partial
from typing import Any

from ppl_mm.experiments.reproduction import Show, Table, each
from ppl_mm.experiments.svae import experiment as svae
from ppl_mm.experiments.svae import figures, parameters, table
from ppl_mm.experiments.svae.experiment import Config

__all__ = ["TABLES"]


def _short(runs: list[Config]) -> list[Config]:
    sizes = {"num_train": 20_000, "num_test": 2000, "oracle_epochs": 2}
    return each(runs, epochs=3, lr=1e-3, precision="bf16-mixed", **sizes)


FEW = ("svae", "vaevae", "mmvae")
LEVELS = (1.0, 0.5, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
FEW_LEVELS = (1.0, 0.1, 0.01, 0.001)
HALVES = [Config(system=name, best_epoch=True) for name in ("svae", "vaevae", "vaevae_star")]
HALVES += [replace(HALVES[0], system="mmvae", latent_dim=20, batch_size=256, lr=1e-3)]
SHARES = [
    replace(run, supervision=share)
    for run in (*HALVES[:3], replace(HALVES[0], system="svae_star"), HALVES[3])
    for share in LEVELS
]
THIRDS = [
    replace(run, dataset="mnist_split_3", supervision=share, epochs=50)
    for run in HALVES[:2]
    for share in LEVELS
]
# The paper takes MVAE's values, of complete pairs, from Shi et al. 2019.
PAIRS = [
    Config(
        system=name,
        dataset="mnist_svhn",
        supervision=share,
        epochs=50,
        batch_size=256,
        latent_dim=20,
        lr=1e-4 if name == "svae" else 1e-3,
        repeats=30,
        best_epoch=True,
    )
    for name in ("svae", "vaevae", "vaevae_star", "mmvae", "mvae")
    for share in ((1.0,) if name == "mvae" else LEVELS)
]
BIRDS = [
    replace(HALVES[0], system=run.system, dataset="cub", supervision=run.supervision, lr=1e-4)
    for run in PAIRS
]


DESCRIBED = [run for run in BIRDS if run.supervision == 1 and run.system in ("svae", "vaevae")]
DRAWN_PAIRS = [run for run in PAIRS if run.system == "vaevae" and run.supervision == 1]


def _short_pairs(runs: list[Config]) -> list[Config]:
    return each(_short(runs), repeats=1)


def _curves(show: Show) -> dict[str, Any]:
    """Return a page with curves by the share of rows that are paired."""
    return {"show": partial(figures.with_curves, show), "draw": figures.draw_curves}


def _pairs(dataset: str, suffix: str) -> dict[str, Table]:
    """Return the tables on MNIST-SVHN, or on data in its place."""
    runs, drawn = each(PAIRS, dataset=dataset), each(DRAWN_PAIRS, dataset=dataset)
    common: dict[str, Any] = {"experiment": svae, "data": (dataset,)}
    common["stands_in"] = "MNIST and SVHN" if suffix else ""
    return {
        f"figure-2{suffix}": Table(
            title="VAEVAE: pairs of pictures drawn together, and the class of each",
            paper=drawn,
            short=_short_pairs(drawn),
            show=table.pictures,
            draw=figures.draw_pairs,
            **common,
        ),
        f"figure-7{suffix}": Table(
            title="Pairs of pictures: joint and cross coherence by the share that is paired",
            paper=runs,
            short=_short_pairs([run for run in runs if run.supervision in (1.0, 0.01)]),
            **common,
            **_curves(table.figure_7),
        ),
    }


def _most_and_least(runs: list[Config], *systems: str) -> list[Config]:
    """Return the runs of these systems with all rows paired, and with the fewest."""
    return [run for run in runs if run.system in systems and run.supervision in (1.0, 0.001)]


def _both(system: str) -> dict[str, Table]:
    """Make the tables of halves and pairs of pictures, and of halves alone."""
    halves, pairs = (_most_and_least(runs, system) for runs in (SHARES, PAIRS))
    both = Table(
        title=f"{table.TITLES[system]}: halves rebuilt, and pairs of pictures drawn together",
        experiment=svae,
        data=("mnist_split", "mnist_svhn"),
        paper=halves + pairs,
        short=_short(halves) + _short_pairs(pairs),
        show=table.pictures,
        draw=figures.draw_pairs,
    )
    alone = replace(
        both,
        title=f"{table.TITLES[system]}: halves rebuilt",
        data=("mnist_split",),
        paper=halves,
        short=_short(halves),
    )
    name = {"svae": "figure-e.10", "vaevae": "figure-e.11"}[system]
    return {name: both, f"{name}-halves": alone}


REBUILT = _most_and_least(SHARES, "svae", "vaevae", "vaevae_star", "mmvae")
PARAMETERS = [parameters.Config()]
TABLES = {
    "table-1": Table(
        title="MNIST-Split, all rows paired: accuracy of what both halves, or one, rebuild",
        experiment=svae,
        data=("mnist_split",),
        paper=HALVES,
        short=_short(HALVES),
        show=table.table_1,
    ),
    "figure-3": Table(
        title="MNIST-Split: both halves, rebuilt from the top, the bottom and both",
        experiment=svae,
        data=("mnist_split",),
        paper=REBUILT,
        short=_short(REBUILT),
        show=table.figure_3,
    ),
    "figure-4": Table(
        title="MNIST-Split: accuracy by the share of rows that are paired",
        experiment=svae,
        data=("mnist_split",),
        paper=SHARES,
        short=_short([r for r in SHARES if r.system in FEW and r.supervision in FEW_LEVELS]),
        **_curves(table.figure_4),
    ),
    "figure-5": Table(
        title="Parameters of SVAE and VAEVAE by the number of modalities",
        experiment=parameters,
        data=("mnist_split", "mnist_split_3"),
        paper=PARAMETERS,
        short=PARAMETERS,
        show=parameters.figure_5,
        draw=parameters.draw_5,
    ),
    "figure-6": Table(
        title="MNIST-Split-3: accuracy from each third, each pair and all",
        experiment=svae,
        data=("mnist_split_3",),
        paper=THIRDS,
        short=_short([run for run in THIRDS if run.supervision in (1.0, 0.01)]),
        **_curves(table.figure_6),
    ),
    **_pairs("mnist_svhn", ""),
    **_pairs("mnist_fashion", "-fashion"),
    "figure-8": Table(
        title="Birds: correlation of image and caption by the share of rows that are paired",
        experiment=svae,
        data=("cub",),
        paper=BIRDS,
        short=_short(
            [run for run in BIRDS if run.supervision in (1.0, 0.01) and run.system in FEW]
        ),
        **_curves(table.figure_8),
    ),
    "figure-9": Table(
        title="Birds: captions from pictures, and pictures from captions",
        experiment=svae,
        data=("cub",),
        paper=DESCRIBED,
        short=_short(DESCRIBED),
        show=figures.figure_9,
    ),
    **_both("svae"),
    **_both("vaevae"),
}
