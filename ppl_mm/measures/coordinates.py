"""The posterior of a latent, coordinate by coordinate, and the divergence of two of them."""

from typing import Any

import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Categorical, Laplace, MixtureSameFamily, Normal, kl_divergence

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import RandomMixture, RowwiseReference
from ppl_mm.objectives.weights import guide_trace
from ppl_mm.programs.answerable import check_answerable
from ppl_mm.results.by_subset import Subset
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["divergence", "posterior_coordinates"]

_NODES = 200  # The nodes of a quadrature for each component.


Coordinates = Normal | Laplace | MixtureSameFamily
"""The posterior's coordinates, each by itself, batch shape (N, D)."""


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
        system: The system, a model and a guide.
        obs: The rows.
        given: The modalities to look at.
        site: The latent; None is ``u`` of guides that have it, else ``z``.
        mixtures: Whether a mixture is allowed where several of its components are left.
        batch_size: The number of rows that are encoded at a time.
        seed: The seed of guides that draw one latent to look at for another.

    Returns:
        A Normal or a Laplace, batch shape (N, D), in float64 on the CPU; with ``mixtures`` perhaps
        a ``MixtureSameFamily`` of either, the mixture of each coordinate by itself.

    Raises:
        ValueError: If the guide has no such site, or a conditional model conditions on more.
        TypeError: For posteriors that are not all Normal, or all Laplace, in independent
            coordinates; without ``mixtures`` a mixture is neither.
    """
    check_answerable(system.model, obs, (), given)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with evaluating(system, seed):
        for rows in torch.arange(len(obs)).split(batch_size):
            q = guide_trace(system.guide, obs[rows].given(*given).to(system))
            name = site or ("u" if "u" in q.stochastic_nodes else "z")
            if name not in q.stochastic_nodes:
                raise ValueError(unknown_name("latent site", name, q.stochastic_nodes))
            each, log_weight = _components(q.nodes[name]["fn"], mixtures)
            wrong = [c for c in each if not isinstance(c, Normal | Laplace)]
            if wrong or len({isinstance(c, Normal) for c in each}) > 1:
                raise TypeError(
                    f"q({name} | {' + '.join(given)}): expected independent Normal or Laplace "
                    f"coordinates, of which this is known, got {type((wrong or each)[0]).__name__}."
                )
            shape = (len(rows), each[0].loc.shape[-1], len(each))
            loc = torch.stack([c.loc.expand(shape[:2]) for c in each], -1)
            scale = torch.stack([c.scale.expand(shape[:2]) for c in each], -1)
            weight = log_weight.movedim(0, -1).unsqueeze(-2)  # (N or 1, 1, C)
            parts.append((loc, scale, weight.expand(shape)))
    family = Normal if isinstance(each[0], Normal) else Laplace
    loc, scale, weight = (torch.cat(p).double().cpu() for p in zip(*parts, strict=True))
    if not bool((loc.isfinite() & scale.isfinite()).all()):
        rows = (~(loc.isfinite() & scale.isfinite())).flatten(1).any(1).nonzero()[:10, 0].tolist()
        raise ValueError(
            f"q({name} | {' + '.join(given)}) of rows {rows} is not finite: what the encoders make "
            "of these modalities' values overflows; look at the values, and rescale large ones."
        )
    if len(each) == 1:
        return family(loc[..., 0], scale[..., 0])
    mixing = Categorical(logits=weight, validate_args=False)
    return MixtureSameFamily(mixing, family(loc, scale), validate_args=False)


def divergence(q: Coordinates, reference: Coordinates) -> Float[Tensor, "N D"]:
    """KL( q_i || reference_i ) of what :func:`posterior_coordinates` returns, (N, D), nats.

    It has a closed form except for mixtures. For these it is the mean of log q - log reference over
    200 points of each component, with equal probability between them, right to about 0.01 nats.
    """
    each: Any
    if isinstance(q, MixtureSameFamily):
        each, weight = q.component_distribution, q.mixture_distribution.probs
    elif isinstance(reference, MixtureSameFamily):
        each = type(q)(q.loc[..., None], q.scale[..., None])
        weight = torch.ones_like(each.loc)
    else:
        return kl_divergence(q, reference)
    total = torch.zeros_like(weight[..., 0])
    for level in (torch.arange(_NODES, dtype=weight.dtype) + 0.5) / _NODES:
        z = each.icdf(level).movedim(-1, 0)  # (C, N, D)
        log_ratio = (q.log_prob(z) - reference.log_prob(z)).movedim(0, -1)
        total += torch.where(weight > 0, weight * log_ratio, 0.0).sum(-1) / _NODES
    return total


def _components(fn: TorchDistribution, mixtures: bool) -> tuple[list[TorchDistribution], Tensor]:
    """The distributions of which this is a mixture, C of them, and log-weights (C, N or 1)."""
    base = _base(fn)
    if mixtures and isinstance(base, RandomMixture):
        left = [i for i, w in enumerate(base.log_weight) if bool((w > -torch.inf).any())]
        return [_base(base.components[i]) for i in left], base.log_weight[left]
    return [base], torch.zeros(1, 1)


def _base(fn: TorchDistribution) -> TorchDistribution:
    """The distribution inside wrappers, and inside mixtures of which all rows use one part."""
    if isinstance(fn, RandomMixture):
        left = [
            c for c, w in zip(fn.components, fn.log_weight, strict=True) if bool((w == 0).all())
        ]
        return _base(left[0]) if left else fn
    if isinstance(fn, RowwiseReference) and bool((fn.rows == fn.rows.flatten()[0]).all()):
        return _base(fn.first if bool(fn.rows.flatten()[0]) else fn.second)
    return _base(fn.base_dist) if hasattr(fn, "base_dist") else fn
