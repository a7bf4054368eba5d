"""The pictures of Caltech-UCSD Birds, as 64 x 64 pixels.

    cub/CUB_200_2011/images.txt    11,788 lines: a number and CLASS/FILE.jpg
    cub/CUB_200_2011/images/       CLASS/FILE.jpg, the pictures
    cub/testclasses.txt            the 50 classes of the test, one a line; the others are training
    cub/images_train.npy           bytes (8855, 3, 64, 64), which are made of the pictures once
    cub/images_test.npy            bytes (2933, 3, 64, 64)

Pictures are sorted by class, then by file name, as captions are; the published list is not. Each
picture is resized to 64 x 64 without cropping. If the arrays are there, the folder ``images`` is
not needed.

Source: Wah et al. 2011, "The Caltech-UCSD Birds-200-2011 dataset"; classes of the test with the
captions of Reed et al. 2016, arXiv:1605.05395; resized as in Shi et al. 2019, arXiv:1911.03393.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_mm.data.picture_arrays import open_picture, picture_array
from ppl_mm.published.birds import PICTURES_BY_HAND, Part, pictures_file

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "SIDE",
    "classes_of",
    "list_pictures",
    "read_pictures",
]

SIDE = 64
"""The height and width in pixels."""


def list_pictures(root: Path) -> dict[Part, list[str]]:
    r"""List the pictures of each part, ``CLASS/FILE.jpg``, in the order of the captions.

    Args:
        root: The folder of :func:`~ppl_mm.published.birds.find_pictures`.

    Raises:
        ValueError: If the lists are damaged, or name a class without pictures.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "CUB_200_2011").mkdir()
        >>> _ = (root / "CUB_200_2011" / "images.txt").write_text("1 2.B/b.jpg\n2 1.A/a.jpg\n")
        >>> _ = (root / "testclasses.txt").write_text("2.B\n")
        >>> list_pictures(root)
        {'train': ['1.A/a.jpg'], 'test': ['2.B/b.jpg']}
    """
    path = root / "CUB_200_2011" / "images.txt"
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    for line in lines:
        if len(line) != 2 or line[1].count("/") != 1:
            raise ValueError(f"{path}: expected lines 'NUMBER CLASS/FILE', got {' '.join(line)!r}.")
    names = sorted((name for _, name in lines), key=lambda name: name.split("/"))
    chosen = (root / "testclasses.txt").read_text().split()
    unknown = sorted(set(chosen) - {name.split("/")[0] for name in names})
    if unknown or not chosen:
        told = f"{unknown[0]!r}, which {path} does not have" if unknown else "none"
        raise ValueError(
            f"{root / 'testclasses.txt'}: expected classes such as 001.Black_footed_Albatross, "
            f"one a line, got {told}."
        )
    test = set(chosen)
    return {
        "train": [name for name in names if name.split("/")[0] not in test],
        "test": [name for name in names if name.split("/")[0] in test],
    }


def classes_of(names: Sequence[str]) -> list[int]:
    """Number the classes of pictures from 0, in the order of their names.

    Example:
        >>> classes_of(["001.A/x.jpg", "004.B/x.jpg", "004.B/y.jpg"])
        [0, 1, 1]
    """
    folders = [name.split("/")[0] for name in names]
    numbers = {folder: i for i, folder in enumerate(sorted(set(folders)))}
    return [numbers[folder] for folder in folders]


def read_pictures(root: Path, part: Part, names: Sequence[str]) -> np.ndarray:
    """Open the pictures of one part, which stay in their file, see ``picture_array``.

    Args:
        root: The folder of :func:`~ppl_mm.published.birds.find_pictures`.
        part: ``"train"`` or ``"test"``.
        names: The names of the part's pictures, see :func:`list_pictures`.

    Returns:
        Bytes (P, 3, 64, 64). The first call makes them, in a minute or two.

    Raises:
        FileNotFoundError: If pictures are missing.
        ValueError: If a picture is damaged.
        OSError: If the array cannot be written.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "CUB_200_2011" / "images" / "1.A").mkdir(parents=True)
        >>> picture = Image.new("RGB", (90, 60), (255, 0, 7))
        >>> picture.save(root / "CUB_200_2011" / "images" / "1.A" / "a.png")
        >>> pictures = read_pictures(root, "train", ["1.A/a.png"])
        >>> pictures.shape, pictures[0, :, 0, 0].tolist()
        ((1, 3, 64, 64), [255, 0, 7])
    """
    folder = root / "CUB_200_2011" / "images"
    path = pictures_file(root, part)
    picture_array(path, (len(names), 3, SIDE, SIDE), partial(_pictures, folder, names), _resized)
    return np.load(path, mmap_mode="r")


def _pictures(folder: Path, names: Sequence[str]) -> Iterator["Image.Image"]:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"cub_images: {len(missing)} of {len(names)} pictures are missing in {folder}, "
            f"{missing[0]} first. {PICTURES_BY_HAND}"
        )
    return (open_picture(partial((folder / name).open, "rb"), folder / name) for name in names)


def _resized(picture: "Image.Image") -> np.ndarray:
    """Resize a picture to bytes (3, 64, 64)."""
    from PIL import Image

    small = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small).transpose(2, 0, 1)
