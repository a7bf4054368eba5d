"""The posterior of a latent, coordinate by coordinate, and how far two of them diverge."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Laplace, MixtureSameFamily, Normal, kl_divergence

from ppl_mm.checks import check_at_least_one
from ppl_mm.distributions import RandomMixture
from ppl_mm.evaluation.conditioned import check_question
from ppl_mm.evaluation.quietly import evaluating
from ppl_mm.evaluation.readings import Subset
from ppl_mm.modality import unknown_name
from ppl_mm.objectives.weights import guide_trace
from ppl_mm.observations import Observations
from ppl_mm.systems import System

__all__ = ["Coordinates", "divergence", "posterior_coordinates"]

Coordinates = Normal | Laplace | MixtureSameFamily
"""Batch shape (N, D); a mixture is that of each coordinate by itself, of Normals or Laplaces."""

_NODES = 200


def posterior_coordinates(
    system: System,
    obs: Observations,
    given: Subset,
    site: str | None = None,
    *,
    mixtures: bool = False,
    batch_size: int = 500,
    seed: int = 0,
) -> Any:
    """q(latent | x_given) of every row, coordinate by coordinate.

    Args:
        system: A model and a guide.
        obs: The rows.
        given: What to look at.
        site: The latent; None is ``u`` of guides that have it, else ``z``.
        mixtures: Whether a mixture is allowed where several of its components are left.
        batch_size: Rows to encode at a time.
        seed: Of guides that draw one latent to look at for another.

    Returns:
        ``Coordinates``, in float64 on the CPU; Normal or Laplace without ``mixtures``.

    Raises:
        ValueError: If the guide has no such site, or a conditional model conditions on more.
        TypeError: For posteriors that are not all Normal, or all Laplace, in independent
            coordinates; without ``mixtures`` a mixture is neither.
    """
    check_at_least_one("batch_size", batch_size)
    check_question(system.model, obs, (), given)
    parts: tuple[list[Tensor], list[Tensor], list[Tensor]] = [], [], []
    with evaluating(system, seed):
        for rows in torch.arange(len(obs)).split(batch_size):
            q = guide_trace(system.guide, obs[rows].given(*given).to(system.device))
            name = site or ("u" if "u" in q.stochastic_nodes else "z")
            if name not in q.stochastic_nodes:
                raise ValueError(unknown_name("latent site", name, q.stochastic_nodes))
            base = _base(q.nodes[name]["fn"])
            each, log_weight = [base], torch.zeros(1, 1)
            if mixtures and isinstance(base, RandomMixture):
                each, log_weight = [_base(c) for c in base.components], base.log_weight
            wrong = [c for c in each if not isinstance(c, Normal | Laplace)]
            if wrong or len({isinstance(c, Normal) for c in each}) > 1:
                raise TypeError(
                    f"q({name} | {' + '.join(given)}): expected independent Normal or Laplace "
                    f"coordinates, of which this is known, got {type((wrong or each)[0]).__name__}."
                )
            shape = len(rows), each[0].loc.shape[-1]
            for part, values in zip(parts[:2], ("loc", "scale"), strict=True):
                found = [getattr(c, values).double().cpu().expand(shape) for c in each]
                part.append(torch.stack(found, -1))
            weight = log_weight.double().cpu().movedim(0, -1)  # (N or 1, C)
            parts[2].append(weight[:, None].expand(*shape, len(each)))
    family = Normal if isinstance(each[0], Normal) else Laplace
    loc, scale, logits = (torch.cat(part) for part in parts)
    if loc.shape[-1] == 1:
        return family(loc[..., 0], scale[..., 0])
    mixing = Categorical(logits=logits, validate_args=False)
    return MixtureSameFamily(mixing, family(loc, scale), validate_args=False)


def divergence(q: Coordinates, reference: Coordinates) -> Tensor:
    """KL( q_i || reference_i ) of every coordinate, (N, D), nats.

    In closed form, but for mixtures: there the mean of log q - log reference over 200 points of
    each component, of equal probability between them, which is right to about 0.01 nats.
    """
    mixed = isinstance(q, MixtureSameFamily)
    if not mixed and not isinstance(reference, MixtureSameFamily):
        return kl_divergence(q, reference)
    component: Any = (
        q.component_distribution if mixed else type(q)(q.loc[..., None], q.scale[..., None])
    )
    weight = q.mixture_distribution.probs if mixed else torch.ones_like(component.loc)
    total = torch.zeros_like(weight[..., 0])
    for level in (torch.arange(_NODES) + 0.5) / _NODES:
        z = component.icdf(level.double()).movedim(-1, 0)  # (C, N, D)
        log_ratio = (q.log_prob(z) - reference.log_prob(z)).movedim(0, -1)
        total += torch.where(weight > 0, weight * log_ratio, 0.0).sum(-1) / _NODES
    return total


def _base(fn: Any) -> Any:
    """What is inside a distribution's wrappers, and inside a mixture with one component left."""
    if isinstance(fn, RandomMixture):
        left = [
            c for c, w in zip(fn.components, fn.log_weight, strict=True) if bool((w == 0).all())
        ]
        return _base(left[0]) if left else fn
    return _base(fn.base_dist) if hasattr(fn, "base_dist") else fn
