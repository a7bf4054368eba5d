"""Arrays that are made of pictures, once, and kept in a file beside them."""

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

_AT_A_TIME = 256  # pictures


def picture_array(
    path: str | Path,
    shape: tuple[int, ...],
    pictures: Callable[[], Iterable["Image.Image"]],
    make: Callable[["Image.Image"], np.ndarray],
) -> Path:
    """A file with bytes of a shape, for ``MemoryMapped``: a row is what a picture is made into.

    Where the file is there, with bytes of that shape, nothing is made; another is replaced. It is
    written whole or not at all.

    Args:
        path: The file, ``.npy``.
        shape: Of the array, (N, *event_shape).
        pictures: The N pictures in the order of rows; called where the array is to be made.
        make: From a picture to bytes (*event_shape). Runs in threads.

    Returns:
        ``path``.

    Raises:
        OSError: If it cannot be written.

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
    """A picture in RGB.

    Args:
        opened: Opens its file for reading.
        path: What to call it.

    Raises:
        ValueError: If it is damaged.
    """
    from PIL import Image

    try:
        with opened() as content, Image.open(content) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: a damaged picture ({error}); copy it again.") from error


def bytes_shape(path: Path) -> tuple[int, ...] | None:
    """The shape of a file's array of bytes; None for another file, or none."""
    try:
        array = np.load(path, mmap_mode="r")
    except (ValueError, EOFError, OSError):
        return None
    return array.shape if array.dtype == np.uint8 else None
