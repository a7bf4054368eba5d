"""Modalities as plain JSON values: likelihood and networks by name, with their options.

Only classes of this library are written and read; anything else has no recipe (None), and is
given again by the user when a system is loaded. A recipe is data: reading one runs no code.
"""

from dataclasses import asdict
from typing import Any

from ppl_mm import likelihoods, networks
from ppl_mm.likelihoods import Likelihood
from ppl_mm.modality import Modality, unknown_name

__all__ = ["describe", "rebuild"]


def describe(modality: Modality) -> dict[str, Any] | None:
    """The recipe of a modality, or None where it uses code that is not this library's."""
    encoder, decoder = (networks.recipe.describe(f) for f in (modality.encoder, modality.decoder))
    kind = type(modality.likelihood)
    own = getattr(likelihoods, kind.__name__, None) is kind
    if encoder is None or decoder is None or modality.features is not None or not own:
        return None
    return {
        "name": modality.name,
        "likelihood": {"name": kind.__name__, "options": asdict(modality.likelihood)},
        "encoder": encoder,
        "decoder": decoder,
        "weight": modality.weight,
    }


def rebuild(recipe: dict[str, Any]) -> Modality:
    """The modality of a recipe.

    Raises:
        ValueError: For a likelihood or network that this library does not have.
    """
    name = recipe["likelihood"]["name"]
    kind = getattr(likelihoods, name, None) if name in likelihoods.__all__ else None
    if not (isinstance(kind, type) and issubclass(kind, Likelihood)):
        raise ValueError(unknown_name("likelihood", name, likelihoods.__all__))
    return Modality(
        recipe["name"],
        kind(**recipe["likelihood"]["options"]),
        encoder=networks.recipe.build(recipe["encoder"]),
        decoder=networks.recipe.build(recipe["decoder"]),
        weight=recipe["weight"],
    )
