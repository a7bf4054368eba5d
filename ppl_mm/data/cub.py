"""Caltech-UCSD Birds: pairs of captions of one bird, and a picture or its features with a caption.

    cub_captions    caption_a, caption_b    (32,) integers each, two captions of one picture
    cub             image                   (2048,) float, features of the picture
                    caption                 (32,) integers, one of its ten captions
    cub_images      image                   (3, 64, 64) float in [0, 1], the picture
                    caption                 (32,) integers, one of its ten captions

Captions are symbols of ``DataSet.vocabulary``, the words that training captions hold more than 3
times; see :mod:`ppl_mm.data.vocabulary`. The files: :mod:`ppl_mm.data.cub_files`, which hold no
classes, and :mod:`ppl_mm.data.cub_pictures`.

Source: Wah et al. 2011 and Reed et al. 2016 (captions). Captions as symbols: Shi et al. 2019,
arXiv:1911.03393 (MMVAE).
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppl_mm.data.cub_files import (
    CAPTIONS_PER_PICTURE,
    find_captions,
    find_cub,
    read_captions,
    read_features,
)
from ppl_mm.data.cub_pictures import classes_of, find_pictures, list_pictures, read_pictures
from ppl_mm.data.dataset import DataSet, as_floats
from ppl_mm.data.vocabulary import LENGTH, PAD, Vocabulary
from ppl_mm.likelihoods import Laplace, Tokens
from ppl_mm.mapped import MemoryMapped
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.observations import Observations
from ppl_mm.typed import typed

__all__ = ["cub", "cub_captions", "cub_images"]

_LATENT_DIM = 64
_PAIRS = CAPTIONS_PER_PICTURE // 2


@typed
def cub_captions(
    folder: str | Path | None = None,
    *,
    num_test: int = 500,
    validation: int = 250,
    score_padding: bool = True,
    seed: int = 0,
) -> DataSet:
    """Two captions of one bird: 10,915 training, 1,250 validation and 2,500 test pairs.

    The pictures are those of the published test classes, 2,933 of them, split at random. The ten
    captions of a picture make five pairs, at random: every caption is in one pair. Row r of a
    split of P pictures is of its picture r mod P. As files name no classes, birds of one class
    may be in several splits.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        num_test: How many pictures to test on.
        validation: How many pictures to hold out for choosing a model.
        score_padding: True: the likelihood is a mass over all sequences of 32 symbols. False:
            positions after the end are not scored, the likelihood is that of the words and the
            end given their number.
        seed: Of the pairs and the splits.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is damaged, or the sizes leave no picture for training or for the test.

    Source: this library. Networks: the CUB captions of Palumbo, Daunhawer & Vogt 2023 (MMVAE+),
    for a shared and a private latent of 48 + 16: the decoder reads the last 16 of z in a stack of
    their own, whatever they are.
    """
    captions = read_captions(find_captions(folder, "test"))
    num_pictures = len(captions) // CAPTIONS_PER_PICTURE
    sizes = [num_pictures - num_test - validation, validation, num_test]
    if min(sizes[0], num_test) < 1 or validation < 0:
        raise ValueError(
            f"cub_captions: expected num_test of at least 1, validation of at least 0, and one of "
            f"the {num_pictures} pictures left for training, got {num_test} and {validation}."
        )
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randperm(num_pictures, generator=generator).split(sizes)
    orders = torch.rand(num_pictures, CAPTIONS_PER_PICTURE, generator=generator).argsort(dim=1)
    rows = CAPTIONS_PER_PICTURE * torch.arange(num_pictures).unsqueeze(1) + orders
    kept = rows[pictures[0]].flatten().sort().values.tolist()
    vocabulary = Vocabulary.of(captions[i] for i in kept)
    tokens = vocabulary.encode(captions)
    train, test = (_pairs(tokens, rows[pictures[part]]) for part in (0, 2))
    held_out = _pairs(tokens, rows[pictures[1]]) if validation else None
    modalities = tuple(
        _caption(name, vocabulary, score_padding) for name in ("caption_a", "caption_b")
    )
    return DataSet(
        "cub_captions",
        train,
        held_out,
        test,
        modalities,
        _LATENT_DIM,
        label=None,
        num_classes=None,
        vocabulary=vocabulary,
    )


@typed
def cub(
    folder: str | Path | None = None, *, validation: int = 1_466, score_padding: bool = True
) -> DataSet:
    """Features of a bird's picture, and one of its ten captions: 88,550 training rows.

    Training and test pictures show other classes of birds. Row r is caption r of its file, of
    picture floor(r / 10). By default the first 1,467 of the 2,933 test pictures are for testing,
    14,670 rows, and the last 1,466 for validation, 14,660 rows.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache. The 117,880 rows
            take 1 GB.
        validation: How many of the last **test** pictures to hold out for choosing a model.
        score_padding: As for :func:`cub_captions`.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged or do not fit together, or ``validation`` leaves no
            picture to test on.

    Source: Kutuzova et al. 2020, "Multimodal Variational Autoencoders for Semi-Supervised
    Learning" (SVAE): D = 64, networks, Laplace with scale 0.01 and lambda = 0.002 of the image;
    networks of captions as for :func:`cub_captions`. Differs: its release takes validation rows
    that overlap with the test rows.
    """
    paths = find_cub(folder)
    captions = {part: read_captions(path) for part, (path, _) in paths.items()}
    num_test = len(captions["test"]) // CAPTIONS_PER_PICTURE
    if not 0 <= validation < num_test:
        raise ValueError(
            f"cub: expected validation to be from 0 to {num_test - 1} of the {num_test} test "
            f"pictures, got {validation}."
        )
    vocabulary = Vocabulary.of(captions["train"])
    splits = {}
    for part, texts in captions.items():
        features = read_features(paths[part][1], len(texts) // CAPTIONS_PER_PICTURE)
        image = features.repeat_interleave(CAPTIONS_PER_PICTURE, dim=0)
        splits[part] = Observations({"image": image, "caption": vocabulary.encode(texts)})
    kept = CAPTIONS_PER_PICTURE * (num_test - validation)
    picture = Modality(
        "image",
        Laplace(0.01),
        presets.cub_features_encoder,
        presets.cub_features_decoder,
        weight=0.002,
        features=presets.cub_features_features,
    )
    return DataSet(
        "cub",
        splits["train"],
        splits["test"][kept:] if validation else None,
        splits["test"][:kept],
        (picture, _caption("caption", vocabulary, score_padding)),
        _LATENT_DIM,
        label=None,
        num_classes=None,
        vocabulary=vocabulary,
    )


@typed
def cub_images(
    folder: str | Path | None = None, *, validation: int = 0, score_padding: bool = True
) -> DataSet:
    """A bird's picture, and one of its ten captions: 88,550 training and 29,330 test rows.

    Training and test pictures show other classes of birds. Row r is caption r of its file, with
    picture floor(r / 10). Pictures stay in a file, see :class:`ppl_mm.data.MemoryMapped`, where
    each is kept once. ``labels`` holds the class of training rows alone, 0..149: a classifier of
    those knows none of the test's.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        validation: How many of the last **test** pictures to hold out for choosing a model. The
            papers hold out none.
        score_padding: As for :func:`cub_captions`.

    Raises:
        FileNotFoundError: If files are missing; the message says where to get them.
        ValueError: If files are damaged or do not fit together, or ``validation`` leaves no
            picture to test on.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+), release: D = 48 (besides 16 private), networks,
    Laplace with scale 0.01, lambda = 32 / 12288 of the image and 5 of the caption. Private latents
    of captions have ``presets.cub_caption_private_encoder`` there.
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
        (picture, replace(_caption("caption", vocabulary, score_padding), weight=5.0)),
        48,
        label=None,
        num_classes=None,
        labels={"train": classes.repeat_interleave(CAPTIONS_PER_PICTURE)},
        vocabulary=vocabulary,
    )


class _Repeated:
    """An array's rows, ten times each: row r is picture floor(r / 10)."""

    def __init__(self, pictures: np.ndarray[Any, Any]) -> None:
        self.pictures, self.dtype = pictures, pictures.dtype
        self.shape = (CAPTIONS_PER_PICTURE * len(pictures), *pictures.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray[Any, Any]:
        return self.pictures[rows // CAPTIONS_PER_PICTURE]


def _pairs(tokens: Tensor, rows: Tensor) -> Observations:
    """Pairs of the captions with these rows (P, 10), the first pair of every picture first."""
    pairs = rows.unflatten(1, (_PAIRS, 2)).transpose(0, 1).flatten(0, 1)  # (5 P, 2)
    return Observations({"caption_a": tokens[pairs[:, 0]], "caption_b": tokens[pairs[:, 1]]})


def _caption(name: str, vocabulary: Vocabulary, score_padding: bool) -> Modality:
    sizes = {"length": LENGTH, "vocab_size": len(vocabulary)}
    return Modality(
        name,
        Tokens(padding=None if score_padding else PAD),
        partial(presets.cub_caption_encoder, **sizes),
        partial(presets.cub_caption_decoder, **sizes),
        features=partial(presets.cub_caption_features, **sizes),
    )
