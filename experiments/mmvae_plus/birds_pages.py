"""Palumbo, Daunhawer & Vogt 2023 (MMVAE+): birds and their captions."""

from ppl_mm.experiments.mmvae_plus import cub, cub_table
from ppl_mm.experiments.mmvae_plus.cub import Config
from ppl_mm.experiments.mmvae_plus.shown import pictures_of
from ppl_mm.experiments.reproduction import Table, each
from ppl_mm.experiments.tables import Record

__all__ = ["TABLES"]

BIRDS = [
    Config(),
    Config(system="mmvae"),
    Config(system="mvae", beta=9.0, lr=5e-4, epochs=150),
    Config(system="mopoe", beta=9.0, lr=5e-4, epochs=150, strata=1),
]


def _short(runs: list[Config]) -> list[Config]:
    """Return short runs: K = 1 from one random stratum, few channels, every eighth picture."""
    sizes = {"num_train": 1100, "num_test": 500, "channels": 16, "epochs": 2, "lr": 1e-3}
    cheap = {"objective": "elbo", "num_particles": 1, "strata": 1, "precision": "bf16-mixed"}
    return each(runs, **sizes, **cheap)


def _of_birds(title: str, *kinds: str, runs: list[Config] = BIRDS) -> Table:
    """Make a table of pictures of these kinds, after the measures."""

    def show(records: list[Record]) -> list[str]:
        return [*cub_table.measures(records), *pictures_of(records, Config, *kinds)]

    return Table(
        title=f"Birds and their captions: {title}",
        experiment=cub,
        data=("cub_images",),
        paper=runs,
        short=_short(runs),
        show=show,
    )


GIVEN_CAPTIONS = _of_birds("images given a caption", "image-given-caption")
TABLES = {
    "figure-4": GIVEN_CAPTIONS,
    "figure-12": _of_birds("images from the prior", "image-prior"),
    "figure-13": GIVEN_CAPTIONS,
    "figure-14": _of_birds("captions given an image", "caption-given-image"),
    "figure-15": _of_birds("captions from the prior, each with its image", "both-prior"),
    "figure-16": _of_birds(
        "MMVAE+ with one coordinate of u, or of w, moved",
        *("image-given-caption", "traversal-u", "traversal-w"),
        runs=BIRDS[:1],
    ),
    "figure-21": _of_birds(
        "MMVAE+ given one caption, by the scale of its private latents", "alpha", runs=BIRDS[:1]
    ),
}
