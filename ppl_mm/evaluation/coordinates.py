"""The posterior of a latent as independent coordinates, of which much is known in closed form."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Laplace, Normal

from ppl_mm.checks import check_at_least_one
from ppl_mm.distributions import RandomMixture
from ppl_mm.evaluation.conditioned import check_question
from ppl_mm.evaluation.quietly import evaluating
from ppl_mm.evaluation.readings import Subset
from ppl_mm.modality import unknown_name
from ppl_mm.objectives.weights import guide_trace
from ppl_mm.observations import Observations
from ppl_mm.systems import System

__all__ = ["posterior_coordinates"]


def posterior_coordinates(
    system: System,
    obs: Observations,
    given: Subset,
    site: str | None = None,
    *,
    batch_size: int = 500,
    seed: int = 0,
) -> Normal | Laplace:
    """q(latent | x_given) of every row, coordinate by coordinate.

    Args:
        system: A model and a guide.
        obs: The rows.
        given: What to look at.
        site: The latent; None is ``u`` of guides that have it, else ``z``.
        batch_size: Rows to encode at a time.
        seed: Of guides that draw one latent to look at for another.

    Returns:
        Batch shape (N, D), in float64 on the CPU.

    Raises:
        ValueError: If the guide has no such site, or a conditional model conditions on more.
        TypeError: For posteriors that are not all Normal, or all Laplace, in independent
            coordinates; a mixture is neither where several of its components are left.
    """
    check_at_least_one("batch_size", batch_size)
    check_question(system.model, obs, (), given)
    locs: list[Tensor] = []
    scales: list[Tensor] = []
    with evaluating(system, seed):
        for rows in torch.arange(len(obs)).split(batch_size):
            q = guide_trace(system.guide, obs[rows].given(*given).to(system.device))
            name = site or ("u" if "u" in q.stochastic_nodes else "z")
            if name not in q.stochastic_nodes:
                raise ValueError(unknown_name("latent site", name, q.stochastic_nodes))
            base = _base(q.nodes[name]["fn"])
            if not isinstance(base, Normal | Laplace):
                raise TypeError(
                    f"q({name} | {' + '.join(given)}): expected independent Normal or Laplace "
                    f"coordinates, of which this is known, got {type(base).__name__}."
                )
            for parts, part in ((locs, base.loc), (scales, base.scale)):
                parts.append(part.double().cpu().expand(len(rows), part.shape[-1]))
    family = Normal if isinstance(base, Normal) else Laplace
    return family(torch.cat(locs), torch.cat(scales))


def _base(fn: Any) -> Any:
    """What is inside a distribution's wrappers, and inside a mixture with one component left."""
    if isinstance(fn, RandomMixture):
        left = [
            c for c, w in zip(fn.components, fn.log_weight, strict=True) if bool((w == 0).all())
        ]
        return _base(left[0]) if left else fn
    return _base(fn.base_dist) if hasattr(fn, "base_dist") else fn
