"""The lines that show the pictures of MMVAE+'s runs, each under its caption."""

from ppl_mm.arguments.wording import counted
from ppl_mm.experiments.mmvae_plus.sizes_table import TITLES
from ppl_mm.experiments.tables import Record, first_seed, pictures

__all__ = ["grids_of", "pictures_of"]

_KINDS = {
    "conditional": "one image given above, draws of every modality below",
    "prior": "drawn from the prior",
    "private": "u from the prior, w of the input at the left",
    "traversal-u": "a coordinate of u moved from -5 to 5, in each column another, of every target",
    "traversal-w": "a coordinate of w moved from -5 to 5, in each column another, of every target",
    "auxiliary": "private latents from the auxiliary priors",
    "alpha": "by the scale of the private latents",
    "image-given-caption": "images given a caption",
    "image-prior": "images drawn from the prior",
    "caption-given-image": "captions given an image",
    "both-prior": "captions drawn from the prior, each with its image",
}
"""The end of a picture's name -> what it shows."""


def pictures_of(records: list[Record], config: type, *kinds: str) -> list[str]:
    """Show these pictures of each run of the first seed."""
    return pictures(_runs(records, config), {kind: _KINDS[kind] for kind in kinds})


def grids_of(records: list[Record], config: type) -> list[str]:
    """Show u of the first modality's input with w of each other one's, a grid each."""
    first, *others = records[0]["measures"]["classifiers"]
    grids = {f"grid-{n}": f"u of {first}'s input (left) with w of {n}'s (above)" for n in others}
    return pictures(_runs(records, config), grids)


def _runs(records: list[Record], config: type) -> dict[str, str]:
    """The name of each run of the first seed -> what it is."""
    runs = {}
    for record in first_seed(records):
        own = config(**record["config"])
        runs[own.name] = f"{TITLES[own.system]}, {counted(own.epochs, 'epoch')}"
    return runs
