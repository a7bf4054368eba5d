"""The lines that show the pictures of MMVAE+'s runs, each under its caption."""

from ppl_mm.arguments.wording import counted
from ppl_mm.experiments.mmvae_plus.sizes_table import TITLES
from ppl_mm.experiments.tables import Record, first_seed, pictures

__all__ = ["pictures_of"]

_KINDS = {
    "conditional": "one image given above, draws of every modality below",
    "prior": "drawn from the prior",
    **{f"grid-m{i}": f"u of m0's input (left) with w of m{i}'s (above)" for i in range(1, 5)},
    "private": "u from the prior, w of the input at the left",
    "traversal-u": "a coordinate of u moved from -5 to 5, in each column another",
    "traversal-w": "a coordinate of w moved from -5 to 5, in each column another",
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
    runs = {}
    for record in first_seed(records):
        own = config(**record["config"])
        runs[own.name] = f"{TITLES[own.system]}, {counted(own.epochs, 'epoch')}"
    return pictures(runs, {kind: _KINDS[kind] for kind in kinds})
