"""Folders of images; a file's name without its suffix is the label of its row."""

from pathlib import Path

import numpy as np

from ppl_mm.data.own.source import Rows

__all__ = ["Images", "read_images"]

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
_KEPT_BYTES = 2**29  # Smaller folders are read once.


class Images:
    """Pictures (n, C, H, W), bytes 0..255, which are read from their files on demand.

    Args:
        paths: The files.
        shape: C, H and W.
        resize: Whether to resize each picture to H x W.
    """

    def __init__(self, paths: list[Path], shape: tuple[int, int, int], resize: bool) -> None:
        self.paths, self.resize = paths, resize
        self.shape = (len(paths), *shape)
        self.dtype = np.dtype(np.uint8)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        chosen = np.arange(len(self.paths))[rows]
        found = np.empty((len(chosen), *self.shape[1:]), dtype=np.uint8)
        for place, i in zip(found, chosen, strict=True):
            place[:] = self._read(self.paths[i])
        return found

    def _read(self, path: Path) -> np.ndarray:
        from PIL import Image

        channels, height, width = self.shape[1:]
        try:
            with Image.open(path) as file:
                whole = file.convert("RGBA") if file.mode == "P" else file  # It may be transparent.
                picture = whole.convert("L" if channels == 1 else "RGB")
                if self.resize:
                    picture = picture.resize((width, height), Image.Resampling.BOX)
                pixels = np.asarray(picture)
        except OSError as error:
            raise ValueError(f"{path.name}: damaged, or no image ({error}).") from error
        return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def read_images(folder: Path, size: tuple[int, int] | None) -> Rows:
    """Read the images of a folder, in the order of their names; grey unless one has colours.

    Args:
        folder: The folder.
        size: The height and width that the images are resized to; None keeps their size.

    Raises:
        ValueError: If there are no images, or images are damaged, differ in size, share a name or
            have pixels of more than 8 bits.
    """
    paths = sorted(p for p in folder.iterdir() if _is_image(p))
    if not paths:
        raise ValueError(
            f"{folder.name}: expected images ({', '.join(sorted(_SUFFIXES))}), found none."
        )
    labels = tuple(path.stem for path in paths)
    channels, found = 1, size
    for path in paths:
        mode, own = _form(path)
        channels = 1 if mode in ("1", "L", "LA") and channels == 1 else 3
        found = own if found is None else found
        if size is None and own != found:
            raise ValueError(
                f"{folder.name}: {paths[0].name} is {found[0]} x {found[1]} pixels (height x "
                f"width), {path.name} {own[0]} x {own[1]}; write size = [{found[0]}, {found[1]}] "
                "to resize them."
            )
    assert found is not None
    lazy = Images(paths, (channels, *found), size is not None)
    small = np.prod(lazy.shape) <= _KEPT_BYTES
    values = lazy[:] if small else lazy
    return Rows(folder.name, values, labels=labels, place=lambda i: paths[i].name)


def _is_image(path: Path) -> bool:
    """Whether a file is an image by its name; the names of hidden files begin with a point."""
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()


def _form(path: Path) -> tuple[str, tuple[int, int]]:
    """Return the mode of an image, and its height and width."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            if file.mode.startswith(("I", "F")):
                raise ValueError(
                    f"{path.name}: expected pixels of 8 bits, got mode {file.mode}; save it with "
                    "8 bits, or give the pixels in [0, 1] as an NPY file."
                )
            return file.mode, (file.height, file.width)
    except OSError as error:
        raise ValueError(f"{path.name}: damaged, or no image ({error}).") from error
