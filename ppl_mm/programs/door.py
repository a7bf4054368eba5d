"""Programs are checked where they come in, against :mod:`ppl_mm.programs.contracts`.

An error names the program, what it lacks, and the remedy.
"""

import inspect
from typing import cast

from pyro.infer.autoguide import AutoGuide
from pyro.poutine.messenger import Messenger
from torch import nn

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


def check_program(role: str, program: nn.Module) -> None:
    """Raise unless a module can run as a program of rows, and has a contract's names together.

    Args:
        role: "model" or "guide", for messages.
        program: The module.

    Raises:
        TypeError: For a module without a forward method of the observations alone, or a guide that
            has one name of a contract and lacks another.
    """
    kind = type(program).__name__
    if not isinstance(program, AutoGuide | Messenger):
        _check_forward(role, program)
    if role != "guide":
        return
    for names in _CONTRACTS.values():
        first, *_ = names
        if not hasattr(program, first):
            continue
        for name, meaning in names.items():
            if not hasattr(program, name):
                raise TypeError(
                    f"System: the guide {kind} has {first!r} and lacks {name!r}, {meaning}; see "
                    "ppl_mm.programs.contracts."
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


def combinable(argument: str, guide: nn.Module) -> Combinable:
    """The guide, once it is one that another can be made of.

    Raises:
        TypeError: For a module that lacks a name of :class:`ppl_mm.programs.contracts.Combinable`.
    """
    for name in ("modalities", "latent_dim", "posterior"):
        if not hasattr(guide, name):
            raise TypeError(
                f"{argument}: expected a guide such as guides.ProductOfExperts(...), got a "
                f"{type(guide).__name__}, which has no {name!r}."
            )
    return cast(Combinable, guide)
