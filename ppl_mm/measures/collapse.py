"""The share of coordinates that tell nothing: collapse of posteriors and decoders' variances.

Coordinate i is collapsed at epsilon (and delta) where

    at least a share 1 - delta of the rows n has  v_ni <= epsilon

v_ni is a divergence in nats of row n's posterior of latent coordinate i, or the variance of element
i of a generated modality. The share of collapsed coordinates, against epsilon, is a curve.

Source: Lucas et al. 2019, "Don't blame the ELBO!", arXiv:1911.02469; Mancisidor et al. 2023 (CMMD),
doi:10.1016/j.neunet.2023.10.048, figure 3 and release.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal, OneHotCategorical

from ppl_mm.arguments.tensors import Numbers
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.accuracy import target_distributions
from ppl_mm.measures.coordinates import divergence, posterior_coordinates
from ppl_mm.measures.generation import elementwise
from ppl_mm.measures.readings import as_subsets
from ppl_mm.programs.asked import site_of
from ppl_mm.results.collapse import Collapse
from ppl_mm.systems import System

__all__ = [
    "collapse_of",
    "generated_variances",
    "posterior_collapse",
    "variance_collapse",
]

_POINTS = 40
_MAX_DIVERGENCE, _MAX_VARIANCE = 6.0, 0.13  # the ends of the release's curves


@typed
def collapse_of(
    values: Numbers,
    *,
    delta: float = 0.01,
    epsilons: Numbers | None = None,
    quantity: str = "value",
) -> Collapse:
    """Collapse of v (N, D): N rows of D coordinates.

    Args:
        values: The values v_ni, (N, D).
        delta: The share of rows that may exceed epsilon, from 0 up to, not including, 1.
        epsilons: The values at which the curve is drawn; None is 40 points from 0 to the largest
            threshold.
        quantity: The name of v.

    Raises:
        ValueError: For values of another shape, or another delta.
    """
    if values.dim() != 2 or not values.numel():
        raise ValueError(
            f"collapse: expected values (N, D) of N rows and D coordinates, got "
            f"{tuple(values.shape)}."
        )
    if not 0 <= delta < 1:
        raise ValueError(f"collapse: expected delta from 0 up to 1, got {delta}.")
    exceeding = int(delta * len(values) + 1e-9)  # delta N may come out just below a whole number
    thresholds = values.kthvalue(len(values) - exceeding, dim=0).values
    if epsilons is None:
        epsilons = torch.linspace(0, thresholds.max().item(), _POINTS)
    return Collapse(quantity, thresholds, delta, epsilons)


@typed
def posterior_collapse(
    system: System,
    obs: Observations,
    given: str | Sequence[str],
    against: str | Sequence[str] | None = None,
    *,
    site: str | None = None,
    delta: float = 0.01,
    epsilons: Numbers | None = None,
    batch_size: int = 500,
    seed: int = 0,
) -> Collapse:
    """Collapse of v_ni = KL( q(z_i | x_given^n) || reference ), row by row.

    The KL has a closed form. If the posterior is a mixture, each coordinate's own mixture counts,
    and the KL is right to about 0.01 nats.

    A high share is bad if the reference is a standard distribution: the latent tells nothing about
    the row. It is good if the reference is the posterior given more: the rest is not missed.

    Args:
        system: The system, a model and a guide.
        obs: The rows, which hold every modality that is given.
        given: The modalities that the posterior looks at, one name or several.
        against: The reference looks at these; None is the standard Normal, or the standard Laplace
            of a Laplace posterior, whatever the model's prior is.
        site: The latent; None is ``u`` of guides that have it, else ``z``.
        delta: The share of rows that may exceed epsilon.
        epsilons: The values at which the curve is drawn, nats; None is 40 points from 0 to 6.
        batch_size: The number of rows that are encoded at a time.
        seed: The seed of guides that draw one latent to look at for another.

    Raises:
        ValueError: If some row lacks what it should be given, the guide has no such site, a
            conditional model conditions on more, or for another delta.
        TypeError: For posteriors that are not all Normal, or all Laplace, in independent
            coordinates, nor mixtures of such.

    Source: as the module. Figure 3 of CMMD with observed O and all modalities A: ``given=O``;
    ``given=A``; ``given=O, against=A``.

    Example:
        >>> from ppl_mm import data, systems
        >>> test = data.load("digits").test
        >>> system = systems.mvae(data.load("digits").modalities, 4)
        >>> found = posterior_collapse(system, test, "top")
        >>> found.quantity, found.thresholds.shape
        ('KL( q(z | top) || N(0, 1) )', torch.Size([4]))
        >>> posterior_collapse(system, test, "top", against="top").at(0.0)
        1.0
    """
    system.check(obs)
    asked = (given,) if against is None else (given, against)
    subsets = as_subsets(obs, asked)
    options: dict[str, Any] = {"mixtures": True, "batch_size": batch_size, "seed": seed}
    q, *others = (posterior_coordinates(system, obs, s, site, **options) for s in subsets)
    own = site_of(system.guide)
    name = own if site is None else site
    if others:
        reference = others[0]
        told = f"q({_condition(name, subsets[1])})"
    else:
        family: Any = type(q.component_distribution if isinstance(q, MixtureSameFamily) else q)
        zero = torch.zeros(q.batch_shape, dtype=torch.float64)
        reference = family(zero, zero + 1)
        told = f"{'N' if family is Normal else 'Laplace'}(0, 1)"
    return collapse_of(
        divergence(q, reference),
        delta=delta,
        epsilons=torch.linspace(0, _MAX_DIVERGENCE, _POINTS) if epsilons is None else epsilons,
        quantity=f"KL( q({_condition(name, subsets[0])}) || {told} )",
    )


@typed
def variance_collapse(
    system: System,
    obs: Observations,
    target: str,
    given: str | Sequence[str] | None = None,
    *,
    delta: float = 0.01,
    epsilons: Numbers | None = None,
    batch_size: int = 1000,
) -> Collapse:
    """Collapse of v_ni = Var(x_target,i | z) at z = the mean of q(z | x_given^n).

    Args:
        system: The system, a model and a guide.
        obs: The rows.
        target: A modality of numbers or yes-or-no values, whose elements are the coordinates.
        given: The modalities that the posterior looks at; None is all except the target.
        delta: The share of rows that may exceed epsilon.
        epsilons: The values at which the curve is drawn, in the data's unit squared; None is 40
            points from 0 to 0.13.
        batch_size: The number of rows at a time.

    Raises:
        ValueError: If a conditional model conditions on more, or for another delta.
        TypeError: For classes and symbols, which have no variance.
    """
    values = generated_variances(system, obs, target, given, batch_size=batch_size)
    asked = tuple(n for n in obs.names if n != target) if given is None else given
    names = (asked,) if isinstance(asked, str) else tuple(asked)
    return collapse_of(
        values,
        delta=delta,
        epsilons=torch.linspace(0, _MAX_VARIANCE, _POINTS) if epsilons is None else epsilons,
        quantity=f"variance of {_condition(target, names)}",
    )


def generated_variances(
    system: System,
    obs: Observations,
    target: str,
    given: str | Sequence[str] | None = None,
    *,
    batch_size: int = 1000,
) -> Float[Tensor, "N D"]:
    """Var(x_target,i | z) at z = the mean of q(z | x_given^n), of every row n and element i.

    The arguments and errors are those of :func:`variance_collapse`.

    Returns:
        (N, D), float64, in the data's unit squared.
    """
    values = []
    for fn in target_distributions(system, obs, target, given, batch_size=batch_size):
        base = elementwise(fn)
        if isinstance(base, Categorical | OneHotCategorical):
            raise TypeError(f"modality {target!r}: classes and symbols have no variance.")
        values.append(base.variance[0, 0].cpu())
    return torch.cat(values).reshape(len(obs), -1).double()


def _condition(name: str, given: Sequence[str]) -> str:
    return f"{name} | {', '.join(given)}" if given else name
