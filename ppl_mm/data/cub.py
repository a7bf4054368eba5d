"""Caltech-UCSD Birds: pairs of captions of one bird, or features of a picture with a caption.

    cub_captions    caption_a, caption_b    (32,) integers each, two captions of one picture
    cub             image                   (2048,) float, features of the picture
                    caption                 (32,) integers, one of its ten captions

Captions are symbols of ``DataSet.vocabulary``, the words that training captions hold more than 3
times; see :mod:`ppl_mm.data.vocabulary`. :mod:`ppl_mm.data.cub_files` describes the files, which
hold no classes. The pictures themselves are the data set of :mod:`ppl_mm.data.cub_images`.

Source: Wah et al. 2011 and Reed et al. 2016 (captions). Captions as symbols: Shi et al. 2019,
arXiv:1911.03393 (MMVAE).
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.cub_files import (
    CAPTIONS_PER_PICTURE,
    read_captions,
    read_features,
)
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.registry import Defaults, register
from ppl_mm.data.vocabulary import LENGTH, PAD, Vocabulary
from ppl_mm.likelihoods import Laplace, Tokens
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.birds import CAPTIONS_BY_HAND, FEATURES_BY_HAND, find_captions, find_cub

__all__ = ["caption_modality", "cub", "cub_captions"]

_LATENT_DIM = 64
_PAIRS = CAPTIONS_PER_PICTURE // 2


@register(
    modalities=("caption_a", "caption_b"),
    sizes=(10_915, 1_250, 2_500),
    by_hand=CAPTIONS_BY_HAND,
    find=find_captions,
    defaults=Defaults(epochs=50, batch_size=100, rows=200),
)
@typed
def cub_captions(
    folder: str | Path | None = None,
    *,
    num_test: int = 500,
    validation: int = 250,
    score_padding: bool = True,
    seed: int = 0,
) -> DataSet:
    """Read two captions of one bird: 10,915 training, 1,250 validation and 2,500 test pairs.

    The 2,933 pictures of the published test classes are split at random. The ten captions of a
    picture make five pairs at random, and every caption is in one pair. Row r of a split of P
    pictures belongs to its picture r mod P. Since the files name no classes, birds of one class may
    be in several splits.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        num_test: The number of pictures to test on.
        validation: The number of pictures to hold out for choosing a model.
        score_padding: If True, the likelihood is a mass over all sequences of 32 symbols. If False,
            positions after the end are not scored, and the likelihood is that of the words and the
            end, given their number.
        seed: The seed of the pairs and the splits.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file is damaged, or no picture is left for training or for the test.

    Source: this library. The networks are those of Palumbo, Daunhawer & Vogt 2023 (MMVAE+) for the
    CUB captions, with a shared and a private latent of 48 + 16: the decoder reads the last 16
    elements of z in a stack of their own.
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
        caption_modality(name, vocabulary, score_padding) for name in ("caption_a", "caption_b")
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


@register(
    modalities=("image", "caption"),
    sizes=(88_550, 14_660, 14_670),
    by_hand=FEATURES_BY_HAND,
    find=find_cub,
    defaults=Defaults(epochs=50, batch_size=100, learning_rate=1e-4, rows=200),
)
@typed
def cub(
    folder: str | Path | None = None, *, validation: int = 1_466, score_padding: bool = True
) -> DataSet:
    """Read features of a bird's picture, and one of its ten captions: 88,550 training rows.

    Training and test pictures show different classes of birds. Row r is caption r of its file, of
    picture floor(r / 10). By default the first 1,467 of the 2,933 test pictures give 14,670 test
    rows, and the last 1,466 give 14,660 validation rows.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache. The 117,880 rows
            take 1 GB.
        validation: The number of **test** pictures, the last ones, to hold out for choosing a
            model.
        score_padding: Whether the likelihood scores padding, see :func:`cub_captions`.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged or do not fit together, or ``validation`` leaves no
            picture to test on.

    Source: Kutuzova et al. 2020, "Multimodal Variational Autoencoders for Semi-Supervised
    Learning" (SVAE): D = 64, networks, Laplace with scale 0.01 and lambda = 0.002 of the image;
    networks of captions as in :func:`cub_captions`. Differs: the release's validation rows overlap
    with its test rows.
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
        (picture, caption_modality("caption", vocabulary, score_padding)),
        _LATENT_DIM,
        label=None,
        num_classes=None,
        vocabulary=vocabulary,
    )


def _pairs(tokens: Tensor, rows: Tensor) -> Observations:
    """Pair the captions of these rows (P, 10); the first pair of every picture comes first."""
    pairs = rows.unflatten(1, (_PAIRS, 2)).transpose(0, 1).flatten(0, 1)  # (5 P, 2)
    return Observations({"caption_a": tokens[pairs[:, 0]], "caption_b": tokens[pairs[:, 1]]})


def caption_modality(name: str, vocabulary: Vocabulary, score_padding: bool) -> Modality:
    """Declare a caption with the networks of MMVAE+."""
    sizes = {"length": LENGTH, "vocab_size": len(vocabulary)}
    return Modality(
        name,
        Tokens(padding=None if score_padding else PAD),
        partial(presets.cub_caption_encoder, **sizes),
        partial(presets.cub_caption_decoder, **sizes),
        features=partial(presets.cub_caption_features, **sizes),
    )
