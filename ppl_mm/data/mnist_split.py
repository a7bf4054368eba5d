"""MNIST-Split: the halves, or the thirds, of an MNIST picture as modalities.

    mnist_split      top, bottom          (1, 14, 28) each, rows 0..13 and 14..27
    mnist_split_3    top, middle, bottom  (1, 9, 28) each, rows 0..8, 9..17 and 18..26; no row 27

``DataSet.join`` puts the parts together, with a row of zeros for row 27 of the thirds.

Values are floats in [0, 1], the published bytes / 255. A soft Bernoulli scores them, which is not a
density. The class is not a modality; ``DataSet.labels`` keeps it for evaluation.

Source: Kutuzova et al. 2020, "Multimodal Variational Autoencoders for Semi-Supervised Learning: In
Defense of Product-of-Experts" (SVAE), section 4, appendices D, F.1 and F.4, and its release.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet, as_floats, split_last
from ppl_mm.data.mnist import read_images
from ppl_mm.data.registry import Defaults, register
from ppl_mm.likelihoods import SoftBernoulli
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.published.small_pictures import MNIST

__all__ = ["mnist_split", "mnist_split_3"]

_LATENT_DIM = 64
_HEIGHT = 28
_TWO, _THREE = ("top", "bottom"), ("top", "middle", "bottom")
_register = partial(
    register,
    sizes=(60_000, 5_000, 5_000),
    sources=(MNIST,),
    defaults=Defaults(epochs=50, batch_size=100, learning_rate=2e-4, rows=500),
)


@_register(modalities=_TWO, tiles=(_TWO,))
@typed
def mnist_split(
    folder: str | Path | None = None,
    *,
    validation: int = 5_000,
    scale: ScaleMap = "softplus",
) -> DataSet:
    """Read the top and the bottom half of MNIST pictures; neither alone determines the digit.

    The training rows are all 60,000 published training pictures. The test rows are the first 5,000
    of the published test file and the validation rows its last 5,000, as in the release.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        validation: The number of **test** pictures, the last ones, to hold out for choosing a
            model; with 0 all 10,000 are test rows.
        scale: The map of the encoders' heads to a scale. The release's SVAE uses
            ``"softplus_variance"``, with a prior expert, and its VAEVAE ``"softplus"``.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or ``validation`` leaves no row to test on.

    Source: Kutuzova et al. 2020 (SVAE): networks, likelihood and D = 64. Differs: the release
    chooses the epoch on the rows that are test rows here, and calls the others validation rows.
    """
    part = partial(
        Modality,
        likelihood=SoftBernoulli(),
        encoder=partial(presets.mnist_split_encoder, scale=scale),
        decoder=presets.mnist_split_decoder,
        features=presets.mnist_split_features,
    )
    return _split("mnist_split", tuple(part(name) for name in _TWO), folder, validation)


@_register(modalities=_THREE, tiles=(_THREE,))
@typed
def mnist_split_3(
    folder: str | Path | None = None,
    *,
    validation: int = 5_000,
    scale: ScaleMap = "softplus",
) -> DataSet:
    """Read the top, middle and bottom of MNIST pictures, nine rows each, without the last row.

    The splits are those of :func:`mnist_split`.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        validation: The number of **test** pictures, the last ones, to hold out for choosing a
            model; with 0 all 10,000 are test rows.
        scale: The map of the encoders' heads to a scale. The release's SVAE uses
            ``"softplus_variance"``, with a prior expert, and its VAEVAE ``"softplus"``.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If files are damaged, or ``validation`` leaves no row to test on.

    Source: Kutuzova et al. 2020 (SVAE), appendix F.4 and release: networks, likelihood and D = 64.
    """
    part = partial(
        Modality,
        likelihood=SoftBernoulli(),
        encoder=partial(presets.mnist_split_3_encoder, scale=scale),
        decoder=presets.mnist_split_3_decoder,
        features=presets.mnist_split_3_features,
    )
    return _split("mnist_split_3", tuple(part(name) for name in _THREE), folder, validation)


def _split(
    name: str, modalities: tuple[Modality, ...], folder: str | Path | None, validation: int
) -> DataSet:
    parts = [m.name for m in modalities]
    train, train_labels = read_images(MNIST, folder, "train")
    images, labels = read_images(MNIST, folder, "t10k")
    test, held_out = split_last(name, _observations(images, parts), validation)
    all_labels = {"train": train_labels, "test": labels[: len(test)]}
    if held_out is not None:
        all_labels["validation"] = labels[len(test) :]
    return DataSet(
        name,
        _observations(train, parts),
        held_out,
        test,
        modalities,
        _LATENT_DIM,
        label=None,
        num_classes=10,
        labels=all_labels,
        join=partial(_join, parts=parts),
    )


def _observations(images: Tensor, parts: Sequence[str]) -> Observations:
    """Cut pictures (N, 28, 28) into equal parts from the top; leave out the rows that remain."""
    height = images.shape[1] // len(parts)
    strips = images.unsqueeze(1).split(height, dim=2)
    return Observations(
        {part: as_floats(strip) for part, strip in zip(parts, strips, strict=False)}
    )


def _join(values: Mapping[str, Tensor], parts: Sequence[str]) -> Tensor:
    """Put strips (..., 1, height, 28) below each other, then zeros; return (..., 1, 28, 28)."""
    strips = [values[part] for part in parts]
    heights, height = [strip.shape[-2] for strip in strips], _HEIGHT // len(parts)
    if set(heights) != {height}:
        raise ValueError(
            f"join: expected {', '.join(parts)} of {height} rows of pixels each, got {heights}; "
            "use the join of the data set that the values are of."
        )
    picture = torch.cat(strips, dim=-2)
    return F.pad(picture, (0, 0, 0, _HEIGHT - picture.shape[-2]))
