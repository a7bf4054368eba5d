"""The network of a joint posterior: a trunk a modality, joined by dense layers.

q(z | x_S) = Normal( loc_S(x_S), scale_S(x_S) )
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ppl_mm.modality import Modality
from ppl_mm.networks.layers import Activation, LocationScale, ScaleMap, dense

__all__ = ["JointEncoder", "trunk_of"]


class JointEncoder(nn.Module):
    """Trunks of several modalities, joined by a dense layer or none, and a linear head.

    Args:
        modalities: One trunk each, see :func:`trunk_of`.
        latent_dim: Z.
        hidden: Width of the layer that joins the trunks, and of the features of a trunk made of an
            encoder. None: no such layer, the trunks' features go to the head; an encoder has 2 Z.
        activation: ``"relu"``, ``"silu"`` (Swish) or ``"elu"``, after that layer.
        scale: The map of the head to a positive scale, see
            :func:`ppl_mm.networks.location_scale`.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        hidden: int | None,
        activation: Activation,
        scale: ScaleMap,
    ) -> None:
        super().__init__()
        size = latent_dim if hidden is None else hidden // 2
        trunks = {m.name: trunk_of(m, size) for m in modalities}
        features = sum(trunk.out_features for trunk in trunks.values())
        sizes = (features,) if hidden is None else (features, hidden)
        self.trunks = nn.ModuleDict(trunks)
        self.joined = dense(sizes, activation=activation)
        self.head = nn.Linear(sizes[-1], 2 * latent_dim)
        self.location_scale = LocationScale(scale)

    def forward(self, *values: Tensor) -> tuple[Tensor, Tensor]:
        """The expert's (loc, scale), from one argument a modality."""
        features = [trunk(x) for trunk, x in zip(self.trunks.values(), values, strict=True)]
        return self.join(torch.cat(features, -1))

    def join(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The expert's (loc, scale), from the trunks' features side by side."""
        raw = self.head(self.joined(features)).to(features.dtype)  # not rounded under autocast
        return self.location_scale(raw, raw.shape[:-1])


class _EncoderTrunk(nn.Module):
    """An encoder as a trunk: its loc and log scale are the features."""

    def __init__(self, encoder: nn.Module, size: int) -> None:
        super().__init__()
        self.encoder, self.out_features = encoder, 2 * size

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = self.encoder(x)
        return torch.cat([loc, scale.log()], -1)


def trunk_of(modality: Modality, size: int) -> Any:
    """``features()`` of the modality, or an encoder of its own with 2 ``size`` features.

    Raises:
        TypeError: For ``features()`` without an attribute ``out_features``.
    """
    if modality.features is None:
        return _EncoderTrunk(modality.encoder(size), size)
    trunk = modality.features()
    if not isinstance(getattr(trunk, "out_features", None), int):
        raise TypeError(
            f"modality {modality.name!r}: features() must return a module with an attribute "
            f"out_features, the number of its features; {type(trunk).__name__} has none."
        )
    return trunk
