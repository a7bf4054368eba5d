"""Modalities as plain JSON values: likelihood and networks by name, with their options.

Only classes of this library are written and read. Anything else has no recipe (None), and the user
gives it again when a system is loaded. A recipe is data: reading one runs no code.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from ppl_mm import likelihoods
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihoods import Likelihood
from ppl_mm.modality import Modality
from ppl_mm.networks import recipe as network_recipe

__all__ = ["describe", "rebuild", "zeros"]


def describe(modality: Modality) -> dict[str, Any] | None:
    """The recipe of a modality, or None where it uses code that is not this library's."""
    factories: dict[str, Callable[..., nn.Module]]
    factories = {"encoder": modality.encoder, "decoder": modality.decoder}
    if modality.features is not None:
        factories["features"] = modality.features
    found = {part: network_recipe.describe(factory) for part, factory in factories.items()}
    kind = type(modality.likelihood)
    own = getattr(likelihoods, kind.__name__, None) is kind
    if None in found.values() or not own:
        return None
    return {
        "name": modality.name,
        "likelihood": {"name": kind.__name__, "options": asdict(modality.likelihood)},
        "weight": modality.weight,
        **found,
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
    parts = [part for part in ("encoder", "decoder", "features") if part in recipe]
    return Modality(
        recipe["name"],
        kind(**recipe["likelihood"]["options"]),
        weight=recipe["weight"],
        **{part: network_recipe.build(recipe[part]) for part in parts},
    )


def zeros(shapes: dict[str, list[Any]]) -> Observations:
    """Rows of a recipe's shapes, whose values come with the parameters.

    Args:
        shapes: Modality -> whether its values are floating-point numbers, and their (N, *D_m).
    """
    types = {True: torch.get_default_dtype(), False: torch.int64}
    return Observations(
        {n: torch.zeros(shape, dtype=types[bool(real)]) for n, (real, *shape) in shapes.items()}
    )
