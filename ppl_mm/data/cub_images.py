"""Caltech-UCSD Birds: pictures, each with one of its captions.

    image      (3, 64, 64) float in [0, 1], the picture
    caption    (32,) integers, one of its ten captions, as in :mod:`ppl_mm.data.cub`

:mod:`ppl_mm.data.cub_files` and :mod:`ppl_mm.data.cub_pictures` describe the files.

Source: Wah et al. 2011 and Reed et al. 2016 (captions); Palumbo, Daunhawer & Vogt 2023 (MMVAE+).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.data.cub import caption_modality
from ppl_mm.data.cub_files import CAPTIONS_PER_PICTURE, read_captions
from ppl_mm.data.cub_pictures import (
    classes_of,
    list_pictures,
    read_pictures,
)
from ppl_mm.data.dataset import DataSet, as_floats
from ppl_mm.data.registry import Defaults, register
from ppl_mm.data.vocabulary import Vocabulary
from ppl_mm.likelihoods import Laplace
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.birds import PICTURES_BY_HAND, find_captions, find_pictures

__all__ = ["cub_images"]


@register(
    modalities=("image", "caption"),
    sizes=(88_550, 0, 29_330),
    by_hand=PICTURES_BY_HAND,
    find=find_pictures,
    defaults=Defaults(epochs=50, batch_size=32, rows=100),
)
@typed
def cub_images(
    folder: str | Path | None = None, *, validation: int = 0, score_padding: bool = True
) -> DataSet:
    """Read a bird's picture, and one of its ten captions: 88,550 training and 29,330 test rows.

    Training and test pictures show different classes of birds. Row r is caption r of its file, with
    picture floor(r / 10). Pictures stay in a file, see :class:`ppl_mm.data.MemoryMapped`, which
    holds each of them once. ``labels`` holds the class of training rows only, 0..149, since a
    classifier that learns these classes does not know those of the test.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        validation: The number of **test** pictures, the last ones, to hold out for choosing a
            model. The papers hold out none.
        score_padding: Whether the likelihood scores padding, see :func:`cub_captions`.

    Raises:
        FileNotFoundError: If files are missing; the message says how to get them.
        ValueError: If files are damaged or do not fit together, or ``validation`` leaves no
            picture to test on.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+), release: D = 48 (besides 16 private), networks,
    Laplace with scale 0.01, lambda = 32 / 12288 for the image and 5 for the caption. There, the
    encoder of the captions' private latents is ``presets.cub_caption_private_encoder``.
    """
    root = find_pictures(folder)
    listed = list_pictures(root)
    captions = {part: read_captions(find_captions(folder, part)) for part in listed}
    num_test = len(listed["test"])
    if not 0 <= validation < num_test:
        raise ValueError(
            f"cub_images: expected validation to be from 0 to {num_test - 1} of the {num_test} "
            f"test pictures, got {validation}."
        )
    vocabulary = Vocabulary.of(captions["train"])
    splits = {}
    for part, names in listed.items():
        if len(captions[part]) != CAPTIONS_PER_PICTURE * len(names):
            raise ValueError(
                f"cub_images: expected {CAPTIONS_PER_PICTURE} captions for each of {len(names)} "
                f"{part} pictures, by images.txt and testclasses.txt, got {len(captions[part])} "
                "captions. The files do not belong together: copy them again."
            )
        pictures = _Repeated(read_pictures(root, part, names))
        values = {"image": pictures, "caption": vocabulary.encode(captions[part]).numpy()}
        splits[part] = MemoryMapped(values, convert={"image": as_floats})
    kept = CAPTIONS_PER_PICTURE * (num_test - validation)
    picture = Modality(
        "image",
        Laplace(0.01),
        presets.cub_image_encoder,
        presets.cub_image_decoder,
        weight=32 / 12_288,
    )
    classes = torch.tensor(classes_of(listed["train"]))
    return DataSet(
        "cub_images",
        splits["train"],
        splits["test"][kept:] if validation else None,
        splits["test"][:kept],
        (picture, replace(caption_modality("caption", vocabulary, score_padding), weight=5.0)),
        48,
        label=None,
        num_classes=None,
        labels={"train": classes.repeat_interleave(CAPTIONS_PER_PICTURE)},
        vocabulary=vocabulary,
    )


class _Repeated:
    """An array that repeats each picture ten times: row r is picture floor(r / 10)."""

    def __init__(self, pictures: np.ndarray[Any, Any]) -> None:
        self.pictures, self.dtype = pictures, pictures.dtype
        self.shape = (CAPTIONS_PER_PICTURE * len(pictures), *pictures.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return self.pictures[rows // CAPTIONS_PER_PICTURE]
