"""What a conditional model sees of the modalities that it conditions on."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ppl_mm.features import ValueFeatures, value_features
from ppl_mm.modality import Modality, unknown_name
from ppl_mm.observations import Observations
from ppl_mm.program import check_trunk

__all__ = ["Context", "check_given"]


class Context(nn.Module):
    """Features of the given modalities side by side, in the order of their names.

    Args:
        modalities: All that are declared.
        in_features: What the given modalities' own decoders take, which tell their values' shapes.
        given: The names of those to condition on.

    Attributes:
        names: The given names, sorted.
        out_features: F, the number of features.
    """

    def __init__(
        self, modalities: Sequence[Modality], in_features: int, given: Sequence[str]
    ) -> None:
        super().__init__()
        self.names = check_given([m.name for m in modalities], given)
        declared = {m.name: m for m in modalities}
        self.likelihoods = {n: declared[n].likelihood for n in self.names}
        trunks: dict[str, Any] = {n: value_features(declared[n], in_features) for n in self.names}
        self.trunks = nn.ModuleDict(trunks)
        self.out_features = sum(trunk.out_features for trunk in trunks.values())

    def forward(self, obs: Observations) -> tuple[Tensor, Tensor]:
        """Features (B, F), NaN in rows that lack a given modality; and which rows lack none, (B,).

        The model conditions on what the data hold, whatever the guide may look at.
        """
        known = torch.ones(len(obs), dtype=torch.bool, device=obs.device)
        for name in self.names:
            known = known & obs.present.get(name, torch.zeros_like(known))
        if not set(self.names) <= set(obs.names):
            unknown = torch.full((len(obs), self.out_features), torch.nan, device=obs.device)
            return unknown, known
        trunks = self.trunks.items()
        features = torch.cat([obs.features(n, trunk, known) for n, trunk in trunks], -1)
        return torch.where(known[:, None], features, torch.nan), known

    def check(self, obs: Observations) -> None:
        """Raise unless the observed values lie in their support and have features."""
        for name, trunk in self.trunks.items():
            if name in obs.names:
                values = obs.values[name][obs.present[name]]
                self.likelihoods[name].check(name, values)
                if isinstance(trunk, ValueFeatures):
                    trunk.check(values)
            check_trunk(name, trunk, obs)


def check_given(names: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """The given names, sorted, once they are declared and leave a target.

    Raises:
        TypeError: For a string.
        ValueError: For no names, unknown ones, or all of them.
    """
    if isinstance(given, str):
        raise TypeError(f"given: expected a tuple of names, got the string {given!r}.")
    for name in given:
        if name not in names:
            raise ValueError(unknown_name("modality in given", name, names))
    if not 0 < len(set(given)) < len(names):
        raise ValueError(
            f"given: expected some of the modalities {', '.join(names)}, and not all of them, got "
            f"{list(given)}."
        )
    return tuple(sorted(set(given)))
