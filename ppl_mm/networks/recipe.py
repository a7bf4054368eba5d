"""Recipes, which describe a network by plain JSON values.

A recipe is ``{"network": class name, "options": {...}}``, with a class of
``ppl_mm.networks.__all__``. A recipe cannot name anything else, so building a network from a file
runs only the code of the classes listed there.
"""

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from ppl_mm import networks
from ppl_mm.networks.layers import Features

__all__ = ["build", "describe"]


def describe(factory: Callable[..., nn.Module]) -> dict[str, Any] | None:
    """Return the recipe of an encoder, decoder or features factory, or None if it has none.

    Args:
        factory: A class of ``ppl_mm.networks.__all__``, or a :func:`functools.partial` of one
            (or of such a partial) with keyword arguments that are JSON values or tuples of JSON
            values.

    Returns:
        The recipe, with lists in place of tuples, so that JSON does not change it. None for any
        other function or class, even a subclass, and for options that are not JSON values.

    Example:
        >>> from ppl_mm import networks
        >>> describe(partial(networks.LabelEncoder, num_classes=3, hidden=(8, 8)))
        {'network': 'LabelEncoder', 'options': {'num_classes': 3, 'hidden': [8, 8]}}
        >>> describe(lambda latent_dim: networks.LabelEncoder(latent_dim, num_classes=3)) is None
        True
    """
    options: dict[str, Any] = {}
    while isinstance(factory, partial):
        if factory.args:
            return None
        options = {**factory.keywords, **options}
        factory = factory.func
    name = getattr(factory, "__name__", "")
    if _registry().get(name) is not factory:
        return None
    try:
        plain = json.dumps(options, allow_nan=False, default=_number)
        return {"network": name, "options": json.loads(plain)}
    except (TypeError, ValueError):
        return None


def _number(value: object) -> object:
    """NumPy's numbers, such as ``labels.max() + 1``, as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is no JSON value.")


def build(recipe: dict[str, Any]) -> partial[nn.Module]:
    """Build the factory that a recipe describes.

    Args:
        recipe: The recipe ``{"network": name, "options": {...}}`` that :func:`describe` returns;
            lists become tuples.

    Returns:
        A partial of the class. It is called with ``latent_dim`` or ``in_features``, or with no
        argument for features.

    Raises:
        ValueError: If the recipe has another form, names no class of ``ppl_mm.networks.__all__``,
            has an option that the class does not take, or lacks one that it requires.

    Example:
        >>> factory = build({"network": "MLPDecoder", "options": {"event_shape": [10]}})
        >>> sum(p.numel() for p in factory(64).parameters())
        563722
    """
    match recipe:
        case {"network": str(network), "options": dict(options)} if len(recipe) == 2:
            known = _registry()
        case _:
            raise ValueError(
                f"expected a recipe {{'network': name, 'options': {{...}}}}, got {recipe!r}."
            )
    if network not in known:
        raise ValueError(f"unknown network {network!r}; known: {', '.join(known)}.")
    options = {name: _tuples(value) for name, value in options.items()}
    size = () if issubclass(known[network], Features) else (1,)
    try:
        inspect.signature(known[network]).bind(*size, **options)
    except TypeError as error:
        raise ValueError(f"network {network!r} with options {options}: {error}.") from error
    return partial(known[network], **options)


def _registry() -> dict[str, type[nn.Module]]:
    return {name: getattr(networks, name) for name in networks.__all__}


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
