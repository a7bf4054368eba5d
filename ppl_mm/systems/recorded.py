"""Systems that remember how they were built, so that a saved file can say it."""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

from ppl_mm import recipes
from ppl_mm.modality import Modality
from ppl_mm.objectives import SubsetTerms
from ppl_mm.systems.system import System

__all__ = ["lambdas", "recorded"]

P = ParamSpec("P")


def recorded(function: Callable[P, System]) -> Callable[P, System]:
    """Give what a paper's function builds its recipe: the function's name, and its arguments.

    The arguments must be plain JSON values (or ``subset_terms(...)`` as ``terms``); with any
    other, such as a prior of the user's own, the system has no recipe.
    """

    @functools.wraps(function)
    def build(*args: P.args, **kwargs: P.kwargs) -> System:
        system = function(*args, **kwargs)
        system.recipe = _recipe(function.__name__, system, dict(kwargs))
        return system

    return build


def lambdas(modalities: Sequence[Modality]) -> dict[str, float]:
    """The modalities' weights lambda_m for an objective, those other than 1."""
    return {m.name: m.weight for m in modalities if m.weight != 1.0}


def _recipe(name: str, system: System, options: dict[str, Any]) -> dict[str, Any] | None:
    modalities = system.modalities
    for given in ("modalities", "latent_dim"):
        options.pop(given, None)
    terms, subset_terms = options.get("terms"), None
    if isinstance(terms, SubsetTerms):
        options.pop("terms")
        subset_terms = {"k": terms.k, "uniform_over": terms.uniform_over}
    try:
        options = json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError):
        return None
    return {
        "system": name,
        "latent_dim": system.model.latent_dim,
        "names": [m.name for m in modalities],
        "modalities": [recipes.describe(m) for m in modalities],
        "subset_terms": subset_terms,
        "options": options,
    }
