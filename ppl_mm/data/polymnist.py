"""PolyMNIST: five pictures of one digit, each in another hand on a crop of another photograph.

    m0 .. m4 (3, 28, 28) float in [0, 1], whole bytes / 255

The class is not a modality; ``DataSet.labels`` keeps it for evaluation. The published files are
read if they are there. Otherwise the data are composed in the same way from MNIST and from
photographs that ship with scikit-image, which is in the extra ``ppl-mm[vision]``.

Source: Sutter, Daunhawer & Vogt 2021, arXiv:2105.02470 (MoPoE-VAE), section 4.2 and release.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet, as_floats, split_labels, split_last
from ppl_mm.data.mnist import Network, Part, read_images
from ppl_mm.data.polymnist_files import check_size, read_polymnist
from ppl_mm.data.registry import Defaults, register
from ppl_mm.likelihoods import Laplace
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.small_pictures import MNIST, find_polymnist
from ppl_mm.published.sources import data_folder

__all__ = ["NAMES", "PHOTOGRAPHS", "blend", "match_classes", "polymnist"]

NAMES = ("m0", "m1", "m2", "m3", "m4")
PHOTOGRAPHS = ("astronaut.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png", "rocket.jpg")
"""The file of ``skimage.data`` with the background of each modality."""

_SIDE, _THRESHOLD = 28, 128
_LATENT_DIM = 32

Arch = Literal["residual", "conv"]

Labelled = tuple[Observations, Tensor]
"""The rows and their classes (N,)."""


@register(
    modalities=NAMES,
    sizes=(60_000, 0, 10_000),
    sources=(MNIST,),
    find=find_polymnist,
    defaults=Defaults(epochs=50, rows=200),
)
@typed
def polymnist(
    folder: str | Path | None = None,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    validation: int = 0,
    arch: Arch = "residual",
    form: Literal["auto", "published", "composed"] = "auto",
    seed: int = 0,
) -> DataSet:
    """Read PolyMNIST, or compose it from MNIST and photographs; ``DataSet.origin`` says which.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache. The published files
            are looked for in its subfolder ``MMNIST``, ``PolyMNIST`` or ``polymnist``.
        num_train: The number of rows for training and validation, of 47 kB of memory each; None
            for all 60,000, which take 2.8 GB.
        num_test: The number of rows for the test; None for all 10,000.
        validation: The number of these ``num_train`` rows, the last ones, to hold out. The papers
            hold out none.
        arch: The networks, ``"residual"`` for those of MMVAE+ or ``"conv"`` for those of MoPoE-VAE.
        form: ``"published"`` or ``"composed"`` to insist on one form; ``"auto"`` composes the data
            if the published files are missing.
        seed: The seed of the matching of digits, the crops and the order of rows; test rows use
            ``seed + 1``.

    Raises:
        FileNotFoundError: If the files are missing.
        ImportError: If the data are composed without scikit-image.
        ValueError: If files are damaged, a number is out of range, or ``arch`` or ``form`` is
            unknown.

    Source: Sutter et al. 2021, arXiv:2105.02470; Laplace with scale 0.75 and D = 32 (besides 32
    private) from Palumbo et al. 2023 (MMVAE+). Differs: the composed form has other photographs
    and other random numbers than the published files, so its results do not compare with theirs.
    """
    modalities = tuple(_modality(name, arch) for name in NAMES)
    root = _published_root(folder, form)
    if root is None:
        photographs = [_photograph(name) for name in PHOTOGRAPHS]
        train = _compose(folder, "train", photographs, num_train, seed)
        test = _compose(folder, "t10k", photographs, num_test, seed + 1)
        origin = f"composed of MNIST and photographs of scikit-image, seed {seed}"
    else:
        train = _published(root / "train", num_train, seed)
        test = _published(root / "test", num_test, seed + 1)
        origin = f"published files in {root}"
    train_rows, held_out = split_last("polymnist", train[0], validation)
    return DataSet(
        "polymnist",
        train_rows,
        held_out,
        test[0],
        modalities,
        _LATENT_DIM,
        label=None,
        num_classes=10,
        labels=split_labels(train[1], test[1], len(train_rows)),
        origin=origin,
    )


def match_classes(
    labels: Integer[Tensor, " N"], num_modalities: int, generator: torch.Generator
) -> Int[Tensor, "{num_modalities} N"]:
    """Choose the digit that each modality shows in each row, all of the row's class.

    The digits of each class are permuted independently for each modality. So every modality shows
    every digit once.

    Args:
        labels: The class (N,) of each digit, and of each row.
        num_modalities: The number M of modalities.
        generator: The generator of the permutations.

    Returns:
        Digits (M, N) int64.

    Example:
        >>> labels = torch.tensor([3, 1, 3, 1, 3])
        >>> chosen = match_classes(labels, 2, torch.Generator().manual_seed(0))
        >>> labels[chosen].tolist()
        [[3, 1, 3, 1, 3], [3, 1, 3, 1, 3]]
        >>> chosen.sort().values.tolist()
        [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    """
    chosen = torch.empty(num_modalities, len(labels), dtype=torch.int64)
    for kind in labels.unique().tolist():
        rows = (labels == kind).nonzero().squeeze(-1)
        for digits in chosen:
            digits[rows] = rows[torch.randperm(len(rows), generator=generator)]
    return chosen


def blend(
    digits: Integer[Tensor, "N 28 28"],
    photograph: Integer[Tensor, "H W 3"],
    generator: torch.Generator,
) -> Integer[Tensor, "N 3 28 28"]:
    """Invert a random crop of a photograph under each digit.

        x = 255 - crop  where the digit's pixel > 128,  else  crop

    The crop's corner is uniform: column 0..W - 29, row 0..H - 29.

    Args:
        digits: The digits, bytes (N, 28, 28).
        photograph: The photograph, bytes (H, W, 3), with H and W at least 29.
        generator: The generator of the corners.

    Returns:
        Bytes (N, 3, 28, 28).

    Source: Sutter et al. 2021, arXiv:2105.02470, release.

    Example:
        >>> digits = torch.zeros(2, 28, 28, dtype=torch.uint8)
        >>> digits[1, 5, 5] = 200
        >>> photograph = torch.full((40, 30, 3), 10, dtype=torch.uint8)
        >>> blended = blend(digits, photograph, torch.Generator().manual_seed(0))
        >>> blended[:, 0, 5, 5].tolist(), blended[1, :, 5, 6].tolist()
        ([10, 245], [10, 10, 10])
    """
    height, width, _ = photograph.shape
    crops = photograph.unfold(0, _SIDE, 1).unfold(
        1, _SIDE, 1
    )  # (H - 27, W - 27, 3, 28, 28), a view
    columns = torch.randint(width - _SIDE, (len(digits),), generator=generator)
    rows = torch.randint(height - _SIDE, (len(digits),), generator=generator)
    blended = crops[rows, columns]
    inverted = (digits > _THRESHOLD).to(torch.uint8).mul_(255)
    return blended.bitwise_xor_(inverted.unsqueeze(1))  # 255 - b of a byte b is b XOR 255


def _modality(name: str, arch: Arch) -> Modality:
    networks: dict[Arch, tuple[Network, Network]] = {
        "residual": (presets.polymnist_encoder, presets.polymnist_decoder),
        "conv": (presets.polymnist_conv_encoder, presets.polymnist_conv_decoder),
    }
    return Modality(name, Laplace(0.75), *networks[arch])


def _published_root(folder: str | Path | None, form: str) -> Path | None:
    root = find_polymnist(folder) if form != "composed" else None
    if root is None and form == "published":
        raise FileNotFoundError(
            f"polymnist: expected MMNIST/train/m0 in {data_folder(folder)}; "
            "unpack the published archive there, or leave form='published' out to compose the data."
        )
    return root


def _compose(
    folder: str | Path | None,
    part: Part,
    photographs: Sequence[Tensor],
    size: int | None,
    seed: int,
) -> Labelled:
    images, labels = read_images(MNIST, folder, part)
    size = check_size(size, len(images))
    images, labels = images[:size], labels[:size]
    generator = torch.Generator().manual_seed(seed)
    chosen = match_classes(labels, len(NAMES), generator)
    values = {
        name: as_floats(blend(images[rows], photograph, generator))
        for name, rows, photograph in zip(NAMES, chosen, photographs, strict=True)
    }
    return Observations(values), labels


def _published(folder: Path, size: int | None, seed: int) -> Labelled:
    images, labels = read_polymnist(folder, NAMES, size, seed)
    return Observations({name: as_floats(x) for name, x in images.items()}), labels


def _photograph(name: str) -> Tensor:
    from PIL import Image

    try:
        folder = files("skimage.data")
    except ImportError as error:
        raise ImportError(
            "polymnist: the photographs come with scikit-image: pip install 'ppl-mm[vision]'; or "
            "unpack the published PolyMNIST into the data folder."
        ) from error
    with (folder / name).open("rb") as file, Image.open(file) as image:
        return torch.from_numpy(np.array(image.convert("RGB")))
