"""CelebA as six views of a picture; a model learns the transformations that make them.

    image      (3, 64, 64)  the picture
    gray       (1, 64, 64)  its luminance, the 601 standard's (0.299 red + 0.587 green + 0.114 blue)
    edge       (1, 64, 64)  Canny's edges of the luminance, sigma 2 pixels, white on black
    mask       (1, 64, 64)  mouth, brows, eyes, nose and jaw, white on black; black without a face
    obscured   (3, 64, 64)  the picture, black right of its middle
    watermark  (3, 64, 64)  the picture under a watermark

All values are floats in [0, 1]. Every view is made of the whole picture and then shrunk, so edges
and masks have shades of grey. The views are stored in ``celeba/`` of the data folder, 10 GB in all,
and read from there row by row, see :class:`ppl_mm.data.MemoryMapped`.

Source: Wu & Goodman 2018, arXiv:1802.05335, section 6 and appendix J, and its release. Differs: the
watermark is drawn here, since the release's is not public. It lies over the whole picture, as the
paper says, not over the obscured one.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.data.celeba_files import (
    read_attributes,
    read_partition,
    shrink,
    stored,
)
from ppl_mm.data.dataset import DataSet, as_floats
from ppl_mm.data.landmarks import Landmarks, draw_face
from ppl_mm.data.registry import register
from ppl_mm.likelihoods import SoftBernoulli
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.faces import (
    CELEBA_SIZES,
    VIEW_FILES,
    VIEWS,
    VIEWS_BY_HAND,
    find_predictor,
    find_views,
)

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["celeba_vision", "edges", "obscured", "watermarked"]

_GRAY = ("gray", "edge", "mask")
_LATENT_DIM = 250
_SIGMA = 2.0  # pixels
_MARK, _STROKE, _OPACITY = 512, 32, 128  # Side and line in pixels; opacity of 255.


View = Callable[["Image.Image"], "Image.Image"]


@register(modalities=VIEWS, sizes=CELEBA_SIZES, by_hand=VIEWS_BY_HAND, find=find_views)
@typed
def celeba_vision(folder: str | Path | None = None) -> DataSet:
    """Read six views of every picture, with the published partition.

    The views are made of the full-size pictures in ``celeba/img_celeba/``, as in the release, or
    else of the aligned ones; ``DataSet.origin`` says which. The first time the views of the aligned
    pictures take two to three hours of CPU time, shared by all cores; those of the full-size ones
    take several times that.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.

    Raises:
        FileNotFoundError: If files are missing; the message names them and says how to get them.
        ImportError: If dlib or scikit-image is missing, and the views that need it are not stored.
        ValueError: If files are damaged or do not fit together.

    Source: see the module; networks and D = 250 are the release's.
    """
    kind, found = find_views(folder)
    files, _, _ = read_attributes(found.attributes)
    parts = read_partition(found.partition, files)
    paths = {}
    for name, view in _views(folder).items():
        shape = (1 if name in _GRAY else 3, 64, 64)
        paths[name] = stored(found, VIEW_FILES[kind][name], files, shape, _shrunk(view))
    rows = MemoryMapped(
        {name: paths[name] for name in VIEWS}, convert=dict.fromkeys(VIEWS, as_floats)
    )
    train, validation, test = (rows[(parts == part).nonzero()[0]] for part in range(3))
    return DataSet(
        "celeba_vision",
        train,
        validation,
        test,
        tuple(_modality(name) for name in VIEWS),
        _LATENT_DIM,
        label=None,
        num_classes=None,
        origin="full-size pictures" if kind == "full" else "aligned pictures",
    )


def edges(picture: "Image.Image") -> "Image.Image":
    """Draw Canny's edges of a picture's luminance, with sigma 2: 255 on 0.

    Source: Canny 1986, "A computational approach to edge detection", in scikit-image.

    Example:
        >>> from PIL import Image
        >>> pixels = np.zeros((32, 32), np.uint8)
        >>> pixels[:, 16], pixels[:, 17:] = 127, 255
        >>> np.flatnonzero(np.asarray(edges(Image.fromarray(pixels)))[16])
        array([16])
    """
    from PIL import Image

    try:
        from skimage.feature import canny
    except ImportError as error:
        raise ImportError(
            "celeba_vision: edges need scikit-image: pip install 'ppl-mm[vision]'."
        ) from error
    found = canny(np.asarray(picture.convert("L")) / 255, sigma=_SIGMA)
    return Image.fromarray(found.astype(np.uint8) * 255)


def obscured(picture: "Image.Image") -> "Image.Image":
    """Set the columns of a picture from W // 2 on to 0.

    Example:
        >>> from PIL import Image
        >>> np.asarray(obscured(Image.new("L", (5, 1), 9)))
        array([[9, 9, 0, 0, 0]], dtype=uint8)
    """
    width, height = picture.size
    half = picture.copy()
    half.paste(0, (width // 2, 0, width, height))
    return half


def watermarked(picture: "Image.Image") -> "Image.Image":
    """Lay a half transparent white mark over a picture: a ring, and both diagonals.

    The mark is drawn in a square and stretched to the picture (bicubic). The ring's outer diameter
    is 5/8 of the square's side; its line and the diagonals are 1/16 wide.

    Example:
        >>> from PIL import Image
        >>> marked = watermarked(Image.new("RGB", (64, 64)))
        >>> marked.getpixel((0, 0)), marked.getpixel((32, 32)), marked.getpixel((32, 2))
        ((128, 128, 128), (128, 128, 128), (0, 0, 0))
    """
    from PIL import Image

    mark = _mark().resize(picture.size, Image.Resampling.BICUBIC)
    marked = picture.copy()
    marked.paste(mark, (0, 0), mark)
    return marked


@cache
def _mark() -> "Image.Image":
    from PIL import Image, ImageDraw

    mark = Image.new("RGBA", (_MARK, _MARK), (255, 255, 255, 0))
    draw, white = ImageDraw.Draw(mark), (255, 255, 255, _OPACITY)
    margin = 3 * _MARK // 16
    draw.ellipse((margin, margin, _MARK - margin, _MARK - margin), outline=white, width=_STROKE)
    for ends in ((0, 0, _MARK, _MARK), (0, _MARK, _MARK, 0)):
        draw.line(ends, fill=white, width=_STROKE)
    return mark


def _views(folder: str | Path | None) -> dict[str, View]:
    """The function that makes each view; the mask comes first, since it may lack its predictor."""
    lock, load = Lock(), cache(lambda: Landmarks(find_predictor(folder)))

    def mask(picture: "Image.Image") -> "Image.Image":
        with lock:  # Only one of several threads reads the predictor.
            landmarks = load()
        return draw_face(landmarks(picture), picture.size)

    return {
        "mask": mask,
        "image": lambda picture: picture,
        "gray": lambda picture: picture.convert("L"),
        "edge": edges,
        "obscured": obscured,
        "watermark": watermarked,
    }


def _shrunk(view: View) -> Callable[["Image.Image"], np.ndarray]:
    return lambda picture: shrink(view(picture))


def _modality(name: str) -> Modality:
    networks = presets.vision_rgb_encoder, presets.vision_rgb_decoder
    if name in _GRAY:
        networks = presets.vision_gray_encoder, presets.vision_gray_decoder
    return Modality(name, SoftBernoulli(), *networks)
