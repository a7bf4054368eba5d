"""Pairs of pictures of one class: MNIST with SVHN, MNIST with FashionMNIST.

    mnist             (1, 28, 28) float in [0, 1]
    svhn or fashion   (3, 32, 32) or (1, 28, 28) float in [0, 1]

The class is not a modality; ``DataSet.labels`` keeps it for evaluation.

Source: Shi et al. 2019, arXiv:1911.03393 (MMVAE), and its release.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int, Integer
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet, as_floats, split_labels, split_last
from ppl_mm.data.mnist import read_images
from ppl_mm.data.registry import register
from ppl_mm.data.svhn import SVHN_DEFAULTS, read_svhn
from ppl_mm.likelihoods import Laplace
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.small_pictures import FASHION_MNIST, MNIST, SVHN
from ppl_mm.published.sources import Source, locate

__all__ = ["Labelled", "mnist_fashion", "mnist_svhn", "pair_by_class", "read_labelled"]

_LATENT_DIM = 20
_LAMBDA_MNIST = 3 * 32 * 32 / (28 * 28)  # The weight makes up for MNIST's smaller number of values.

Labelled = tuple[Tensor, Tensor]
"""Images (N, C, H, W) uint8 and labels (N,) int64."""


@typed
def pair_by_class(
    labels_a: Integer[Tensor, " N_a"],
    labels_b: Integer[Tensor, " N_b"],
    *,
    repeats: int = 1,
    seed: int = 0,
    max_per_class: int = 10_000,
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """Pair the rows of two data sets at random, so that their classes agree.

    For every class c that both data sets have, the first n_c = min(N_c^a, N_c^b, ``max_per_class``)
    rows of each are paired once in each of the repeats, in two independent random orders. This
    gives ``repeats`` times sum_c n_c pairs, which are returned in random order.

    Args:
        labels_a: The class (N_a,) of each row of the first data set, integers.
        labels_b: The class (N_b,) of each row of the second.
        repeats: The number of times that each row is paired, each time anew.
        seed: The seed of the pairing and the order.
        max_per_class: The largest number of rows of a class that are paired.

    Returns:
        Rows of the first and of the second data set, (pairs,) int64 each.

    Raises:
        ValueError: If the data sets share no class, or a number is below 1.

    Source: Shi et al. 2019, arXiv:1911.03393, release, with ``repeats`` 20 to 30. Differs: the
    release lists the pairs by class.

    Example:
        >>> a, b = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 0, 0, 0, 1])
        >>> rows_a, rows_b = pair_by_class(a, b, repeats=2)
        >>> torch.equal(a[rows_a], b[rows_b]), rows_a.bincount(minlength=4).tolist()
        (True, [2, 2, 2, 0])
    """
    generator = torch.Generator().manual_seed(seed)
    rows_a, rows_b = [], []
    for kind in labels_a.unique().tolist():
        in_a, in_b = ((labels == kind).nonzero().squeeze(-1) for labels in (labels_a, labels_b))
        n = min(len(in_a), len(in_b), max_per_class)
        for _ in range(repeats):
            rows_a.append(in_a[torch.randperm(n, generator=generator)])
            rows_b.append(in_b[torch.randperm(n, generator=generator)])
    if not any(len(rows) for rows in rows_a):
        raise ValueError(
            f"pair_by_class: expected a class that both have, got {labels_a.unique().tolist()} "
            f"and {labels_b.unique().tolist()}."
        )
    order = torch.randperm(sum(map(len, rows_a)), generator=generator)
    return torch.cat(rows_a)[order], torch.cat(rows_b)[order]


def read_labelled(source: Source, folder: str | Path | None) -> tuple[Labelled, Labelled]:
    """Read the training and the test pictures of MNIST, FashionMNIST or SVHN, and their classes.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged.
    """
    if source is SVHN:
        paths = locate(source, folder)
        return read_svhn(paths["train_32x32.mat"]), read_svhn(paths["test_32x32.mat"])
    (train, classes), (test, test_classes) = (
        read_images(source, folder, part) for part in ("train", "t10k")
    )
    return (train.unsqueeze(1), classes), (test.unsqueeze(1), test_classes)


@register(
    modalities=("mnist", "svhn"),
    sizes=(56_068, 0, 10_000),
    sources=(MNIST, SVHN),
    defaults=SVHN_DEFAULTS,
)
@typed
def mnist_svhn(
    folder: str | Path | None = None,
    *,
    repeats: int = 1,
    validation: int = 0,
    seed: int = 0,
) -> DataSet:
    """Pair MNIST and SVHN pictures of the same digit: 56,068 training and 10,000 test pairs.

    Args:
        folder: The data folder with MNIST and SVHN; default ``PPL_MM_DATA``, or the user's cache.
        repeats: The number of times each picture is paired. A pair takes 15 kB, a repeat 1 GB.
            The papers' 20 or 30 make 1,121,360 or 1,682,040 training pairs; training for more
            epochs costs no memory.
        validation: The number of training pairs, the last ones, to hold out.
        seed: The seed of the training pairs; the test pairs use ``seed + 1``.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or ``validation`` leaves no row to train on.

    Source: Shi et al. 2019, arXiv:1911.03393: pairs, networks, Laplace with scale 0.75, D = 20 and
    lambda_MNIST = 3072 / 784. Differs: one repeat by default.
    """
    digits, numbers = (read_labelled(source, folder) for source in (MNIST, SVHN))
    svhn = Modality(
        "svhn",
        Laplace(0.75),
        presets.mnist_svhn_svhn_encoder,
        presets.mnist_svhn_svhn_decoder,
        features=presets.mnist_svhn_svhn_features,
    )
    modalities = (_mnist(weight=_LAMBDA_MNIST), svhn)
    return _paired("mnist_svhn", modalities, digits, numbers, repeats, validation, seed)


@register(
    modalities=("mnist", "fashion"),
    sizes=(58_862, 0, 9_786),
    sources=(MNIST, FASHION_MNIST),
    defaults=SVHN_DEFAULTS,
)
@typed
def mnist_fashion(
    folder: str | Path | None = None,
    *,
    repeats: int = 1,
    validation: int = 0,
    seed: int = 0,
) -> DataSet:
    """Pair class k of MNIST with class k of FashionMNIST: 58,862 training and 9,786 test pairs.

    Args:
        folder: The data folder with both; default ``PPL_MM_DATA``, or the user's cache.
        repeats: The number of times each picture is paired. A pair takes 6 kB, a repeat 0.4 GB.
        validation: The number of training pairs, the last ones, to hold out.
        seed: The seed of the training pairs; the test pairs use ``seed + 1``.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or ``validation`` leaves no row to train on.

    Source: the pairing, the networks of MNIST, the likelihood and D = 20 are those of
    :func:`mnist_svhn`; the networks of FashionMNIST are from Wu & Goodman 2018, arXiv:1802.05335.
    """
    digits, clothes = (read_labelled(source, folder) for source in (MNIST, FASHION_MNIST))
    fashion = Modality(
        "fashion",
        Laplace(0.75),
        presets.fashion_image_encoder,
        presets.fashion_image_decoder,
        features=presets.fashion_image_features,
    )
    modalities = (_mnist(weight=1.0), fashion)
    return _paired("mnist_fashion", modalities, digits, clothes, repeats, validation, seed)


def _mnist(weight: float) -> Modality:
    return Modality(
        "mnist",
        Laplace(0.75),
        presets.mnist_svhn_mnist_encoder,
        presets.mnist_svhn_mnist_decoder,
        weight=weight,
        features=presets.mnist_svhn_mnist_features,
    )


def _paired(
    name: str,
    modalities: tuple[Modality, Modality],
    firsts: Sequence[Labelled],
    seconds: Sequence[Labelled],
    repeats: int,
    validation: int,
    seed: int,
) -> DataSet:
    splits, labels = [], []
    for part in (0, 1):  # training, test
        (images_a, labels_a), (images_b, labels_b) = firsts[part], seconds[part]
        rows_a, rows_b = pair_by_class(labels_a, labels_b, repeats=repeats, seed=seed + part)
        pictures = (as_floats(images_a[rows_a]), as_floats(images_b[rows_b]))
        names = (m.name for m in modalities)
        splits.append(Observations(dict(zip(names, pictures, strict=True))))
        labels.append(labels_a[rows_a])
    train, held_out = split_last(name, splits[0], validation)
    return DataSet(
        name,
        train,
        held_out,
        splits[1],
        modalities,
        _LATENT_DIM,
        label=None,
        num_classes=10,
        labels=split_labels(labels[0], labels[1], len(train)),
    )
