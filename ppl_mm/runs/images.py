"""Images that were filled in, as files beside the table of the other cells."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from ppl_mm.files import write_atomically

__all__ = ["image_folder", "write_images"]

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def image_folder(table: Path, name: str) -> Path:
    """Return the folder of a modality's images, beside a table.

    Example:
        >>> image_folder(Path("out/filled.csv"), "picture").as_posix()
        'out/filled_picture'
    """
    return table.with_name(f"{table.stem}_{name}")


def write_images(
    parts: Sequence[tuple[Sequence[str], Float[Tensor, "N C H W"], Bool[Tensor, "N C H W"]]],
    folder: Path,
) -> int:
    """Write the images of rows that lack pixels, as PNG files; others are the user's own.

    Args:
        parts: Parts of the rows: their labels, which name the files (signs that file names do not
            allow become ``_``); the images (N, C, H, W), in [0, 1], of 1 to 4 channels; and whether
            each pixel was observed, of that shape.
        folder: The folder, which is made if there are such images.

    Returns:
        How many were written.

    Raises:
        ValueError: If two labels give one name of a file, or images have other channels; then
            nothing is written.
    """
    files: dict[str, tuple[str, Tensor]] = {}
    for labels, values, observed in parts:
        for i in (~observed.flatten(1).all(1)).nonzero()[:, 0].tolist():
            name = re.sub(r"[^\w. -]", "_", labels[i])
            if name in files:
                raise ValueError(
                    f"{folder.name}: rows {files[name][0]!r} and {labels[i]!r} would have one "
                    f"file, {name}.png; rename one."
                )
            if len(values[i]) not in _MODES:
                raise ValueError(
                    f"{folder.name}: expected images of 1 to 4 channels, got {len(values[i])}."
                )
            files[name] = labels[i], values[i]
    for name, (_, image) in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{name}.png", _png(image))
    return len(files)


def _png(image: Tensor) -> bytes:
    """Return an image (C, H, W) in [0, 1] as the content of a PNG file."""
    from PIL import Image

    pixels = (image.cpu().clamp(0, 1) * 255).round().numpy().astype(np.uint8)
    plane = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane), _MODES[len(pixels)]).save(file, "PNG")
    return file.getvalue()
