"""Three modalities of one digit, and its class.

    mnist_svhn_text      mnist (1, 28, 28), svhn (3, 32, 32), text (8,) symbols, label
    mnist_fashion_text   mnist (1, 28, 28), fashion (1, 28, 28), text (8,) symbols, label
    mnist_rotated_svhn   mnist (1, 28, 28), rotated (1, 28, 28), svhn (3, 32, 32), label

Pictures are floats in [0, 1], the published bytes / 255. The text is the word of the digit, see
:mod:`ppl_mm.data.words`. ``DataSet.without_label`` reserves the class for evaluation.

Sources: Sutter et al. 2020 (mmJSD), arXiv:2006.08242 (MNIST-SVHN-Text); Mancisidor et al. 2023
(CMMD), doi:10.1016/j.neunet.2023.10.048, sections 4.1, 4.3.1 (three pictures) and 4.3.2 (text).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet, as_floats, split_last
from ppl_mm.data.pairs import Labelled, pair_by_class, read_labelled
from ppl_mm.data.registry import register
from ppl_mm.data.views import digit_label, rotated
from ppl_mm.data.words import move_words, write_words
from ppl_mm.likelihoods import Laplace, SoftBernoulli, Tokens
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.small_pictures import FASHION_MNIST, MNIST, SVHN
from ppl_mm.published.sources import Source

__all__ = ["mnist_fashion_text", "mnist_rotated_svhn", "mnist_svhn_text"]

Pixels = Literal["bernoulli", "laplace"]
"""The likelihood of pictures, SoftBernoulli or Laplace(0.75)."""

_LATENT_DIM = 20


@register(
    modalities=("mnist", "svhn", "text", "label"),
    sizes=(56_068, 0, 10_000),
    sources=(MNIST, SVHN),
)
@typed
def mnist_svhn_text(
    folder: str | Path | None = None,
    *,
    pixels: Pixels = "bernoulli",
    repeats: int = 1,
    validation: int = 0,
    seed: int = 0,
) -> DataSet:
    """Join MNIST and SVHN pictures of one digit and its word: 56,068 training, 10,000 test rows.

    ``transform`` draws the places of the words anew for every training batch.

    Args:
        folder: The data folder with MNIST and SVHN; default ``PPL_MM_DATA``, or the user's cache.
        pixels: With ``"bernoulli"`` a soft Bernoulli scores pictures, which is not a density. With
            ``"laplace"`` a Laplace of scale 0.75 does, as in mmJSD and MoPoE. Their weights are
            3072/784, 1 and 3072/8; here all weights are 1, and systems take ``weights=``.
        repeats: The number of times each picture is paired. A row takes 15 kB, a repeat 1 GB.
            The papers' 20 make 1,121,360 training and 200,000 test rows.
        validation: The number of training rows, the last ones, to hold out.
        seed: The seed of the training rows; the test rows use ``seed + 1``.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, ``validation`` leaves no row to train on, or for other
            ``pixels``.

    Source: see the module; networks of CMMD's tables H.3 to H.5, D = 20. Differs: one repeat by
    default; places of words in test rows are drawn once.
    """
    second = _picture("svhn", pixels)
    return _with_text("mnist_svhn_text", second, SVHN, folder, pixels, repeats, validation, seed)


@register(
    modalities=("mnist", "fashion", "text", "label"),
    sizes=(58_862, 0, 9_786),
    sources=(MNIST, FASHION_MNIST),
)
@typed
def mnist_fashion_text(
    folder: str | Path | None = None,
    *,
    pixels: Pixels = "bernoulli",
    repeats: int = 1,
    validation: int = 0,
    seed: int = 0,
) -> DataSet:
    """Put FashionMNIST in the place of SVHN in :func:`mnist_svhn_text`: 58,862 and 9,786 rows.

    Class k of FashionMNIST is paired with the digit k.

    Args:
        folder: The data folder with both; default ``PPL_MM_DATA``, or the user's cache.
        pixels: The likelihood of pictures, see :func:`mnist_svhn_text`.
        repeats: The number of times each picture is paired. A row takes 6 kB, a repeat 0.4 GB.
        validation: The number of training rows, the last ones, to hold out.
        seed: The seed of the training rows; the test rows use ``seed + 1``.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, ``validation`` leaves no row to train on, or for other
            ``pixels``.

    Source: this library, on the model of :func:`mnist_svhn_text`.
    """
    name, second = "mnist_fashion_text", _picture("fashion", pixels)
    return _with_text(name, second, FASHION_MNIST, folder, pixels, repeats, validation, seed)


@register(
    modalities=("mnist", "rotated", "svhn", "label"),
    sizes=(30_000, 0, 7_000),
    sources=(MNIST, SVHN),
)
@typed
def mnist_rotated_svhn(
    folder: str | Path | None = None,
    *,
    pixels: Pixels = "bernoulli",
    num_train: int = 30_000,
    num_test: int = 7_000,
    validation: int = 0,
    seed: int = 0,
) -> DataSet:
    """Join MNIST, rotated MNIST and SVHN pictures of one digit: 30,000 and 7,000 rows.

    For every digit the first pictures are rotated, one for each row of the digit. Those for
    training are among the first 50,000 training pictures.

    Args:
        folder: The data folder with MNIST and SVHN; default ``PPL_MM_DATA``, or the user's cache.
        pixels: The likelihood of pictures, see :func:`mnist_svhn_text`.
        num_train: The number of rows for training and validation.
        num_test: The number of rows for the test.
        validation: The number of these ``num_train`` rows, the last ones, to hold out.
        seed: The seed of the training rows; the test rows use ``seed + 1``.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, there are fewer rows than asked for, ``validation``
            leaves no row to train on, or for other ``pixels``.

    Source: CMMD, sections 4.1 and 4.3.1. Differs: no picture is in two rows, the random numbers are
    drawn here, and each picture has its own decoder, see :mod:`ppl_mm.networks.presets_cmmd`.
    """
    digits, numbers = (read_labelled(source, folder) for source in (MNIST, SVHN))
    (images, labels), *test_digits = digits
    to_turn = ((images[:50_000], labels[:50_000]), *test_digits)
    splits = []
    for part, size in enumerate((num_train, num_test)):
        rows, classes = _paired(digits[part], numbers[part], ("mnist", "svhn"), 1, seed + part)
        if not 1 <= size <= len(classes):
            raise ValueError(
                f"mnist_rotated_svhn: expected num_train and num_test from 1 to the number of "
                f"pairs, which is {len(classes)}, got {size}."
            )
        classes = classes[:size]
        pictures = {name: as_floats(picture[:size]) for name, picture in rows.items()}
        generator = torch.Generator().manual_seed(seed + part)
        first = _first_of_each(to_turn[part][1], classes)
        pictures["rotated"] = rotated(to_turn[part][0][first], generator)
        names = ("mnist", "rotated", "svhn")
        splits.append(Observations({n: pictures[n] for n in names} | {"label": classes}))
    modalities = (*(_picture(n, pixels) for n in names), digit_label())
    return _data_set("mnist_rotated_svhn", splits, modalities, validation)


def _with_text(
    name: str,
    second: Modality,
    source: Source,
    folder: str | Path | None,
    pixels: Pixels,
    repeats: int,
    validation: int,
    seed: int,
) -> DataSet:
    digits, others = read_labelled(MNIST, folder), read_labelled(source, folder)
    splits = []
    for part in (0, 1):  # training, test
        names = ("mnist", second.name)
        rows, classes = _paired(digits[part], others[part], names, repeats, seed + part)
        text = write_words(classes, torch.Generator().manual_seed(seed + part))
        pictures = {n: as_floats(picture) for n, picture in rows.items()}
        splits.append(Observations({**pictures, "text": text, "label": classes}))
    text_modality = Modality(
        "text",
        Tokens(),
        presets.cmmd_text_encoder,
        presets.cmmd_text_decoder,
        features=presets.cmmd_text_features,
    )
    modalities = (_picture("mnist", pixels), second, text_modality, digit_label())
    return _data_set(name, splits, modalities, validation, words=True)


def _paired(
    firsts: Labelled, seconds: Labelled, names: tuple[str, str], repeats: int, seed: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the paired pictures by name, as bytes, and their classes."""
    (images_a, labels_a), (images_b, labels_b) = firsts, seconds
    rows_a, rows_b = pair_by_class(labels_a, labels_b, repeats=repeats, seed=seed)
    return {names[0]: images_a[rows_a], names[1]: images_b[rows_b]}, labels_a[rows_a]


def _first_of_each(labels: Tensor, wanted: Tensor) -> Tensor:
    """Return a row of each wanted class, (len(wanted),); the first rows, each once."""
    rows = torch.empty_like(wanted)
    for kind in wanted.unique().tolist():
        asked, there = wanted == kind, (labels == kind).nonzero().squeeze(-1)
        if int(asked.sum()) > len(there):
            raise ValueError(
                f"mnist_rotated_svhn: expected at least {int(asked.sum())} pictures of the digit "
                f"{kind} to rotate, got {len(there)}; ask for fewer rows."
            )
        rows[asked] = there[: int(asked.sum())]
    return rows


def _picture(name: str, pixels: Pixels) -> Modality:
    encoder, decoder, features = (
        getattr(presets, f"cmmd_{name}_{part}") for part in ("encoder", "decoder", "features")
    )
    if pixels == "bernoulli":
        return Modality(name, SoftBernoulli(), encoder, decoder, features=features)
    located = partial(decoder, sigmoid=True)
    return Modality(name, Laplace(0.75), encoder, located, features=features)


def _data_set(
    name: str,
    splits: Sequence[Observations],
    modalities: tuple[Modality, ...],
    validation: int,
    words: bool = False,
) -> DataSet:
    train, held_out = split_last(name, splits[0], validation)
    transform = move_words if words else None
    return DataSet(
        name,
        train,
        held_out,
        splits[1],
        modalities,
        _LATENT_DIM,
        "label",
        10,
        transform=transform,
    )
