"""Two views of MNIST: a rotated picture, and another of the same digit under noise.

    rotated  (1, 28, 28) float in [0, 1], turned by an angle uniform in [-pi/4, pi/4]
    noisy    (1, 28, 28) float in [0, 1], a random picture of the same class, not turned,
             plus noise uniform in [0, 1], cut at 1
    label    () integer, 0..9

Source: Wang et al. 2015, "On deep multi-view representation learning" (DCCAE); Mancisidor et al.
2023 (CMMD), doi:10.1016/j.neunet.2023.10.048, sections 4.1 and 4.3.1.
"""

import math
from pathlib import Path

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet, as_floats, split_last
from ppl_mm.data.mnist import read_images
from ppl_mm.data.registry import register
from ppl_mm.likelihoods import Categorical, Normal
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.small_pictures import MNIST

__all__ = ["digit_label", "rotate", "two_view_mnist"]

_LATENT_DIM = 50
_MAX_ANGLE = math.pi / 4
_AT_A_TIME = 5_000  # pictures


@register(
    modalities=("rotated", "noisy", "label"),
    sizes=(50_000, 10_000, 10_000),
    sources=(MNIST,),
)
@typed
def two_view_mnist(
    folder: str | Path | None = None, *, validation: int = 10_000, seed: int = 0
) -> DataSet:
    """Make rotated and noisy MNIST: 50,000 training, 10,000 validation and 10,000 test pairs.

    Every picture is once the first view. The second views of a split are pictures of that split.

    Args:
        folder: The data folder with MNIST; default ``PPL_MM_DATA``, or the user's cache.
        validation: The number of training pictures, the last ones, to hold out.
        seed: The seed of angles, pairs and noise.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or ``validation`` leaves no row to train on.

    Source: see the module; networks, D = 50 and a Normal with learned scale from CMMD. Differs: the
    views are made of the MNIST files with random numbers drawn here, and classes are digits.

    Example:
        >>> data = two_view_mnist()  # doctest: +SKIP
        >>> data.train.names  # doctest: +SKIP
        ('rotated', 'noisy', 'label')
    """
    pictures = (read_images(MNIST, folder, part) for part in ("train", "t10k"))
    published = [Observations({"image": x.unsqueeze(1), "label": y}) for x, y in pictures]
    train, held_out = split_last("two_view_mnist", published[0], validation)
    generator = torch.Generator().manual_seed(seed)
    views = [None if obs is None else _views(obs, generator) for obs in (train, held_out)]
    encoder, decoder = presets.cmmd_view_encoder, presets.cmmd_view_decoder
    declared = (Modality(name, Normal(), encoder, decoder) for name in ("rotated", "noisy"))
    assert views[0] is not None
    return DataSet(
        "two_view_mnist",
        views[0],
        views[1],
        _views(published[1], generator),
        (*declared, digit_label()),
        _LATENT_DIM,
        "label",
        10,
    )


def rotate(
    images: Float[Tensor, "N C H W"], angles: Float[Tensor, " N"]
) -> Float[Tensor, "N C H W"]:
    """Pictures turned about their centre, by bilinear interpolation, with zeros around them.

    Args:
        images: (N, C, H, W) floats.
        angles: Radians, (N,); positive turns against the clock.

    Returns:
        (N, C, H, W).

    Example:
        >>> corner = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
        >>> rotate(corner, torch.tensor([math.pi / 2])).round().int()[0, 0]
        tensor([[0, 0],
                [1, 0]], dtype=torch.int32)
    """
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    there = torch.stack([torch.stack([cos, -sin, zero], -1), torch.stack([sin, cos, zero], -1)], 1)
    grid = F.affine_grid(there.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def rotated(
    images: Integer[Tensor, "N 1 28 28"], generator: torch.Generator
) -> Float[Tensor, "N 1 28 28"]:
    """Turn bytes (N, 1, 28, 28) by random angles up to pi / 4; return floats in [0, 1]."""
    angles = (2 * torch.rand(len(images), generator=generator) - 1) * _MAX_ANGLE
    parts = zip(images.split(_AT_A_TIME), angles.split(_AT_A_TIME), strict=True)
    return torch.cat([rotate(as_floats(part), angle) for part, angle in parts]).clamp_(0, 1)


def digit_label() -> Modality:
    """Declare the class of a digit; its decoder is CMMD's classifier of two layers of 50 units."""
    return Modality("label", Categorical(), presets.cmmd_digit_encoder, presets.cmmd_digit_decoder)


def _views(obs: Observations, generator: torch.Generator) -> Observations:
    images, labels = obs["image"], obs["label"]
    others = as_floats(images[_same_class(labels, generator)])
    noise = torch.rand(others.shape, generator=generator, dtype=others.dtype)
    noisy = others.add_(noise).clamp_(max=1)
    return Observations({"rotated": rotated(images, generator), "noisy": noisy, "label": labels})


def _same_class(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random row of the same class for each row, (N,)."""
    partner = torch.empty_like(labels)
    for kind in labels.unique().tolist():
        rows = (labels == kind).nonzero().squeeze(-1)
        partner[rows] = rows[torch.randint(len(rows), rows.shape, generator=generator)]
    return partner
