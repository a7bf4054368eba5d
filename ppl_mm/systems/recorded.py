"""Systems that record the call that built them, so that a saved file can repeat it."""

import functools
import inspect
import json
from collections.abc import Callable, Collection, Iterable
from typing import Any, ParamSpec

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives import SubsetTerms
from ppl_mm.systems import recipes, registry
from ppl_mm.systems.system import System

__all__ = ["recorded"]

P = ParamSpec("P")


def recorded(
    *takers: Callable[..., Any], fixed: Collection[str] = ()
) -> Callable[[Callable[P, System]], Callable[P, System]]:
    """Register a paper's function; its systems get a recipe, the function's name and arguments.

    The arguments must be plain JSON values (or ``subset_terms(...)`` as ``terms``, or rows as
    ``pseudo_inputs``); with any other, such as a prior of the user's own, the system has no
    recipe. The function's signature shows the options that it hands on, and its arguments are
    checked against it, see :mod:`ppl_mm.arguments.typed`.

    Args:
        takers: The functions or classes that it hands its ``**options`` to.
        fixed: Their arguments that the function sets itself.
    """

    def record(function: Callable[P, System]) -> Callable[P, System]:
        @functools.wraps(function)
        def build(*args: P.args, **kwargs: P.kwargs) -> System:
            system = function(*args, **kwargs)
            system.recipe = _recipe(function.__name__, system, dict(kwargs))
            return system

        build.__signature__ = _signature(function, takers, fixed)  # type: ignore[attr-defined]
        build.takers = takers  # type: ignore[attr-defined]
        checked = typed(build)
        registry.register(checked)
        return checked

    return record


def _signature(
    function: Callable[..., Any], takers: Iterable[Callable[..., Any]], fixed: Collection[str]
) -> inspect.Signature:
    """The function's signature, with the options of its takers in place of ``**options``."""
    own = inspect.signature(function)
    parameters = {n: p for n, p in own.parameters.items() if p.kind != p.VAR_KEYWORD}
    for taker in takers:
        for name, option in inspect.signature(taker).parameters.items():
            if name not in fixed:
                keyword = option.replace(kind=option.KEYWORD_ONLY)
                parameters.setdefault(name, keyword)
    return own.replace(parameters=list(parameters.values()))


def _recipe(name: str, system: System, options: dict[str, Any]) -> dict[str, Any] | None:
    modalities = system.modalities
    for given in ("modalities", "latent_dim"):
        options.pop(given, None)
    terms = options.get("terms")
    subset_terms: dict[str, Any] | None = None
    if isinstance(terms, SubsetTerms):
        options.pop("terms")
        scored = {name: list(those) for name, those in terms.scored}
        subset_terms = {"k": terms.k, "uniform_over": terms.uniform_over, "scored": scored}
    shapes = None
    if isinstance(options.get("pseudo_inputs"), Observations):
        options.pop("pseudo_inputs")
        prior: Any = system.model.prior
        inputs = {n: prior.pseudo_inputs(n) for n in prior.names}
        shapes = {n: [u.is_floating_point(), *u.shape] for n, u in inputs.items()}
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
        "pseudo_inputs": shapes,
        "options": options,
    }
