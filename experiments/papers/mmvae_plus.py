"""Palumbo, Daunhawer & Vogt 2023 (MMVAE+): PolyMNIST, five modalities of one digit."""

from dataclasses import replace

from ppl_mm.experiments import mmvae_plus, mmvae_plus_table
from ppl_mm.experiments.mmvae_plus import Config
from ppl_mm.experiments.reproduction import Table, each
from ppl_mm.experiments.tables import Record

__all__ = ["TABLES"]

DREG = Config(arch="residual", objective="dreg", num_particles=10)
PRODUCTS = Config(arch="residual", latent_dim=512, lr=5e-4, epochs=500)
SYSTEMS = [
    *(
        replace(DREG, system=s, beta=b)
        for s in ("mmvae_plus", "mmvae")
        for b in (1.0, 0.5, 2.5, 5.0)
    ),
    *(
        replace(PRODUCTS, system=s, beta=b)
        for s in ("mvae", "mopoe")
        for b in (1.0, 0.03, 0.3, 3.0)
    ),
]
SIZES = [replace(DREG, shared_dim=64 - w, private_dim=w) for w in (8, 16, 32, 48)]


def _short(runs: list[Config]) -> list[Config]:
    """K = 1 from one stratum at random, small networks, a part of the rows, beta = 1."""
    sizes = {"num_train": 10_000, "num_test": 2000, "latent_dim": 64, "epochs": 3}
    cheap = {"arch": "conv", "objective": "elbo", "num_particles": 1, "strata": 1, "lr": 1e-3}
    measures = {"classifier_epochs": 2, "subset_rows": 500, "diversity_rows": 100}
    plain = [run for run in runs if run.beta == 1]
    return each(plain, **sizes, **cheap, **measures, precision="bf16-mixed")


def _compared(records: list[Record]) -> list[str]:
    return [
        *mmvae_plus_table.claims(records),
        *mmvae_plus_table.coherence(records),
        *mmvae_plus_table.quality(records),
    ]


def _pictures(kind: str, records: list[Record]) -> list[str]:
    names = [Config(**record["config"]).name for record in records]
    return [f"{name}:\n\n![{name}]({name}-{kind}.png)\n" for name in names]


TABLES = {
    "figure-1": Table(
        title="PolyMNIST: coherence, quality and diversity of MMVAE+, MMVAE, MVAE and MoPoE",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=SYSTEMS,
        short=_short(SYSTEMS),
        show=_compared,
    ),
    "figure-3": Table(
        title="PolyMNIST: MMVAE+ by the sizes of u and w",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=SIZES,
        short=_short(SIZES),
        show=_compared,
    ),
    "figure-6": Table(
        title="PolyMNIST: draws of every modality given one",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[run for run in SYSTEMS if run.beta == 1],
        short=_short(SYSTEMS),
        show=lambda records: _pictures("conditional", records),
    ),
    "figure-8": Table(
        title="PolyMNIST: MMVAE+ with u of one input and w of another",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[DREG],
        short=_short([DREG]),
        show=lambda records: _pictures("grid", records),
    ),
    "figure-11": Table(
        title="PolyMNIST: what of the class the latents know",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=SYSTEMS,
        short=_short(SYSTEMS),
        show=mmvae_plus_table.latents,
    ),
    "figure-19": Table(
        title="PolyMNIST: MMVAE+ by where the private latent of a target comes from",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[DREG],
        short=_short([DREG]),
        show=mmvae_plus_table.private,
    ),
}
