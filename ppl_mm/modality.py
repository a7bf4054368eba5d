"""The declaration of one modality: how it is distributed, encoded and decoded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.likelihoods import Likelihood

__all__ = ["Modality", "check_modalities", "private_sizes", "unknown_name"]

_RESERVED = {"z", "u", "data", "terms", "strata", "particles"}


@typed
@dataclass(frozen=True)
class Modality:
    """One modality x_m of a multimodal model.

    Args:
        name: The modality's name; its observed site, its key in :class:`Observations`.
        likelihood: Turns the decoder's output into p(x_m | z), see :mod:`ppl_mm.likelihoods`.
        encoder: ``encoder(latent_dim)`` returns a module that maps values ``(B, *D_m)`` to
            ``(loc, scale)``, each ``(B, latent_dim)``, scale > 0 a standard deviation. One of the
            two may also be ``(B, 1)``, or shared by all rows: ``(latent_dim,)`` or a number.
        decoder: ``decoder(in_features)`` returns a module that maps ``(B, in_features)`` to the
            likelihood's parameters, of the shapes that :class:`ppl_mm.likelihoods.Likelihood`
            allows: ``(B, *D_m)``, fewer for each row, or shared by all rows.
        weight: The factor lambda_m of log p(x_m | z) in training, for every objective of
            :mod:`ppl_mm.objectives` that is given no other one. Pyro's own ELBOs do not read it;
            wrap them: ``objectives.Reweighted(Trace_ELBO())``. Likelihoods and measures ignore
            it.
        features: ``features()`` returns a module, the trunk of this modality in joint networks.
            With None an encoder of the modality takes its place, with its loc and log scale as
            features.

    Raises:
        ValueError: For a name that is no identifier or is reserved, or a weight below zero.
        TypeError: For a likelihood that is none, or networks that cannot be called.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import Modality, likelihoods, networks
        >>> label = Modality(
        ...     "label",
        ...     likelihoods.Categorical(),
        ...     encoder=partial(networks.LabelEncoder, num_classes=10),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(10,)),
        ... )
        >>> label.weight
        1.0
    """

    name: str
    likelihood: Likelihood
    encoder: Callable[[int], nn.Module]
    decoder: Callable[[int], nn.Module]
    weight: float = 1.0
    features: Callable[[], nn.Module] | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(
                f"modality {self.name!r}: expected a name like 'image' (letters, digits and '_'), "
                "since it names a Pyro site and a module."
            )
        if self.name in _RESERVED or self.name.startswith("w_"):
            raise ValueError(
                f"modality {self.name!r}: this name is taken by a latent site or a plate; "
                "choose another."
            )
        if hasattr(nn.ModuleDict(), self.name):
            raise ValueError(
                f"modality {self.name!r}: torch's module containers have an attribute of this "
                "name; choose another."
            )


def check_modalities(modalities: Sequence[Modality]) -> tuple[Modality, ...]:
    """The modalities as a tuple, once their names differ."""
    modalities = tuple(modalities)
    if not modalities:
        raise ValueError("expected at least one modality, got none.")
    names = [m.name for m in modalities]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"modality {name!r} is declared {names.count(name)} times.")
    return modalities


def private_sizes(private_dim: int | Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """W_m of every modality, from one size for all or one for each by name.

    Raises:
        ValueError: For a size below 1, or names that are not the modalities'.
    """
    given = private_dim if isinstance(private_dim, Mapping) else dict.fromkeys(names, private_dim)
    for name in given:
        if name not in names:
            raise ValueError(unknown_name("modality in private_dim", name, names))
    for name in names:
        size = given.get(name)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(
                f"private_dim: expected an integer of at least 1 for modality {name!r}, got "
                f"{size!r}."
            )
    return {name: given[name] for name in names}
