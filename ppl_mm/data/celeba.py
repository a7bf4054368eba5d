"""CelebA: faces, and 18 attributes of each as one modality or as 18.

    image       (3, 64, 64) float in [0, 1]
    attributes  (18,) 0 or 1, those of ``ATTRIBUTES``                         (``celeba``)
    Bald, ..    () 0 or 1, a modality for each of ``ATTRIBUTES``              (``celeba19``)

Faces stay in a file until a batch needs them, see :class:`ppl_mm.data.MemoryMapped`. The file takes
2.5 GB; it is made of the pictures once, in some minutes. :mod:`ppl_mm.data.celeba_files` describes
the published files.

Source: Liu et al. 2015, "Deep learning face attributes in the wild"; attributes and size of Wu &
Goodman 2018, arXiv:1802.05335, appendix A, and its release.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.data.celeba_files import (
    read_attributes,
    read_partition,
    shrink,
    stored,
)
from ppl_mm.data.dataset import DataSet, as_floats
from ppl_mm.data.registry import register
from ppl_mm.likelihoods import Bernoulli, MultiLabel, SoftBernoulli
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.faces import CELEBA_BY_HAND, CELEBA_SIZES, find_celeba

__all__ = ["ATTRIBUTES", "celeba", "celeba19"]

ATTRIBUTES = (
    "Bald",
    "Bangs",
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Eyeglasses",
    "Gray_Hair",
    "Heavy_Makeup",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Pale_Skin",
    "Receding_Hairline",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Hat",
)
"""The 18 visually distinctive attributes of the 40, in the order of the published list."""

_register = partial(register, sizes=CELEBA_SIZES, by_hand=CELEBA_BY_HAND, find=find_celeba)
_LATENT_DIM = 100
_IMAGE = Modality(
    "image",
    SoftBernoulli(),
    presets.celeba_image_encoder,
    presets.celeba_image_decoder,
    features=presets.celeba_image_features,
)
_ATTRIBUTES_AS_ONE = Modality(
    "attributes",
    MultiLabel(),
    presets.celeba_attributes_encoder,
    presets.celeba_attributes_decoder,
    features=presets.celeba_attributes_features,
)


@_register(modalities=("image", "attributes"))
@typed
def celeba(folder: str | Path | None = None) -> DataSet:
    """Read faces, and their 18 attributes as one modality, with the published partition.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.

    Raises:
        FileNotFoundError: If files are missing; the message names them and says how to get them.
        ValueError: If files are damaged or do not fit together.
    """
    path, attributes, parts = _read(folder)
    arrays = {"image": path, "attributes": attributes}
    return _dataset("celeba", arrays, parts, (_IMAGE, _ATTRIBUTES_AS_ONE))


@_register(modalities=("image", *ATTRIBUTES))
@typed
def celeba19(folder: str | Path | None = None) -> DataSet:
    """Read faces and 18 attributes, each of them a modality, as MVAE19 does.

    Arguments and errors are those of :func:`celeba`. The networks of an attribute are the
    release's, with one input; the paper's Table 1 counts encoders of 18 inputs.
    """
    path, attributes, parts = _read(folder)
    arrays = {"image": path, **dict(zip(ATTRIBUTES, attributes.T, strict=True))}
    networks = presets.celeba19_attribute_encoder, presets.celeba19_attribute_decoder
    own = [Modality(name, Bernoulli(), *networks) for name in ATTRIBUTES]
    return _dataset("celeba19", arrays, parts, (_IMAGE, *own))


def _read(folder: str | Path | None) -> tuple[Path, np.ndarray, np.ndarray]:
    """Return the file of faces, bytes (N, 18) of attributes, and the parts (N,)."""
    found = find_celeba(folder)
    files, names, values = read_attributes(found.attributes)
    unknown = [name for name in ATTRIBUTES if name not in names]
    if unknown:
        raise ValueError(
            f"{found.attributes}: expected the attributes {', '.join(unknown)} among the names of "
            "the second line. The file is not the original or is damaged: copy it again."
        )
    parts = read_partition(found.partition, files)
    path = stored(found, "faces_64.npy", files, (3, 64, 64), shrink)
    return path, values[:, [names.index(name) for name in ATTRIBUTES]], parts


def _dataset(
    name: str,
    arrays: Mapping[str, object],
    parts: np.ndarray,
    modalities: tuple[Modality, ...],
) -> DataSet:
    convert = {m.name: as_floats if m.name == "image" else _zero_or_one for m in modalities}
    rows = MemoryMapped(arrays, convert=convert)
    train, validation, test = (rows[(parts == part).nonzero()[0]] for part in range(3))
    return DataSet(name, train, validation, test, modalities, _LATENT_DIM, None, None)


def _zero_or_one(values: Tensor) -> Tensor:
    return values.to(torch.get_default_dtype())
