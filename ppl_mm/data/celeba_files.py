"""The published files of CelebA: faces, their attributes, and their parts.

    celeba/img_align_celeba/000001.jpg ..  202,599 aligned faces of 178 x 218 pixels, or the same
                                           as published, celeba/img_align_celeba.zip
    celeba/list_attr_celeba.txt            the number of faces, the names of 40 attributes, then a
                                           line a face: its file, and -1 or 1 for each attribute
    celeba/list_eval_partition.txt         a line a face: its file, and 0 (training), 1
                                           (validation) or 2 (test)

Arrays that are made of the pictures, such as faces of 64 x 64 pixels, are stored beside them.

Source: Liu et al. 2015, "Deep learning face attributes in the wild".
"""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_mm.data.picture_arrays import bytes_shape, open_picture, picture_array
from ppl_mm.published.faces import ATTRIBUTES, CELEBA_BY_HAND, CelebAFiles

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "read_attributes",
    "read_partition",
    "shrink",
    "stored",
]

_NUM_ATTRIBUTES = 40
_WHAT = "The file is not the original or is damaged: copy it again."


def read_attributes(path: str | Path) -> tuple[list[str], list[str], np.ndarray]:
    r"""Read the list of attributes.

    Returns:
        The names of the pictures' files (N,) and of the attributes (40,), and bytes (N, 40), which
        are 1 if the picture has the attribute.

    Raises:
        ValueError: If the file is damaged, or is another one.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "list_attr_celeba.txt")
        >>> names = " ".join(f"Attribute_{i}" for i in range(40))
        >>> _ = path.write_text(f"1\n{names}\n000001.jpg -1" + " 1" * 39)
        >>> files, names, values = read_attributes(path)
        >>> files, names[:2], values[0, :3].tolist()
        (['000001.jpg'], ['Attribute_0', 'Attribute_1'], [0, 1, 1])
    """
    path = Path(path)
    lines = path.read_text(errors="replace").splitlines()
    count, names = (lines[0].strip(), lines[1].split()) if len(lines) > 1 else ("", [])
    if not count.isdecimal() or len(set(names)) != _NUM_ATTRIBUTES:
        raise ValueError(
            f"{path}: expected the number of pictures in the first line and {_NUM_ATTRIBUTES} "
            f"names in the second, got {count[:20]!r} and {len(set(names))} names. {_WHAT}"
        )
    rows = lines[2:]
    if len(rows) != int(count) or not rows:
        raise ValueError(
            f"{path}: expected {count} lines after the names, as the first line says, got "
            f"{len(rows)}. {_WHAT}"
        )
    values = np.empty((len(rows), _NUM_ATTRIBUTES), np.uint8)
    files = []
    for number, row in enumerate(rows):
        file, *found = row.split() or [""]
        if len(found) != _NUM_ATTRIBUTES or not {"1", "-1"}.issuperset(found):
            raise ValueError(
                f"{path}: line {number + 3}: expected a picture's file and {_NUM_ATTRIBUTES} times "
                f"-1 or 1, got {row[:40]!r} with {len(found)} values. {_WHAT}"
            )
        values[number] = [value == "1" for value in found]
        files.append(file)
    return files, names, values


def read_partition(path: str | Path, files: Sequence[str]) -> np.ndarray:
    r"""Read the part of every picture.

    Args:
        path: The path of the list of parts.
        files: The names of the pictures' files, as :func:`read_attributes` returns them.

    Returns:
        (N,) int64: 0 for training, 1 for validation, 2 for the test.

    Raises:
        ValueError: If the file is damaged, is of other pictures, or leaves a part empty.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "list_eval_partition.txt")
        >>> _ = path.write_text("1.jpg 0\n2.jpg 1\n3.jpg 2\n")
        >>> read_partition(path, ["1.jpg", "2.jpg", "3.jpg"]).tolist()
        [0, 1, 2]
    """
    path = Path(path)
    rows = [line.split() for line in path.read_text(errors="replace").splitlines()]
    if len(rows) != len(files):
        raise ValueError(
            f"{path}: expected {len(files)} lines, one a picture of {ATTRIBUTES}, got {len(rows)}. "
            f"{_WHAT}"
        )
    for number, (row, file) in enumerate(zip(rows, files, strict=True), 1):
        if len(row) != 2 or row[0] != file or row[1] not in ("0", "1", "2"):
            raise ValueError(
                f"{path}: line {number}: expected {file!r}, as in {ATTRIBUTES}, and 0, 1 or 2, got "
                f"{' '.join(row)[:40]!r}. {_WHAT}"
            )
    parts = np.array([int(row[1]) for row in rows])
    if len(set(parts.tolist())) < 3:
        raise ValueError(
            f"{path}: expected pictures for training (0), validation (1) and test (2), got "
            f"{sorted(set(parts.tolist()))} alone. {_WHAT}"
        )
    return parts


def shrink(picture: "Image.Image", size: int = 64) -> np.ndarray:
    """Scale a picture's shorter side to ``size`` pixels (bilinear), and cut out the middle square.

    Returns:
        Bytes (C, size, size), with C = 3 for RGB and 1 for grey pictures.

    Example:
        >>> from PIL import Image
        >>> shrink(Image.new("RGB", (178, 218), (255, 0, 7)))[:, 0, 0].tolist()
        [255, 0, 7]
    """
    from PIL import Image

    width, height = picture.size
    short = min(width, height)
    width, height = size * width // short, size * height // short
    left, top = round((width - size) / 2), round((height - size) / 2)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture.crop((left, top, left + size, top + size)))
    return pixels.reshape(size, size, -1).transpose(2, 0, 1)


def stored(
    found: CelebAFiles,
    name: str,
    files: Sequence[str],
    event_shape: tuple[int, ...],
    make: Callable[["Image.Image"], np.ndarray],
) -> Path:
    """Store the result of ``make`` for every picture in a file ``name`` beside the lists.

    A file with the right number of rows is kept, see
    :func:`ppl_mm.data.picture_arrays.picture_array`.

    Args:
        found: The published files.
        name: The name of the file, such as ``"faces_64.npy"``.
        files: The names of the pictures' files, in the order of rows.
        event_shape: The shape of the result of ``make``.
        make: The function from a published picture in RGB to bytes (*event_shape). It runs in
            threads.

    Returns:
        The path of an array of bytes (N, *event_shape), for ``MemoryMapped``.

    Raises:
        FileNotFoundError: If pictures are missing.
        ValueError: If a picture is damaged or of another size.
        OSError: If the file cannot be written.
    """
    path, shape = found.attributes.parent / name, (len(files), *event_shape)

    def pictures() -> Iterator["Image.Image"]:
        if found.pictures is None:
            raise FileNotFoundError(
                f"{path}: expected bytes {shape}, a row a picture of {ATTRIBUTES}, got "
                f"{bytes_shape(path)}; and there are no pictures to make it of. {CELEBA_BY_HAND}"
            )
        return _pictures(found.pictures, files, found.size)

    return picture_array(path, shape, pictures, make)


def _pictures(
    source: Path, files: Sequence[str], size: tuple[int, int] | None
) -> Iterator["Image.Image"]:
    """Read the pictures of a folder or an archive, in RGB."""
    if source.is_dir():
        _check_there(source, files, set(os.listdir(source)))
        for file in files:
            yield _picture(partial((source / file).open, "rb"), source / file, size)
        return
    try:
        archive = zipfile.ZipFile(source)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{source}: a damaged archive ({error}); copy it again.") from error
    with archive:
        names = {Path(name).name: name for name in archive.namelist()}
        _check_there(source, files, set(names))
        for file in files:
            yield _picture(partial(archive.open, names[file]), source / file, size)


def _check_there(source: Path, files: Sequence[str], there: set[str]) -> None:
    missing = [file for file in files if file not in there]
    if missing:
        raise FileNotFoundError(
            f"{source}: expected the {len(files)} pictures of {ATTRIBUTES}, {len(missing)} are "
            f"missing, such as {missing[0]}; unpack or copy the archive again."
        )


def _picture(opened: Callable[[], Any], path: Path, size: tuple[int, int] | None) -> "Image.Image":
    picture = open_picture(opened, path)
    if size is not None and picture.size != size:
        raise ValueError(
            f"{path}: expected an aligned face of {size[0]} x {size[1]} pixels, got "
            f"{picture.size[0]} x {picture.size[1]}."
        )
    return picture
