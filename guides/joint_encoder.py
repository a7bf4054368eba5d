"""The network of a joint posterior: a trunk a modality, joined by dense layers.

q(z | x_S) = Normal( loc_S(x_S), scale_S(x_S) )
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ppl_mm.features import declared_features
from ppl_mm.modality import Modality
from ppl_mm.networks.layers import Activation, LocationScale, ScaleMap, dense

__all__ = ["JointEncoder", "joint_encoder"]


class JointEncoder(nn.Module):
    """Trunks of several modalities, joined by dense layers, and a linear head.

    Args:
        trunks: Modality -> module from its values to features (B, ``out_features``).
        latent_dim: Z.
        hidden: Sizes of the layers that join the trunks.
        activation: ``"relu"``, ``"silu"`` (Swish) or ``"elu"``, after each of them.
        scale: The map of the head to a positive scale, see
            :func:`ppl_mm.networks.location_scale`.
    """

    def __init__(
        self,
        trunks: Mapping[str, Any],
        latent_dim: int,
        hidden: Sequence[int],
        activation: Activation,
        scale: ScaleMap,
    ) -> None:
        super().__init__()
        sizes = (sum(trunk.out_features for trunk in trunks.values()), *hidden)
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


def joint_encoder(
    modalities: Sequence[Modality],
    latent_dim: int,
    hidden: int | None,
    activation: Activation,
    scale: ScaleMap,
) -> JointEncoder:
    """One layer, or none for None, on trunks: ``features()``, or an encoder of the modality's own.

    An encoder has as many features as the layer, or 2 Z without one.
    """
    size = latent_dim if hidden is None else hidden // 2
    trunks = {
        m.name: _EncoderTrunk(m.encoder(size), size) if m.features is None else declared_features(m)
        for m in modalities
    }
    return JointEncoder(trunks, latent_dim, () if hidden is None else (hidden,), activation, scale)


class _EncoderTrunk(nn.Module):
    """An encoder as a trunk: its loc and log scale are the features."""

    def __init__(self, encoder: nn.Module, size: int) -> None:
        super().__init__()
        self.encoder, self.out_features = encoder, 2 * size

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = self.encoder(x)
        return torch.cat([loc, scale.log()], -1)
