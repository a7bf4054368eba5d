"""MultiMNIST: up to four MNIST digits on one canvas, and the string that they spell.

    image   (1, 50, 50) float in [0, 1]
    string  (4,) integers, the digits in reading order, then FILL

For each picture the number of digits n is uniform on 0..4. Digit j is an MNIST picture, which is
chosen with replacement, shrunk to 21 x 21 and added with its top left pixel at ``OFFSETS[j]``. The
cells overlap by two pixels. If a sum exceeds 255, the digits (not n) are drawn again.

Source: Wu & Goodman 2018, arXiv:1802.05335, the "fixed" set of the authors' release, after Eslami
et al. 2016. Differs: the random numbers, hence the pictures, are not the release's.
"""

from pathlib import Path

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet, split_last
from ppl_mm.data.mnist import MNIST_DEFAULTS, Part, read_images
from ppl_mm.data.registry import register
from ppl_mm.likelihoods import SoftBernoulli, Tokens
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.small_pictures import MNIST

__all__ = ["FILL", "OFFSETS", "SOS", "draw_canvases", "multimnist"]

SOS = 10
"""The symbol that starts a string; only the decoder reads it."""
FILL = 11
"""The symbol that fills a string up to four symbols."""
OFFSETS = ((4, 4), (4, 23), (23, 4), (23, 23))
"""Row and column of the top left pixel of each digit's cell."""

_CANVAS, _CELL = 50, 21  # pixels; 21 = int(28 / 1.3)
_MAX_REDRAWS = 100


@register(
    modalities=("image", "string"),
    sizes=(60_000, 0, 10_000),
    sources=(MNIST,),
    defaults=MNIST_DEFAULTS,
)
@typed
def multimnist(
    folder: str | Path | None = None,
    *,
    num_train: int = 60_000,
    num_test: int = 10_000,
    validation: int = 0,
    seed: int = 681307,
) -> DataSet:
    """Compose MultiMNIST from the MNIST files, which takes seconds, so nothing is stored.

    Training pictures use MNIST's training digits, test pictures its test digits.

    Args:
        folder: The data folder with MNIST; default ``PPL_MM_DATA``, or the user's cache.
        num_train: The number of pictures for training and validation, of 10 kB of memory each.
        num_test: The number of pictures for the test.
        validation: The number of these ``num_train`` pictures, the last ones, to hold out. The
            paper holds out none.
        seed: The seed of the training pictures; the test pictures use ``seed + 1``.

    Raises:
        FileNotFoundError: If MNIST's files are missing.
        ValueError: If they are damaged, or a size leaves a split without rows.
    """
    train = _compose(folder, "train", num_train, seed)
    test = _compose(folder, "t10k", num_test, seed + 1)
    kept, held_out = split_last("multimnist", train, validation)
    image = Modality(
        "image",
        SoftBernoulli(),
        presets.multimnist_image_encoder,
        presets.multimnist_image_decoder,
        features=presets.multimnist_image_features,
    )
    string = Modality(
        "string",
        Tokens(),
        presets.multimnist_string_encoder,
        presets.multimnist_string_decoder,
        features=presets.multimnist_string_features,
    )
    return DataSet("multimnist", kept, held_out, test, (image, string), 100, None, None)


def draw_canvases(
    digits: Integer[Tensor, "D 28 28"], labels: Int[Tensor, " D"], num_canvases: int, *, seed: int
) -> tuple[Float[Tensor, "{num_canvases} 1 50 50"], Int[Tensor, "{num_canvases} 4"]]:
    """Draw pictures and their strings.

    Args:
        digits: The pictures to choose from, (D, 28, 28) uint8.
        labels: Their classes, (D,) int64.
        num_canvases: The number N of pictures to draw.
        seed: The seed of the draws.

    Returns:
        Images (N, 1, 50, 50) float, whole numbers from 0 to 255, and strings (N, 4) int64.

    Raises:
        ValueError: If the digits are so bright at their edges that sums keep exceeding 255.

    Example:
        >>> digits, labels = torch.full((1, 28, 28), 50, dtype=torch.uint8), torch.tensor([7])
        >>> images, strings = draw_canvases(digits, labels, 3, seed=0)
        >>> images.shape, strings.shape
        (torch.Size([3, 1, 50, 50]), torch.Size([3, 4]))
    """
    generator = torch.Generator().manual_seed(seed)
    cells = F.interpolate(
        digits.unsqueeze(1), size=(_CELL, _CELL), mode="bilinear", antialias=True
    ).squeeze(1)
    count = torch.randint(len(OFFSETS) + 1, (num_canvases,), generator=generator)
    used = torch.arange(len(OFFSETS)) < count.unsqueeze(-1)  # (N, 4)
    chosen = torch.randint(len(cells), used.shape, generator=generator)
    images = _place(cells, chosen, used)
    again = _too_bright(images).nonzero().squeeze(-1)
    for _ in range(_MAX_REDRAWS):
        if len(again) == 0:
            return images, labels[chosen].masked_fill(~used, FILL)
        chosen[again] = torch.randint(len(cells), (len(again), len(OFFSETS)), generator=generator)
        redrawn = _place(cells, chosen[again], used[again])
        images[again] = redrawn
        again = again[_too_bright(redrawn)]
    raise ValueError(
        f"multimnist: expected digits that are dark at their edges, got {len(again)} pictures "
        f"with a pixel above 255 after {_MAX_REDRAWS} draws; use the published MNIST files."
    )


def _place(cells: Tensor, chosen: Tensor, used: Tensor) -> Tensor:
    images = torch.zeros(len(chosen), 1, _CANVAS, _CANVAS)
    for j, (row, column) in enumerate(OFFSETS):
        digit = cells[chosen[:, j]] * used[:, j, None, None]
        images[:, 0, row : row + _CELL, column : column + _CELL] += digit
    return images


def _too_bright(images: Tensor) -> Tensor:
    return images.amax((-3, -2, -1)) > 255


def _compose(folder: str | Path | None, part: Part, size: int, seed: int) -> Observations:
    digits, labels = read_images(MNIST, folder, part)
    images, strings = draw_canvases(digits, labels, size, seed=seed)
    return Observations({"image": images.div_(255), "string": strings})
