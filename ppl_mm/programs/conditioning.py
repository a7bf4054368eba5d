"""The modalities that a conditional model conditions on, and their features."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from pyro.distributions.util import broadcast_shape
from torch import Tensor, nn

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.holes import observed_values
from ppl_mm.batch.host_masks import unread
from ppl_mm.batch.network_contracts import width_of
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.unread import every
from ppl_mm.likelihoods import Likelihood
from ppl_mm.modality import Modality
from ppl_mm.programs.features import ValueFeatures, value_features
from ppl_mm.programs.networks import check_trunk

__all__ = [
    "Context",
    "check_given",
    "check_label",
    "check_seen",
    "holds",
    "joined",
    "nan_unless_held",
    "undrawable",
]


class Context(nn.Module):
    """Features of the given modalities side by side, in the order of their names.

    Args:
        modalities: All declared modalities.
        in_features: The number of features that the given modalities' decoders take. The decoders
            tell the shapes of values.
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
        trunks = {n: value_features(declared[n], in_features) for n in self.names}
        self.trunks = nn.ModuleDict(trunks)
        self.out_features = sum(map(width_of, trunks.values()))

    def forward(self, obs: Observations) -> tuple[Float[Tensor, "B F"], Bool[Tensor, " B"]]:
        """Features (B, F), NaN in rows that lack a given modality; and which rows lack none, (B,).

        The model conditions on what the data hold, whatever the guide may look at.
        """
        held = holds(obs, self.names)
        if not set(self.names) <= set(obs.names):
            missing = torch.full((len(obs), self.out_features), torch.nan, device=obs.device)
            return missing, held
        trunks = self.trunks.items()
        features = torch.cat([obs.features(n, trunk, held) for n, trunk in trunks], -1)
        return nan_unless_held(held, features), held

    def check(self, obs: Observations) -> None:
        """Raise unless the observed values lie in their support and have features."""
        for name, trunk in self.trunks.items():
            check_seen(name, self.likelihoods[name], trunk, obs)


def holds(obs: Observations, names: Sequence[str]) -> Bool[Tensor, " B"]:
    """The rows that hold all of these modalities, (B,) bool."""
    if not set(names) <= set(obs.present):
        return obs.false_mask(torch.Size([len(obs)]))
    masks = [obs.present[n] for n in names] or [~obs.false_mask(torch.Size([len(obs)]))]
    return masks[0] if len(masks) == 1 else torch.stack(masks).all(0)


def nan_unless_held(
    held: Bool[Tensor, " B"], x: Float[Tensor, "*K B F"]
) -> Float[Tensor, "*K B F"]:
    """Values (..., B, F), NaN in the rows that are not ``held``, (B,).

    A step that is recorded for all masks gives networks these rows too: they have zeros, which
    leave every gradient finite.
    """
    if every(held):
        return x
    return torch.where(held[:, None], x, 0.0 if unread(held) else torch.nan)


def undrawable(name: str, obs: Observations, given: Sequence[str]) -> str | None:
    """The reason why an absent modality cannot be drawn in every row; None if it can."""
    if name in obs.names:
        return None
    for g in given:
        held = obs.present.get(g)
        if held is not None and bool(held.all()):
            continue
        row = 0 if held is None else int((~held).nonzero()[0])
        rows = "" if held is None else f": obs[obs.present[{g!r}]]"
        return (
            f"modality {g!r}: row {row} lacks it, and the model conditions on it, so modality "
            f"{name!r}, which the data do not hold at all, cannot be drawn there. Give rows that "
            f"hold it{rows}."
        )
    return None


def joined(z: Float[Tensor, "... Z"], context: Float[Tensor, "B F"]) -> Float[Tensor, "... ZF"]:
    """(z, context), whichever plates z was drawn under."""
    batch = broadcast_shape(z.shape[:-1], context.shape[:-1])
    context = context.to(z.dtype)
    return torch.cat([z.expand(*batch, -1), context.expand(*batch, -1)], -1)


def check_seen(name: str, likelihood: Likelihood, trunk: nn.Module, obs: Observations) -> None:
    """Raise unless the observed values of one modality lie in their support and have features."""
    if name in obs.names:
        values = observed_values(obs, name)
        likelihood.check(name, values)
        if isinstance(trunk, ValueFeatures):
            trunk.check(values)
    check_trunk(name, trunk, obs)


def check_given(names: Sequence[str], given: Sequence[str], what: str = "given") -> tuple[str, ...]:
    """The given names, sorted, once they are declared and leave a target.

    Args:
        names: The names of all declared modalities.
        given: The names of some of them.
        what: The argument's name, for messages.

    Raises:
        TypeError: For a string.
        ValueError: For no names, unknown ones, or all of them.
    """
    if isinstance(given, str):
        raise TypeError(f"{what}: expected a tuple of names, got the string {given!r}.")
    for name in given:
        if name not in names:
            raise ValueError(unknown_name(f"modality in {what}", name, names))
    if not 0 < len(set(given)) < len(names):
        raise ValueError(
            f"{what}: expected some of the modalities {', '.join(names)}, and not all of them, got "
            f"{list(given)}."
        )
    return tuple(sorted(set(given)))


def check_label(label: str | None, names: Sequence[str], observed: Sequence[str]) -> str | None:
    """The label's name, once it is declared and not observed.

    Raises:
        ValueError: For an unknown name, or one that is observed.
    """
    if label is not None and label not in names:
        raise ValueError(unknown_name("label", label, names))
    if label in observed:
        raise ValueError(
            f"modality {label!r} is both observed and the label; a label is what is predicted."
        )
    return label
