"""The published files of MIR Flickr."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ppl_mm.published.sources import data_folder

__all__ = ["FLICKR_BY_HAND", "FlickrFiles", "find_flickr"]

_SPLITS = {"train": "train", "validation": "valid", "test": "test"}
FLICKR_BY_HAND = (
    "Unpack the Flickr data of https://www.cs.toronto.edu/~nitish/multimodal/ as flickr/ into "
    "the data folder, or set PPL_MM_DATA to the folder that has flickr/ in it."
)


@dataclass(frozen=True)
class FlickrFiles:
    """The paths of the published files.

    Attributes:
        images: ``"labelled"`` and ``"unlabelled"`` -> the files of features, in the order of rows.
        tags: ``"labelled"`` and ``"unlabelled"`` -> the file of tags.
        labels: The file of labels.
        splits: ``"train"``, ``"validation"``, ``"test"`` -> the file of row numbers.
    """

    images: Mapping[str, list[Path]]
    tags: Mapping[str, Path]
    labels: Path
    splits: Mapping[str, Path]


def find_flickr(
    folder: str | Path | None = None, split: int = 1, *, unlabelled: bool = False
) -> FlickrFiles:
    """Find the published files in ``flickr/`` of the data folder.

        image/labelled/combined-*.npy         floats (rows, 3857), sorted by name
        text/text_all_2000_labelled.npz       a sparse matrix of counts (rows, 2000) by its data,
                                              indices, indptr and shape
        labels.npy                            0 and 1, (25000, 38)
        splits/train_indices_1.npy, valid_indices_1.npy, test_indices_1.npy, and so on to 5
        image/unlabelled/combined-*.npy, text/text_all_2000_unlabelled.npz

    Args:
        folder: The data folder.
        split: The number of the split, 1 to 5.
        unlabelled: Whether the unlabelled part is needed.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there is no split of this number.
    """
    if split not in range(1, 6):
        raise ValueError(f"mir_flickr: expected split 1, 2, 3, 4 or 5, got {split}.")
    root = data_folder(folder) / "flickr"
    kinds = ("labelled", "unlabelled") if unlabelled else ("labelled",)
    found = FlickrFiles(
        {kind: sorted((root / "image" / kind).glob("combined-*.npy")) for kind in kinds},
        {kind: root / "text" / f"text_all_2000_{kind}.npz" for kind in kinds},
        root / "labels.npy",
        {name: root / "splits" / f"{file}_indices_{split}.npy" for name, file in _SPLITS.items()},
    )
    wanted = [*found.tags.values(), found.labels, *found.splits.values()]
    missing = [str(path.relative_to(root)) for path in wanted if not path.is_file()]
    missing += [f"image/{kind}/combined-*.npy" for kind in kinds if not found.images[kind]]
    if missing:
        raise FileNotFoundError(f"mir_flickr: {root} lacks {', '.join(missing)}. {FLICKR_BY_HAND}")
    return found
