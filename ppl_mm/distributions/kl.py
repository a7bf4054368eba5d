"""Kullback-Leibler divergences, safe in float32 at extreme scales."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

__all__ = ["diagonal_normal", "kl"]


def kl(q: Distribution, p: Distribution) -> Float[Tensor, "*batch"]:
    """KL(q || p) in nats, batch shape.

    Diagonal Normals, event dimension 1, by

        sum_d  log(b_d / a_d) + ((a_d / b_d)^2 + ((mu_d - nu_d) / b_d)^2 - 1) / 2

    for q = N(mu, a^2), p = N(nu, b^2), with the logarithm of each scale taken by itself, since a
    squared ratio of scales underflows long before they do. Other pairs have the divergence that is
    registered in torch.

    Raises:
        NotImplementedError: Where no analytic divergence is known.
    """
    base_q, base_p = diagonal_normal(q), diagonal_normal(p)
    if base_q is None or base_p is None:
        return kl_divergence(q, p)
    loc, scale = base_p.loc, base_p.scale
    if q.batch_shape == p.batch_shape:  # a prior is often one for all rows
        loc, scale = _unexpanded(loc), _unexpanded(scale)
    ratio = base_q.scale / scale
    distance = (base_q.loc - loc) / scale
    log_ratio = torch.log(scale) - torch.log(base_q.scale)
    return (log_ratio + 0.5 * (ratio * ratio + distance * distance - 1.0)).sum(-1)


def diagonal_normal(distribution: object) -> Normal | None:
    """The coordinates of a distribution that is a diagonal Normal; None for any other."""
    if isinstance(distribution, Independent) and distribution.reinterpreted_batch_ndims == 1:
        base = distribution.base_dist
        if type(base).log_prob is Normal.log_prob and isinstance(base, Normal):
            return base
    return None


def _unexpanded(x: Tensor) -> Tensor:
    """The same numbers with size 1 along the dims that repeat them."""
    return x[tuple(slice(1) if stride == 0 else slice(None) for stride in x.stride())]
