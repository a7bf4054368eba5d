"""Programs are checked where they come in, against :mod:`ppl_mm.programs.contracts`.

An error names the program, what it lacks or what came in place of it, and the remedy.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

from pyro.infer.autoguide import AutoGuide
from pyro.poutine.messenger import Messenger
from torch import nn

from ppl_mm.arguments.shown import shown
from ppl_mm.modality import Modality
from ppl_mm.programs.contracts import Combinable, HasPrivate, Mixed

__all__ = ["check_program", "combinable"]

_CONTRACTS = {
    Mixed: {
        "family": "the subsets of modalities, one a component",
        "strata": "a method strata(obs, number=None), such as obs.strata(self.family, number)",
        "posterior": "a method posterior(obs), the distribution of the mixture",
    },
    HasPrivate: {
        "private_posterior": "a method private_posterior(name, obs), q(w_m | x_m)",
        "private_dim": "the size of every private latent, by the modality's name",
        "priors_of_private": "a method priors_of_private(auxiliary=False), p(w_m) by name",
    },
}
"""The names that a guide has all together or not at all; the first one says which it is."""


class _Kind(NamedTuple):
    """The requirement on the value of one name, in words and as a test."""

    words: str
    fits: Callable[[object], bool]


def _size(x: object) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x > 0


def _names(x: object) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str) and all(type(n) is str for n in x)


def _modalities(x: object) -> bool:
    return isinstance(x, Sequence) and all(isinstance(m, Modality) for m in x)


def _subsets(x: object) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str) and all(map(_names, x))


def _sizes(x: object) -> bool:
    return isinstance(x, Mapping) and all(map(_size, x.values()))


_CHECK = _Kind("a method check(obs)", callable)
_MODALITIES = _Kind("a sequence of ppl_mm.Modality", _modalities)
_LATENT_DIM = _Kind("an integer of at least 1", _size)

_OFFERED = {
    "model": {
        "modalities": _MODALITIES,
        "latent_dim": _LATENT_DIM,
        "check": _CHECK,
        "conditions_on": _Kind("a tuple of modalities' names", _names),
        "alternatives": _Kind("a method alternatives(system, target, given)", callable),
    },
    "guide": {
        "modalities": _MODALITIES,
        "latent_dim": _LATENT_DIM,
        "check": _CHECK,
        "posterior": _Kind("a method posterior(obs)", callable),
        "site": _Kind("the name of a latent site, a string", lambda x: isinstance(x, str)),
        "family": _Kind("a tuple of tuples of modalities' names", _subsets),
        "private_dim": _Kind("a dict from modalities' names to sizes of at least 1", _sizes),
    },
}
"""What a program may offer besides, and what each name must then be."""


def check_program(role: str, program: nn.Module) -> None:
    """Raise unless a module can run as a program of rows, and offers what its names say.

    Args:
        role: "model" or "guide", for messages.
        program: The module.

    Raises:
        TypeError: For a module without a forward method of the observations alone, a guide that
            has one name of a contract and lacks another, or a name with a value of another type.
    """
    if isinstance(program, AutoGuide | Messenger):
        return
    _check_forward(role, program)
    if role == "guide":
        _check_together(program)
    for name, kind in _OFFERED[role].items():
        if hasattr(program, name) and not kind.fits(value := getattr(program, name)):
            raise TypeError(
                f"System: the {role} {type(program).__name__}: expected {name} to be {kind.words}, "
                f"got {shown(value)}; see ppl_mm.programs.contracts."
            )


def _check_together(guide: nn.Module) -> None:
    for names in _CONTRACTS.values():
        first, *_ = names
        if not hasattr(guide, first):
            continue
        for name, meaning in names.items():
            if not hasattr(guide, name):
                raise TypeError(
                    f"System: the guide {type(guide).__name__} has {first!r} and lacks {name!r}, "
                    f"{meaning}; see ppl_mm.programs.contracts."
                )


def _check_forward(role: str, program: nn.Module) -> None:
    kind = type(program).__name__
    if type(program).forward is nn.Module.forward:
        raise TypeError(
            f"System: the {role} {kind} has no forward(obs); write the Pyro program as its forward "
            "method, which samples the latents inside obs.plates()."
        )
    try:
        inspect.signature(program.forward).bind("obs")
    except TypeError as error:
        raise TypeError(
            f"System: the {role} {kind} must run as forward(obs), with the observations as its "
            f"only required argument; {error}."
        ) from error
    except ValueError:  # a forward method in C has no signature
        return


def combinable(argument: str, guide: nn.Module, *also: str) -> Combinable:
    """The guide, once it is one that another can be made of and has the names in ``also``.

    Raises:
        TypeError: For a module that lacks one of these names, or one of
            :class:`ppl_mm.programs.contracts.Combinable`.
    """
    for name in ("modalities", "latent_dim", "posterior", *also):
        if not hasattr(guide, name):
            raise TypeError(
                f"{argument}: expected a guide such as guides.ProductOfExperts(...), got a "
                f"{type(guide).__name__}, which has no {name!r}."
            )
    return cast(Combinable, guide)
