"""Arrays of pictures: each is made once and kept in a file beside the pictures."""

import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["bytes_shape", "open_picture", "picture_array"]

_AT_A_TIME = 256  # The number of pictures.


def picture_array(
    path: str | Path,
    shape: tuple[int, ...],
    pictures: Callable[[], Iterable["Image.Image"]],
    make: Callable[["Image.Image"], np.ndarray],
) -> Path:
    """Make a file of bytes for ``MemoryMapped``, with one row per picture.

    A file with bytes of that shape is kept; another one is replaced. The file is written whole or
    not at all.

    Args:
        path: The path of the file, ``.npy``.
        shape: The shape of the array, (N, *event_shape).
        pictures: A function that returns the N pictures in the order of rows. It is called only if
            the array has to be made.
        make: The function from a picture to bytes (*event_shape). It runs in threads.

    Returns:
        ``path``.

    Raises:
        OSError: If the file cannot be written.

    Example:
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp(), "grey.npy")
        >>> found = picture_array(path, (1, 2, 3), lambda: [Image.new("L", (3, 2), 7)], np.asarray)
        >>> np.load(found).tolist()
        [[[7, 7, 7], [7, 7, 7]]]
    """
    from rich.console import Console
    from rich.progress import track

    path = Path(path)
    if bytes_shape(path) == shape:
        return path
    source = iter(pictures())
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        rows = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        doing, console = f"making {path.name}, once", Console(stderr=True)
        shown = track(source, doing, shape[0], console=console, transient=True)
        start = 0
        with ThreadPoolExecutor() as pool:
            while batch := list(islice(shown, _AT_A_TIME)):
                rows[start : start + len(batch)] = list(pool.map(make, batch))
                start += len(batch)
        rows.flush()
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def open_picture(opened: Callable[[], Any], path: str | Path) -> "Image.Image":
    """Open a picture in RGB.

    Args:
        opened: The function that opens its file for reading.
        path: The name of the picture in messages.

    Raises:
        ValueError: If the picture is damaged.
    """
    from PIL import Image

    try:
        with opened() as content, Image.open(content) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: a damaged picture ({error}); copy it again.") from error


def bytes_shape(path: Path) -> tuple[int, ...] | None:
    """Return the shape of a file's array of bytes; None if there is no such array."""
    try:
        array = np.load(path, mmap_mode="r")
    except (ValueError, EOFError, OSError):
        return None
    return array.shape if array.dtype == np.uint8 else None
