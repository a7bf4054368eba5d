"""The published files of PolyMNIST: a folder of small PNG files for each modality.

    MMNIST/train/m0/INDEX.DIGIT.png  ..  MMNIST/test/m4/INDEX.DIGIT.png

Source: Sutter et al. 2021, arXiv:2105.02470, release. The files of the modalities belong
together in the order of their names.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor

__all__ = ["read_polymnist"]

_SHAPE = (28, 28, 3)


def read_polymnist(
    folder: str | Path, names: Sequence[str], size: int | None = None, seed: int = 0
) -> tuple[dict[str, Integer[Tensor, "N 3 28 28"]], Int[Tensor, " N"]]:
    """Read the tuples of one split in a random order, since names may be sorted by class.

    Args:
        folder: The split's folder, such as ``MMNIST/train``, with one folder for each of
            ``names``.
        names: The names of the modalities.
        size: The number of tuples to read; None for all. The 300,000 files take 20 s or more.
        seed: The seed of the order.

    Returns:
        Modality -> bytes (N, 3, 28, 28), and labels (N,) int64.

    Raises:
        FileNotFoundError: If a modality's folder is missing or empty.
        ValueError: If the modalities' files do not fit together, a file is not a picture of the
            right size and name, or there are fewer tuples than ``size``.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("m0", "m1"):
        ...     (folder / name).mkdir()
        ...     Image.new("RGB", (28, 28), (255, 0, 0)).save(folder / name / "0.7.png")
        >>> images, labels = read_polymnist(folder, ("m0", "m1"))
        >>> images["m1"].shape, labels.tolist()
        (torch.Size([1, 3, 28, 28]), [7])
    """
    listed = {name: _list(Path(folder) / name) for name in names}
    paths = listed[names[0]]
    labels = [_label(path) for path in paths]
    for name in names[1:]:
        if len(listed[name]) != len(paths):
            raise ValueError(
                f"{folder}: expected as many pictures of each modality, got {len(paths)} in "
                f"{names[0]} and {len(listed[name])} in {name}; unpack the archive again."
            )
        for first, path, label in zip(paths, listed[name], labels, strict=True):
            if _label(path) != label:
                raise ValueError(
                    f"{folder}: expected the same digit in every modality, got {first.name} in "
                    f"{names[0]} with {path.name} in {name}; unpack the archive again."
                )
    size = check_size(size, len(paths))
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(seed))[:size]
    images = {
        name: _read([listed_m[i] for i in order.tolist()]) for name, listed_m in listed.items()
    }
    return images, torch.tensor(labels)[order]


def check_size(size: int | None, available: int) -> int:
    """Return ``size``, or ``available`` for None; raise if fewer rows are available."""
    if size is None:
        return available
    if not 1 <= size <= available:
        raise ValueError(
            f"polymnist: expected num_train and num_test from 1 to the number of rows, which is "
            f"{available}, got {size}."
        )
    return size


def _list(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.png"), key=lambda path: path.name)
    if not paths:
        raise FileNotFoundError(
            f"{folder}: expected pictures INDEX.DIGIT.png, found none; unpack the published "
            "archive again."
        )
    return paths


def _label(path: Path) -> int:
    parts = path.name.split(".")
    if len(parts) != 3 or not (len(parts[1]) == 1 and parts[1].isdecimal()):
        raise ValueError(f"{path}: expected a name INDEX.DIGIT.png, such as 17.4.png.")
    return int(parts[1])


def _read(paths: Sequence[Path]) -> Tensor:
    from PIL import Image

    pictures = np.empty((len(paths), *_SHAPE), np.uint8)
    for picture, path in zip(pictures, paths, strict=True):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:  # Pillow's errors for damaged files
            raise ValueError(f"{path}: a damaged PNG file ({error}).") from error
        if pixels.shape != _SHAPE:
            raise ValueError(f"{path}: expected 28 x 28 pixels, got {pixels.shape[:2]}.")
        picture[...] = pixels
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
