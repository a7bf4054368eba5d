"""The published files of Caltech-UCSD Birds: captions, features of pictures, and pictures."""

from pathlib import Path
from typing import Literal

from ppl_mm.published.sources import data_folder, find

__all__ = [
    "CAPTIONS_BY_HAND",
    "FEATURES_BY_HAND",
    "PICTURES_BY_HAND",
    "Part",
    "find_captions",
    "find_cub",
    "find_pictures",
    "pictures_file",
]

_CODE = "which come with the code of Shi et al. 2019 (MMVAE, arXiv:1911.03393)"
CAPTIONS_BY_HAND = (
    f"Put the captions text_testclasses.txt, {_CODE}, into cub-captions/ of the data "
    "folder, or set PPL_MM_DATA to the folder that has cub-captions/ in it."
)
FEATURES_BY_HAND = (
    f"Put the captions text_trainvalclasses.txt and text_testclasses.txt, {_CODE}, and "
    "the ResNet-101 features of the pictures, features_train.npy and features_test.npy, into "
    "cub/ of the data folder, or set PPL_MM_DATA to the folder that has cub/ in it."
)
PICTURES_BY_HAND = (
    "Unpack CUB_200_2011.tgz of https://www.vision.caltech.edu/datasets/cub_200_2011 into cub/ "
    "of the data folder, and put there testclasses.txt, which comes with the captions of Reed "
    "et al. 2016 (arXiv:1605.05395), and the captions text_trainvalclasses.txt and "
    f"text_testclasses.txt, {_CODE}; or set PPL_MM_DATA to the folder that has cub/ in it."
)

Part = Literal["train", "test"]
_CAPTIONS: dict[Part, str] = {
    "train": "text_trainvalclasses.txt.gz",
    "test": "text_testclasses.txt.gz",
}
_FOLDERS = ("cub", "cub-captions")


def find_captions(folder: str | Path | None = None, part: Part = "test") -> Path:
    """Find the file of one part's captions.

    Raises:
        FileNotFoundError: If it is in neither folder.
    """
    name = _CAPTIONS[part]
    for subfolder in _FOLDERS:
        path = find(data_folder(folder) / subfolder, name)
        if path is not None:
            return path
    remedy = CAPTIONS_BY_HAND if part == "test" else FEATURES_BY_HAND
    raise FileNotFoundError(
        f"cub: expected {name.removesuffix('.gz')} (or .txt.gz) in cub/ or cub-captions/ of "
        f"{data_folder(folder)}, found none. {remedy}"
    )


def find_cub(folder: str | Path | None = None) -> dict[str, tuple[Path, Path]]:
    """Find the files of captions and of features, for ``"train"`` and for ``"test"``.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    found: dict[str, tuple[Path, Path]] = {}
    for part in _CAPTIONS:
        features = data_folder(folder) / "cub" / f"features_{part}.npy"
        found[part] = find_captions(folder, part), features
        if not features.is_file():
            raise FileNotFoundError(
                f"cub: expected {features}, floats (pictures, 2048), found no file. "
                f"{FEATURES_BY_HAND}"
            )
    return found


def find_pictures(folder: str | Path | None = None) -> Path:
    """Find ``cub`` in the data folder, with the lists and with pictures or arrays.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    root = data_folder(folder) / "cub"
    lists = root / "CUB_200_2011" / "images.txt", root / "testclasses.txt"
    missing = [str(path) for path in lists if not path.is_file()]
    pictures = root / "CUB_200_2011" / "images"
    if not all(pictures_file(root, part).is_file() for part in _CAPTIONS) and not pictures.is_dir():
        missing.append(str(pictures))
    if missing:
        raise FileNotFoundError(
            f"cub_images: expected {', '.join(missing)}, found nothing there. {PICTURES_BY_HAND}"
        )
    return root


def pictures_file(root: Path, part: Part) -> Path:
    """Return the file of one part's pictures as an array, which is made once."""
    return root / f"images_{part}.npy"
