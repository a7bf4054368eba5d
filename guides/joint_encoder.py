"""The network of a joint posterior: a trunk for each modality, joined by dense layers.

q(z | x_S) = Normal( loc_S(x_S), scale_S(x_S) )
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.network_contracts import reads_covariates, reads_elements
from ppl_mm.batch.shapes import loc_scale
from ppl_mm.modality import Modality
from ppl_mm.networks.joint import JointEncoder
from ppl_mm.networks.layers import Activation
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.programs.features import declared_features
from ppl_mm.programs.networks import encoder_of

__all__ = ["joint_encoder"]


def joint_encoder(
    modalities: Sequence[Modality],
    latent_dim: int,
    hidden: int | None,
    activation: Activation,
    scale: ScaleMap,
) -> JointEncoder:
    """A network of trunks, joined by one layer, or by none where ``hidden`` is None.

    A trunk is ``features()`` of the modality; without it, an encoder of the modality.

    Such an encoder has as many features as the layer (one more for an odd number), or 2 Z.

    Raises:
        ValueError: For ``hidden`` below 1.
    """
    if hidden is not None:
        check_at_least_one("hidden", hidden)
    size = latent_dim if hidden is None else (hidden + 1) // 2
    trunks = {
        m.name: _EncoderTrunk(m, size) if m.features is None else declared_features(m)
        for m in modalities
    }
    return JointEncoder(trunks, latent_dim, () if hidden is None else (hidden,), activation, scale)


class _EncoderTrunk(nn.Module):
    """An encoder as a trunk: its loc and log scale are the features."""

    def __init__(self, modality: Modality, size: int) -> None:
        super().__init__()
        self.name, self.size, self.out_features = modality.name, size, 2 * size
        self.encoder = encoder_of(modality, size)

    @property
    def reads_elements(self) -> bool:
        """Whether the encoder asks which elements are observed."""
        return reads_elements(self.encoder)

    @property
    def reads_covariates(self) -> tuple[str, ...]:
        """The covariates that the encoder reads."""
        return reads_covariates(self.encoder)

    def forward(
        self,
        x: Shaped[Tensor, "B *D"],
        *elements: Bool[Tensor, "B *D"],
        **covariates: Mapping[str, Shaped[Tensor, "B ..."]],
    ) -> Float[Tensor, "B F"]:
        output = self.encoder(x, *elements, **covariates)
        loc, scale = loc_scale(self.name, output, self.size, len(x))
        return torch.cat([loc, scale.log()], -1)
