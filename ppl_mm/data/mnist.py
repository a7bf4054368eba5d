"""MNIST, its binary version and FashionMNIST: an image and its class.

    image (1, 28, 28) float in [0, 1], the published bytes / 255
    label () integer, 0..9

The validation rows are the last rows of the published training file; with ``validation=0`` all
60,000 rows are training rows. The default is the 50,000 / 10,000 / 10,000 rows of Wu & Goodman 2018
(arXiv:1802.05335), appendix A.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int, Integer
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet, as_floats, split_last
from ppl_mm.data.idx import read_idx
from ppl_mm.data.registry import Defaults, register
from ppl_mm.likelihoods import Bernoulli, Categorical, Likelihood, SoftBernoulli
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.small_pictures import FASHION_MNIST, MNIST
from ppl_mm.published.sources import Source, locate

__all__ = [
    "MNIST_DEFAULTS",
    "binarise",
    "binary_mnist",
    "fashion_mnist",
    "mnist",
    "read_images",
]

Part = Literal["train", "t10k"]
"""The training or the test file, by its name on MNIST's page."""
Network = Callable[[int], nn.Module]


MNIST_DEFAULTS = Defaults(epochs=50, batch_size=100, rows=500, annealing=0.4)
"""The defaults of MNIST's family. Wu & Goodman 2018 anneal for 200 of 500 epochs."""

_NUM_CLASSES, _LATENT_DIM = 10, 64
_register = partial(
    register,
    modalities=("image", "label"),
    sizes=(50_000, 10_000, 10_000),
    defaults=MNIST_DEFAULTS,
)


@_register(sources=(MNIST,))
@typed
def mnist(folder: str | Path | None = None, *, validation: int = 10_000) -> DataSet:
    """Read MNIST with grey values. A soft Bernoulli scores them, which is not a density.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        validation: The number of training rows, the last ones, to hold out.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or ``validation`` leaves no row to train on.

    Source: LeCun et al. 1998; networks and D = 64 from Wu & Goodman 2018, arXiv:1802.05335.
    """
    return _grey("mnist", MNIST, folder, validation, _mnist_image(SoftBernoulli()))


@_register(sources=(FASHION_MNIST,))
@typed
def fashion_mnist(folder: str | Path | None = None, *, validation: int = 10_000) -> DataSet:
    """Read FashionMNIST with grey values. A soft Bernoulli scores them, which is not a density.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        validation: The number of training rows, the last ones, to hold out.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or ``validation`` leaves no row to train on.

    Source: Xiao et al. 2017, arXiv:1708.07747; networks and D = 64 from Wu & Goodman 2018,
    arXiv:1802.05335.
    """
    image = Modality(
        "image",
        SoftBernoulli(),
        presets.fashion_image_encoder,
        presets.fashion_image_decoder,
        features=presets.fashion_image_features,
    )
    return _grey("fashion_mnist", FASHION_MNIST, folder, validation, image)


@_register(sources=(MNIST,))
@typed
def binary_mnist(
    folder: str | Path | None = None,
    *,
    binarisation: Literal["fixed", "dynamic"] = "fixed",
    seed: int = 0,
    validation: int = 10_000,
) -> DataSet:
    """Draw every pixel of MNIST from Bernoulli(grey value), which gives a proper density.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        binarisation: With ``"fixed"`` every pixel is drawn once. With ``"dynamic"`` ``train`` holds
            grey values and ``transform`` draws each training batch anew; validation and test rows
            are those of the fixed draw.
        seed: The seed of the fixed draw.
        validation: The number of training rows, the last ones, to hold out.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, ``validation`` leaves no row to train on, or for an
            unknown ``binarisation``.

    Source: Larochelle & Murray 2011, and Wu & Goodman 2018, arXiv:1802.05335. Differs: the pixels
    are drawn here, since the usual binary files carry no labels.
    """
    generator = torch.Generator().manual_seed(seed)
    train, test = _read(MNIST, folder, "train"), _read(MNIST, folder, "t10k")
    drawn, drawn_test = binarise(train, generator), binarise(test, generator)
    drawn_train, held_out = split_last("binary_mnist", drawn, validation)
    if binarisation == "dynamic":
        train = train[: len(drawn_train)]
        if held_out is not None:
            held_out = held_out[torch.arange(len(held_out))]  # The copy frees `drawn`.
        transform = binarise
    else:
        train, transform = drawn_train, None
    splits = (train, held_out, drawn_test)
    return _data_set("binary_mnist", splits, _mnist_image(Bernoulli()), transform)


def binarise(obs: Observations, generator: torch.Generator | None = None) -> Observations:
    """Draw every pixel of ``image`` from Bernoulli(grey value), on the image's device.

    Example:
        >>> obs = Observations({"image": torch.tensor([[0.0, 1.0]])})
        >>> binarise(obs)["image"].tolist()
        [[0.0, 1.0]]
    """
    return obs.replace("image", torch.bernoulli(obs["image"], generator=generator))


def read_images(
    source: Source, folder: str | Path | None, part: Part
) -> tuple[Integer[Tensor, "N 28 28"], Int[Tensor, " N"]]:
    """Read the published images (N, 28, 28) uint8 and labels (N,) int64 of one part.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or do not hold images and their labels.
    """
    paths = locate(source, folder)
    image_path = paths[f"{part}-images-idx3-ubyte.gz"]
    label_path = paths[f"{part}-labels-idx1-ubyte.gz"]
    images, labels = read_idx(image_path), read_idx(label_path)
    again = f"delete both files and run `ppl-mm data get {source.name}`."
    if images.dtype != torch.uint8 or images.shape[1:] != (28, 28):
        raise ValueError(
            f"{image_path}: expected bytes (N, 28, 28), got {images.dtype} "
            f"{tuple(images.shape)}; {again}"
        )
    if labels.dtype != torch.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{label_path}: expected {len(images)} labels as bytes, one an image of "
            f"{image_path.name}, got {labels.dtype} {tuple(labels.shape)}; {again}"
        )
    if (labels >= _NUM_CLASSES).any():
        raise ValueError(f"{label_path}: expected labels 0..9, got {int(labels.max())}; {again}")
    return images, labels.long()


def _mnist_image(likelihood: Likelihood) -> Modality:
    return Modality(
        "image",
        likelihood,
        presets.mnist_image_encoder,
        presets.mnist_image_decoder,
        features=presets.mnist_image_features,
    )


def _read(source: Source, folder: str | Path | None, part: Part) -> Observations:
    images, labels = read_images(source, folder, part)
    return Observations({"image": as_floats(images.unsqueeze(1)), "label": labels})


def _grey(
    name: str, source: Source, folder: str | Path | None, validation: int, image: Modality
) -> DataSet:
    train, test = _read(source, folder, "train"), _read(source, folder, "t10k")
    return _data_set(name, (*split_last(name, train, validation), test), image)


def _data_set(
    name: str,
    splits: tuple[Observations, Observations | None, Observations],
    image: Modality,
    transform: Callable[[Observations], Observations] | None = None,
) -> DataSet:
    label = Modality(
        "label",
        Categorical(),
        presets.label_encoder,
        presets.label_decoder,
        features=presets.label_features,
    )
    return DataSet(
        name, *splits, (image, label), _LATENT_DIM, "label", _NUM_CLASSES, transform=transform
    )
