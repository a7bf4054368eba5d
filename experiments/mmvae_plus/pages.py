"""Palumbo, Daunhawer & Vogt 2023 (MMVAE+): five modalities of one digit, two, and birds."""

from dataclasses import replace

from ppl_mm.experiments.mmvae_plus import birds_pages, curves, sizes_table, table
from ppl_mm.experiments.mmvae_plus import experiment as mmvae_plus
from ppl_mm.experiments.mmvae_plus.experiment import Config
from ppl_mm.experiments.mmvae_plus.shown import grids_of, pictures_of
from ppl_mm.experiments.reproduction import Table, each
from ppl_mm.experiments.tables import Record

__all__ = ["TABLES"]

DREG = Config(arch="residual", objective="dreg", num_particles=10, probe_rows=60_000)
PRODUCTS = Config(
    system="mvae", arch="residual", latent_dim=512, lr=5e-4, epochs=500, probe_rows=60_000
)
SYSTEMS = [
    *(
        replace(DREG, system=s, beta=b)
        for s in ("mmvae_plus", "mmvae")
        for b in (1.0, 0.5, 2.5, 5.0)
    ),
    *(
        replace(PRODUCTS, system=s, beta=b, strata=strata)
        for s, strata in (("mvae", None), ("mopoe", 1))  # MoPoE's release draws one stratum.
        for b in (1.0, 0.03, 0.3, 3.0)
    ),
]
SIZES = [replace(DREG, shared_dim=64 - w, private_dim=w) for w in (8, 16, 32, 48)]
# The sizes and betas of MMJSD are this library's choice: the paper's text names none.
JSD = [
    Config(system="mmjsd", arch="residual", private_dim=w, beta=b, probe_rows=60_000)
    for w in (4, 8, 16, 32)
    for b in (1.0, 0.5, 2.5, 5.0)
]
# The paper's figure 1 has no row of the two systems whose private latents take the class.
SHORTCUTS = [run for run in JSD if run.private_dim == 32 and run.beta == 1]
SHORTCUTS += [replace(SHORTCUTS[0], system="dmvae")]
JSD += [run for run in SYSTEMS if run.system == "mmvae_plus"]
# Ten epochs of the usual 20 pairings of each picture of MNIST-SVHN are 200 epochs of one pairing.
_TEN_EPOCHS = 200
PAIRS = [
    replace(
        run,
        dataset="mnist_svhn",
        shared_dim=10,
        private_dim=w,
        other_private_dim=w + 3,
        epochs=_TEN_EPOCHS,
    )
    for run in (
        Config(system="dmvae", batch_size=100),
        Config(system="dmvae", batch_size=100, beta=2.5),
        Config(objective="dreg", num_particles=10, beta=2.5),
    )
    for w in (1, 3, 5, 7, 9)
]


def _short(runs: list[Config], *betas: float) -> list[Config]:
    """Return short runs: K = 1 from one random stratum, small networks, fewer rows, few betas."""
    sizes = {"num_train": 10_000, "num_test": 2000, "latent_dim": 64, "epochs": 3}
    cheap = {"arch": "conv", "objective": "elbo", "num_particles": 1, "strata": 1, "lr": 1e-3}
    measures = {"classifier_epochs": 2, "subset_rows": 500, "diversity_rows": 100, "alphas": 6}
    measures["probe_rows"] = 10_000
    plain = [run for run in runs if run.beta in (betas or (1.0,))]
    return each(plain, **sizes, **cheap, **measures, precision="bf16-mixed")


def _compared(records: list[Record]) -> list[str]:
    return [
        *table.claims(records),
        *table.coherence(records),
        *table.quality(records),
    ]


def _figure_17(dataset: str, stands_in: str = "") -> Table:
    """Make the table on MNIST-SVHN, or on data in its place."""
    runs = each(PAIRS, dataset=dataset)
    return Table(
        title="MNIST with another: MMVAE+ and DMVAE by the sizes of their private latents",
        experiment=mmvae_plus,
        data=(dataset,),
        paper=runs,
        short=_short([run for run in runs if run.private_dim in (1, 9)], 1.0, 2.5),
        show=curves.shown("pairs", sizes_table.pairs),
        draw=curves.draw_pairs,
        stands_in=stands_in,
    )


TABLES = {
    **birds_pages.TABLES,
    "figure-1": Table(
        title="PolyMNIST: coherence, quality and diversity of MMVAE+, MMVAE, MVAE and MoPoE",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=SYSTEMS + SHORTCUTS,
        short=_short(SYSTEMS + SHORTCUTS),
        show=curves.shown("scatter", _compared),
        draw=curves.draw_scatter,
    ),
    "figure-2": Table(
        title="PolyMNIST: MMJSD by the size of its private latents and beta, and MMVAE+",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=JSD,
        short=_short(JSD),
        show=curves.shown("by-beta", sizes_table.sizes),
        draw=curves.draw_by_beta,
    ),
    "figure-3": Table(
        title="PolyMNIST: MMVAE+ by the sizes of u and w",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=SIZES,
        short=_short(SIZES),
        show=curves.shown("by-size", _compared),
        draw=curves.draw_by_size,
    ),
    "figure-6": Table(
        title="PolyMNIST: draws of every modality given one",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[run for run in SYSTEMS if run.beta == 1],
        short=_short(SYSTEMS),
        show=lambda records: pictures_of(records, Config, "conditional"),
    ),
    "figure-7": Table(
        title="PolyMNIST: draws of every modality from the prior",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[run for run in SYSTEMS if run.beta == 1],
        short=_short(SYSTEMS),
        show=lambda records: pictures_of(records, Config, "prior"),
    ),
    "figure-8": Table(
        title="PolyMNIST: MMVAE+ with u of one modality's input and w of a target's",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[DREG],
        short=_short([DREG]),
        show=lambda records: grids_of(records, Config),
    ),
    "figure-9": Table(
        title="PolyMNIST: MMVAE+ with u from the prior and w of an input",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[DREG],
        short=_short([DREG]),
        show=lambda records: pictures_of(records, Config, "private"),
    ),
    "figure-10": Table(
        title="PolyMNIST: MMVAE+ with one coordinate of u, or of w, moved",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[DREG],
        short=_short([DREG]),
        show=lambda records: pictures_of(records, Config, "traversal-u", "traversal-w"),
    ),
    "figure-11": Table(
        title="PolyMNIST: what of the class the latents know",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=SYSTEMS + SIZES,
        short=_short(SYSTEMS + SIZES),
        show=curves.shown("latents", table.latents),
        draw=curves.draw_latents,
    ),
    "figure-17": _figure_17("mnist_svhn"),
    "figure-17-fashion": _figure_17("mnist_fashion", "MNIST and SVHN"),
    "figure-18": Table(
        title="PolyMNIST: MMVAE+ with private latents from the auxiliary priors",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[DREG],
        short=_short([DREG]),
        show=lambda records: pictures_of(records, Config, "auxiliary"),
    ),
    "figure-19": Table(
        title="PolyMNIST: MMVAE+ by where the private latent of a target comes from",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[DREG],
        short=_short([DREG]),
        show=curves.shown("alphas", table.private),
        draw=curves.draw_alphas,
    ),
    "figure-20": Table(
        title="PolyMNIST: MMVAE+ given one image, by the scale of its private latents",
        experiment=mmvae_plus,
        data=("polymnist",),
        paper=[DREG],
        short=_short([DREG]),
        show=lambda records: pictures_of(records, Config, "alpha"),
    ),
}
