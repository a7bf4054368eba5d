"""Handwritten digits that ship with scikit-learn, as three modalities.

top     (4, 8) float in [0, 1], the upper half of the picture
bottom  (4, 8) float in [0, 1], its lower half
label   () integer, 0..9

``DataSet.join`` puts the halves together, (1, 8, 8).
"""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.registry import Defaults, register
from ppl_mm.likelihoods import Categorical, Normal
from ppl_mm.modality import Modality
from ppl_mm.networks import LabelEncoder, MLPDecoder, MLPEncoder

__all__ = ["digits"]

_NUM_TRAIN, _NUM_VALIDATION = 1200, 200  # The other 397 rows are for the test.
_HIDDEN = (128, 128)


@register(
    modalities=("top", "bottom", "label"),
    sizes=(_NUM_TRAIN, _NUM_VALIDATION, 397),
    defaults=Defaults(epochs=200, learning_rate=2e-3, terms="all"),
    tiles=(("top", "bottom"),),
)
@typed
def digits(*, seed: int = 0) -> DataSet:
    """Read the 1,797 pictures of 8 x 8 pixels, split at random into 1,200 / 200 / 397 rows.

    Args:
        seed: The seed of the split.

    Source: scikit-learn's ``load_digits`` (Alpaydin & Kaynak 1998, UCI), pixels 0..16 divided
    by 16. This library chose the likelihoods, the networks and D = 16.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).to(torch.get_default_dtype()) / 16
    everything = Observations(
        {
            "top": images[:, :4],
            "bottom": images[:, 4:],
            "label": torch.from_numpy(bunch.target).long(),
        }
    )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(everything), generator=generator)
    held_out = _NUM_TRAIN + _NUM_VALIDATION
    return DataSet(
        "digits",
        train=everything[order[:_NUM_TRAIN]],
        validation=everything[order[_NUM_TRAIN:held_out]],
        test=everything[order[held_out:]],
        modalities=(_half("top"), _half("bottom"), _label()),
        latent_dim=16,
        label="label",
        num_classes=10,
        join=_join,
    )


def _join(values: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([values["top"], values["bottom"]], dim=-2).unsqueeze(-3)


def _half(name: str) -> Modality:
    return Modality(
        name,
        Normal(scale=0.1),
        encoder=partial(MLPEncoder, event_shape=(4, 8), hidden=_HIDDEN),
        decoder=partial(MLPDecoder, event_shape=(4, 8), hidden=_HIDDEN),
    )


def _label() -> Modality:
    return Modality(
        "label",
        Categorical(),
        encoder=partial(LabelEncoder, num_classes=10, hidden=_HIDDEN),
        decoder=partial(MLPDecoder, event_shape=(10,), hidden=_HIDDEN),
    )
