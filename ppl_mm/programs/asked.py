"""The properties that a program may state, each with the default for one that does not.

The contracts are in :mod:`ppl_mm.programs.contracts`. No other file looks up by name what a program
may lack. A program under effect handlers, ``handler(model)``, answers as the program itself does.
"""

import inspect
from collections.abc import Mapping

import torch
from pyro.distributions.torch_distribution import TorchDistribution, TorchDistributionMixin
from torch import nn

from ppl_mm.batch.observations import Observations
from ppl_mm.modality import Modality
from ppl_mm.programs.conditionals import Alternatives as Listed
from ppl_mm.programs.contracts import (
    Alternatives,
    Checks,
    Declares,
    DiagonalFamily,
    HasPosterior,
    HasPrivate,
    Labelled,
    Mixed,
    NamesSite,
)

__all__ = [
    "check_rows_of",
    "declared",
    "declared_names",
    "decoders_of",
    "family_of",
    "label_of",
    "latent_dim_of",
    "listed_alternatives",
    "names_of",
    "posterior_of",
    "prior_of",
    "private_priors",
    "site_of",
    "strata_of",
    "with_posterior",
]


def declared(program: object) -> tuple[Modality, ...]:
    """The modalities that a program declares; none where it declares none."""
    program = inspect.unwrap(program)  # type: ignore[arg-type]  # handlers may be around it
    return tuple(program.modalities) if isinstance(program, Declares) else ()


def declared_names(program: object) -> tuple[str, ...]:
    """The names of the modalities that a program declares; none where it declares none.

    A program without modalities of its own, such as one of MEME's directions, may have ``names``.
    """
    own = getattr(inspect.unwrap(program), "names", None)  # type: ignore[arg-type]
    return tuple(m.name for m in declared(program)) if own is None else tuple(own)


def names_of(program: object, obs: Observations) -> tuple[str, ...]:
    """The names that a program declares; otherwise those that the data hold."""
    return declared_names(program) or obs.names


def label_of(model: object) -> str | None:
    """The label that a conditional model predicts; None where there is none."""
    return model.label if isinstance(model, Labelled) else None


def latent_dim_of(*programs: object) -> int | None:
    """Z, the size of the latent, from the first program that states it; None if none does."""
    sizes = (getattr(program, "latent_dim", None) for program in programs)
    return next((size for size in sizes if size is not None), None)


def decoders_of(model: object) -> nn.ModuleDict:
    """Modality -> its decoder, of a model that keeps them in a ModuleDict ``decoders``."""
    found = getattr(model, "decoders", None)
    return found if isinstance(found, nn.ModuleDict) else nn.ModuleDict()


def prior_of(program: object) -> object:
    """The module p(z) of a program that has one as ``prior``; None for others.

    A submodule is an attribute that only ``getattr`` finds, so no Protocol is asked.
    """
    return getattr(program, "prior", None)


def site_of(guide: object) -> str:
    """The site whose distribution is the guide's ``posterior``; "z" unless the guide says."""
    return guide.site if isinstance(guide, NamesSite) else "z"


def family_of(guide: object) -> tuple[tuple[str, ...], ...]:
    """The subsets of a mixture guide, one a component; none for other guides."""
    return guide.family if isinstance(guide, Mixed) else ()


def strata_of(guide: object, obs: Observations, number: int | None = None) -> Observations:
    """The rows under a plate of a mixture guide's components; unchanged for other guides."""
    return guide.strata(obs, number) if isinstance(guide, Mixed) else obs


def private_priors(guide: object, auxiliary: bool = False) -> Mapping[str, DiagonalFamily]:
    """Modality -> p(w_m) of a guide with private latents, or r_m(w_m); empty for other guides."""
    return guide.priors_of_private(auxiliary) if isinstance(guide, HasPrivate) else {}


def with_posterior(guide: object, needed_by: str) -> HasPosterior:
    """The guide, once it has a method ``posterior``.

    Raises:
        ValueError: If it has none.
    """
    if isinstance(guide, HasPosterior):
        return guide
    raise ValueError(
        f"{needed_by} needs a guide with a method posterior(obs), which {type(guide).__name__} "
        "lacks: use one of ppl_mm.guides, or write the method, which returns q(z | x_source)."
    )


def posterior_of(guide: object, obs: Observations, needed_by: str) -> TorchDistribution:
    """q(z | x_source) of every row, once it is a distribution of the rows.

    Args:
        guide: The guide.
        obs: The rows, under terms or strata if there are any.
        needed_by: The name in messages of what needs it, such as "a term with a reference".

    Raises:
        ValueError: For a guide without a method ``posterior``, or a distribution of another number
            of rows or whose events are no vectors.
        TypeError: If ``posterior`` returns no distribution of Pyro's.
    """
    kind = type(guide).__name__
    q: object = with_posterior(guide, needed_by).posterior(obs)
    if not isinstance(q, TorchDistributionMixin):
        raise TypeError(
            f"the guide {kind}: posterior(obs) must return a distribution of "
            f"pyro.distributions, q(z | x_source), got {type(q).__name__}."
        )
    if len(q.event_shape) != 1:
        raise ValueError(
            f"the guide {kind}: posterior(obs) must have an event shape (Z,), got "
            f"{tuple(q.event_shape)}; write .to_event(1)."
        )
    try:
        fits = torch.broadcast_shapes(q.batch_shape, obs.shape) == obs.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"the guide {kind}: posterior(obs) must have the rows' batch shape "
            f"{tuple(obs.shape)}, got {tuple(q.batch_shape)}."
        )
    return q


def listed_alternatives(
    part: object, system: nn.Module, target: tuple[str, ...], given: tuple[str, ...]
) -> Listed | None:
    """The conditionals that a model or an objective has for log p(x_target | x_given), or None."""
    return part.alternatives(system, target, given) if isinstance(part, Alternatives) else None  # type: ignore[arg-type]


def check_rows_of(program: object, obs: Observations) -> bool:
    """Let a program check the rows by its method ``check``; return whether it has one."""
    if not isinstance(program, Checks):
        return False
    program.check(obs)
    return True
