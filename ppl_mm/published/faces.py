"""The published files of CelebA, the views that are stored beside them, and dlib's predictor."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ppl_mm.published.sources import data_folder

__all__ = [
    "ATTRIBUTES",
    "CELEBA_BY_HAND",
    "CELEBA_SIZES",
    "PREDICTOR",
    "VIEWS",
    "VIEWS_BY_HAND",
    "VIEW_FILES",
    "CelebAFiles",
    "find_celeba",
    "find_predictor",
    "find_views",
]

CELEBA_BY_HAND = (
    "Put img_align_celeba.zip (aligned and cropped images; unpacked or not), list_attr_celeba.txt "
    "and list_eval_partition.txt of https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html into celeba/ "
    "of the data folder, or set PPL_MM_DATA to the folder that has celeba/ in it."
)
CELEBA_SIZES = (162_770, 19_867, 19_962)
"""The faces for training, validation and test."""
ATTRIBUTES = "list_attr_celeba.txt"
_PARTITION = "list_eval_partition.txt"
_PICTURES = "img_align_celeba"
_SIZE = (178, 218)  # The width and height of the aligned faces.

VIEWS = ("image", "gray", "edge", "mask", "obscured", "watermark")
_FULL_SIZE = "img_celeba"
VIEW_FILES = {
    "full": {view: f"full_{view}_64.npy" for view in VIEWS},
    "aligned": {view: f"aligned_{view}_64.npy" for view in VIEWS} | {"image": "faces_64.npy"},
}
VIEWS_BY_HAND = (
    f"{CELEBA_BY_HAND} The views of the paper are of the full-size pictures; those you unpack as "
    "img_celeba/ there, or else views are made of the aligned ones. Masks of faces need "
    "pip install 'ppl-mm[vision]'."
)
PREDICTOR = "shape_predictor_68_face_landmarks.dat"
_PACKAGE = "face_recognition_models"


@dataclass(frozen=True)
class CelebAFiles:
    """The paths of the published files.

    Attributes:
        attributes: The list of attributes.
        partition: The list of parts.
        pictures: The folder of pictures, or their archive; None if there is neither.
        size: The width and height of each picture; None for any size.
    """

    attributes: Path
    partition: Path
    pictures: Path | None
    size: tuple[int, int] | None = _SIZE


def find_celeba(
    folder: str | Path | None = None, stored: Sequence[str] = ("faces_64.npy",)
) -> CelebAFiles:
    """Find the published files in ``celeba/`` of the data folder.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        stored: The files in ``celeba/`` that are made of the pictures; if they are all there, no
            picture is needed.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    root = data_folder(folder) / "celeba"
    kept = (root / _PICTURES, root / f"{_PICTURES}.zip")
    pictures = next((p for p in kept if p.is_dir() or p.is_file()), None)
    missing = [name for name in (ATTRIBUTES, _PARTITION) if not (root / name).is_file()]
    if pictures is None and not all((root / name).is_file() for name in stored):
        missing.append(f"{_PICTURES}/ (or {_PICTURES}.zip)")
    if missing:
        raise FileNotFoundError(f"celeba: {root} lacks {', '.join(missing)}. {CELEBA_BY_HAND}")
    return CelebAFiles(root / ATTRIBUTES, root / _PARTITION, pictures)


def find_views(folder: str | Path | None = None) -> tuple[str, CelebAFiles]:
    """Find the pictures of the views, ``"full"`` or ``"aligned"`` ones, and the published files.

    Raises:
        FileNotFoundError: If a file or the predictor of landmarks is missing, and the views that
            need it are not stored.
    """
    root = data_folder(folder) / "celeba"
    full = root / _FULL_SIZE
    if full.is_dir() or all((root / name).is_file() for name in VIEW_FILES["full"].values()):
        kind, found = "full", find_celeba(folder, stored=())
        found = replace(found, pictures=full if full.is_dir() else None, size=None)
    else:
        kind, found = "aligned", find_celeba(folder, tuple(VIEW_FILES["aligned"].values()))
    if not (root / VIEW_FILES[kind]["mask"]).is_file():
        find_predictor(folder)
    return kind, found


def find_predictor(folder: str | Path | None = None) -> Path:
    """Find the predictor's file in ``celeba/`` of the data folder, or in the extra's package.

    Raises:
        FileNotFoundError: If it is in neither place.
    """
    places = [data_folder(folder) / "celeba"]
    package = importlib.util.find_spec(_PACKAGE)
    if package is not None and package.submodule_search_locations:
        places.append(Path(package.submodule_search_locations[0]) / "models")
    for place in places:
        if (place / PREDICTOR).is_file():
            return place / PREDICTOR
    raise FileNotFoundError(
        f"celeba_vision: faces' parts need {PREDICTOR}, which is not in {places[0]}. It comes "
        f"with pip install 'ppl-mm[vision]'; or unpack http://dlib.net/files/{PREDICTOR}.bz2 there."
    )
