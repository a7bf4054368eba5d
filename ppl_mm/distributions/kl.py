"""Kullback-Leibler divergences, safe in float32 at extreme scales."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from ppl_mm.batch.rows import unexpanded

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
        loc, scale = unexpanded(loc), unexpanded(scale)
    divergence: Tensor = _Divergence.apply(base_q.loc, base_q.scale, loc, scale)
    return divergence


class _Divergence(torch.autograd.Function):
    """The KL of diagonal Normals, whose gradients take a third less passes than autograd's."""

    @staticmethod
    def forward(ctx: Any, mu: Tensor, a: Tensor, nu: Tensor, b: Tensor) -> Tensor:
        ratio, distance = a / b, (mu - nu) / b
        ctx.save_for_backward(mu, a, nu, b, ratio, distance)
        ctx.shapes = [x.shape for x in (mu, a, nu, b)]
        squares = torch.addcmul(ratio * ratio, distance, distance)
        return squares.sub_(1.0).mul_(0.5).add_(torch.log(b) - torch.log(a)).sum(-1)

    @staticmethod
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor | None, ...]:
        mu, a, nu, b, ratio, distance = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradients are to be differentiated themselves
            ratio, distance = a / b, (mu - nu) / b
        out = out[..., None]
        of_mu, of_a, of_nu, of_b = ctx.needs_input_grad
        by_b = out / b
        for_mu = by_b * distance if of_mu or of_nu else None
        for_a = (by_b * ratio).sub_(out / a) if of_a else None
        for_nu = -for_mu if of_nu and for_mu is not None else None
        for_b = None
        if of_b:
            squares = torch.addcmul(ratio * ratio, distance, distance)
            for_b = squares.neg_().add_(1.0) * by_b
        found = (for_mu, for_a, for_nu, for_b)
        return tuple(
            None if x is None else x.sum_to_size(shape)
            for x, shape in zip(found, ctx.shapes, strict=True)
        )


def diagonal_normal(distribution: object) -> Normal | None:
    """The coordinates of a distribution that is a diagonal Normal; None for any other."""
    if isinstance(distribution, Independent) and distribution.reinterpreted_batch_ndims == 1:
        base = distribution.base_dist
        if type(base).log_prob is Normal.log_prob and isinstance(base, Normal):
            return base
    return None
