"""The papers' systems by name, and from the recipe in a saved file."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.modality import Modality
from ppl_mm.objectives import subset_terms
from ppl_mm.systems import recipes
from ppl_mm.systems.options import Option, options_of
from ppl_mm.systems.options import about as about_function

if TYPE_CHECKING:
    from ppl_mm.systems.system import System

__all__ = ["about", "available", "build", "options", "rebuild", "register"]

_SYSTEMS: dict[str, "Callable[..., System]"] = {}


def register(function: "Callable[..., System]") -> None:
    """Add a paper's function; ``@recorded`` does it."""
    _SYSTEMS[function.__name__] = function


@typed
def available() -> dict[str, str]:
    """The systems' names, each with its description.

    Example:
        >>> "mvae" in available(), "mmvae_plus" in available()
        (True, True)
    """
    return {n: (inspect.getdoc(f) or "").splitlines()[0] for n, f in sorted(_SYSTEMS.items())}


@typed
def options(name: str) -> list[Option]:
    """The options of the system of that name, with their defaults and meanings.

    Raises:
        ValueError: For an unknown system.

    Example:
        >>> [o.default for o in options("mvae") if o.name == "prior_expert"]
        ['True']
    """
    return options_of(_named(name))


@typed
def about(name: str) -> tuple[str, str]:
    """The description of the system of that name, and of the modalities and rows that it needs.

    Returns:
        Its documentation up to its arguments, and that of ``modalities``.

    Raises:
        ValueError: For an unknown system.

    Example:
        >>> about("vae")[1]
        'The one modality.'
    """
    return about_function(_named(name))


@typed
def build(
    name: str, modalities: Sequence[Modality], latent_dim: int, **options: object
) -> "System":
    """The system of that name; ``systems.build("mvae", ...)`` is ``systems.mvae(...)``.

    Args:
        name: One of :func:`available`.
        modalities: The modalities.
        latent_dim: The size Z of the latent.
        **options: The options of the system, see :func:`options`.

    Raises:
        ValueError: For an unknown system, and what the system itself refuses.
        TypeError: For an unknown option.
    """
    return _named(name)(modalities, latent_dim, **options)


def _named(name: str) -> "Callable[..., System]":
    if name not in _SYSTEMS:
        raise ValueError(unknown_name("system", name, sorted(_SYSTEMS)))
    return _SYSTEMS[name]


def rebuild(
    path: Path, recipe: dict[str, Any] | None, modalities: Sequence[Modality] | None
) -> "System":
    """The system of a saved file's recipe, with fresh parameters."""
    if recipe is None:
        raise ValueError(
            f"{path}: this system was put together by hand; build it as before and call "
            "System.load(path, system=that_system)."
        )
    if modalities is None:
        for name, saved in zip(recipe["names"], recipe["modalities"], strict=True):
            if saved is None:
                raise ValueError(
                    f"{path}: modality {name!r} uses networks or a likelihood of your own; call "
                    "System.load(path, modalities=[...]) with the declarations."
                )
        modalities = [recipes.rebuild(saved) for saved in recipe["modalities"]]
    elif [m.name for m in modalities] != recipe["names"]:
        raise ValueError(
            f"{path}: saved with modalities {recipe['names']}, got {[m.name for m in modalities]}."
        )
    options = dict(recipe["options"])
    if recipe.get("pseudo_inputs") is not None:
        options["pseudo_inputs"] = recipes.zeros(recipe["pseudo_inputs"])
    if recipe["subset_terms"] is not None:
        options["terms"] = subset_terms(**recipe["subset_terms"])
    return build(recipe["system"], modalities, recipe["latent_dim"], **options)
