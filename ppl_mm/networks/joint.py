"""A joint network: trunks of several modalities, dense layers that join them, a linear head."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ppl_mm.batch.covariates import covariates_for
from ppl_mm.batch.network_contracts import reads_covariates, reads_elements, width_of
from ppl_mm.networks.layers import Activation, dense
from ppl_mm.networks.scales import LocationScale, LocScale, ScaleMap

__all__ = ["JointEncoder"]


class JointEncoder(nn.Module):
    """Trunks of several modalities, joined by dense layers, and a linear head.

    Args:
        trunks: Modality -> the module from its values to features (B, ``out_features``).
        latent_dim: The size Z of the latent.
        hidden: The sizes of the layers that join the trunks.
        activation: ``"relu"``, ``"silu"`` (Swish), ``"elu"`` or ``"softplus"``, after each layer.
        scale: The map of the head to a positive scale, see
            :func:`ppl_mm.networks.location_scale`.
        dropout: The probability of dropout after each activation.
        late: The number of features that come from no trunk, see :meth:`join`.
    """

    def __init__(
        self,
        trunks: Mapping[str, nn.Module],
        latent_dim: int,
        hidden: Sequence[int],
        activation: Activation,
        scale: ScaleMap,
        dropout: float = 0.0,
        late: int = 0,
    ) -> None:
        super().__init__()
        sizes = (sum(map(width_of, trunks.values())), *hidden)
        self.trunks = nn.ModuleDict(trunks)
        self.joined = dense(sizes, dropout=dropout, activation=activation)
        self.head = nn.Linear(sizes[-1], 2 * latent_dim)
        self.location_scale = LocationScale(scale)
        if late:
            self.late = nn.Linear(late, self._layers[0].out_features, bias=False)
            bound = (sizes[0] + late) ** -0.5  # as in one layer of all the features
            nn.init.uniform_(self.late.weight, -bound, bound)

    @property
    def reads_elements(self) -> bool:
        """Whether a trunk asks which elements are observed."""
        return any(map(reads_elements, self.trunks.values()))

    @property
    def reads_covariates(self) -> tuple[str, ...]:
        """The covariates that some trunk reads."""
        return tuple({n: None for trunk in self.trunks.values() for n in reads_covariates(trunk)})

    def forward(
        self,
        *values: Shaped[Tensor, "..."],
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> LocScale:
        """Return the expert's (loc, scale), from one argument a modality.

        Where elements are missing, masks of the values' shapes may follow, one a modality.
        """
        number = len(self.trunks)
        masks: Sequence[Tensor | None] = values[number:] or [None] * number
        features = []
        for trunk, x, mask in zip(self.trunks.values(), values[:number], masks, strict=True):
            seen = (x, mask) if mask is not None and reads_elements(trunk) else (x,)
            read = covariates_for(trunk, covariates or {})
            features.append(trunk(*seen, covariates=read) if read else trunk(*seen))
        return self.join(torch.cat(features, -1))

    def join(
        self, features: Float[Tensor, "*rows F"], late: Float[Tensor, "*rows L"] | None = None
    ) -> LocScale:
        """Return the expert's (loc, scale), from the trunks' features side by side.

        ``late`` features enter the first layer by columns of their own, whose product is added.
        Without them, or if they are zeros, the result is bit for bit that of the other columns.
        """
        features = features.to(self.head.weight.dtype)
        raw = self._layers[0](features)
        raw = raw if late is None else raw + self.late(late.to(features.dtype))
        for layer in self._layers[1:]:
            raw = layer(raw)
        raw = raw.to(torch.promote_types(raw.dtype, torch.float32))  # 16 bits round no further
        return self.location_scale(raw, raw.shape[:-1])

    @property
    def _layers(self) -> list[Any]:
        return [*self.joined, self.head]
