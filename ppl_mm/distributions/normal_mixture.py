"""The log-density of many draws under many diagonal Normals, as one operation on tensors.

    log p(z)  =  logsumexp_k  sum_d log Normal(z_d; loc_kd, scale_kd^2)  -  log K

A squared distance is a product of matrices, of (z^2, z) with (1 / scale^2, loc / scale^2), so no
tensor has draws times components times Z numbers. It is computed in float64 and from the centre of
the components. The difference of squares still loses digits if a scale is tiny, so the component
that counts most is treated apart, from z - loc itself.

The rows that need a density differ from batch to batch. Inside one operation their number plays no
part in the shapes around it, so a recorded step does no more than an eager one.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["normal_mixture"]


def normal_mixture(
    value: Float[Tensor, "N Z"],
    loc: Float[Tensor, "K Z"],
    scale: Float[Tensor, "K Z"],
    rows: Bool[Tensor, " N"] | Int[Tensor, " R"] | None = None,
) -> Float[Tensor, " N"]:
    """The log-density in nats of every draw, or of those in ``rows`` and 0 for the others.

    Args:
        value: The draws.
        loc: The components' means.
        scale: Their standard deviations.
        rows: A mask of draws, or their positions; None for all.

    Example:
        >>> z, loc = torch.tensor([[1.0], [5.0]]), torch.tensor([[0.0], [2.0]])
        >>> normal_mixture(z, loc, torch.ones(2, 1), torch.tensor([True, False]))
        tensor([-1.4189,  0.0000])
    """
    log_prob: Tensor = _density(value, loc, scale, rows)[0]
    return log_prob


@torch.library.custom_op("ppl_mm::normal_mixture", mutates_args=())
def _density(
    value: Tensor, loc: Tensor, scale: Tensor, rows: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The density of every draw; of the R that are asked for, shares (R, K) and nearest (R,).

    The share of a component is its part of the density. Both have room for all N draws.
    """
    asked = _positions(rows)
    z, mean, width = _centred(value, loc, scale, asked)
    constant = -width.log().sum(1) - 0.5 * mean.shape[1] * math.log(2.0 * math.pi)
    precision = width**-2
    weights = torch.cat([-0.5 * precision, precision * mean], 1)
    at_zero = constant - 0.5 * (precision * mean * mean).sum(1)
    each = torch.addmm(at_zero, torch.cat([z * z, z], 1), weights.T)
    best = each.argmax(1)
    exact = constant[best] - 0.5 * ((z - mean[best]) / width[best]).square().sum(1)
    each.scatter_(1, best[:, None], exact[:, None])
    total = each.logsumexp(1, keepdim=True)
    found = (total[:, 0] - math.log(len(mean))).to(value.dtype)
    each.sub_(total).exp_()
    if asked is None:
        return found, each, best
    log_prob, share, nearest = _like(value, loc)
    share[: len(z)], nearest[: len(z)] = each, best
    return log_prob.zero_().index_copy_(0, asked, found), share, nearest


@_density.register_fake
def _(
    value: Tensor, loc: Tensor, scale: Tensor, rows: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    return _like(value, loc)


@torch.library.custom_op("ppl_mm::normal_mixture_backward", mutates_args=())
def _gradients(
    out: Tensor,
    value: Tensor,
    loc: Tensor,
    scale: Tensor,
    rows: Tensor | None,
    share: Tensor,
    nearest: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients for value, loc and scale, from that of the density, (N,)."""
    asked = _positions(rows)
    z, mean, width = _centred(value, loc, scale, asked)
    out = (out if asked is None else out[asked]).double()[:, None]
    best = nearest[: len(z)]
    share = share[: len(z)] * out
    own = share.gather(1, best[:, None])
    share.scatter_(1, best[:, None], 0.0)
    precision = width**-2
    pull, stiffness = (share @ torch.cat([precision * mean, precision], 1)).chunk(2, 1)
    first, second = (share.T @ torch.cat([z, z * z], 1)).chunk(2, 1)
    mass = share.sum(0)[:, None]
    near = (z - mean[best]) / width[best]
    force = own * near / width[best]
    for_loc = precision * (first - mass * mean)
    for_scale = (precision * (second - 2.0 * mean * first + mass * mean * mean) - mass) / width
    for_loc.index_add_(0, best, force)
    for_scale.index_add_(0, best, own * (near.square() - 1.0) / width[best])
    for_value = (pull - stiffness * z - force).to(value.dtype)
    if asked is not None:
        for_value = torch.zeros_like(value).index_copy_(0, asked, for_value)
    return for_value, for_loc.to(loc.dtype), for_scale.to(scale.dtype)


@_gradients.register_fake
def _(
    out: Tensor,
    value: Tensor,
    loc: Tensor,
    scale: Tensor,
    rows: Tensor | None,
    share: Tensor,
    nearest: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(value), torch.empty_like(loc), torch.empty_like(scale)


def _keep(ctx: Any, inputs: Sequence[Tensor], output: Sequence[Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output[1:])


def _backward(ctx: Any, out: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
    return (*_gradients(out, *ctx.saved_tensors), None)


_density.register_autograd(_backward, setup_context=_keep)


def _like(value: Tensor, loc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size = len(value)
    share = value.new_empty((size, len(loc)), dtype=torch.float64)
    return value.new_empty(size), share, value.new_empty(size, dtype=torch.int64)


def _positions(rows: Tensor | None) -> Tensor | None:
    return rows.nonzero()[:, 0] if rows is not None and rows.dtype == torch.bool else rows


def _centred(
    value: Tensor, loc: Tensor, scale: Tensor, asked: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The draws that are asked for, means and scales in float64, from the means' average."""
    mean = loc.double()
    centre = mean.mean(0)
    z = (value if asked is None else value.index_select(0, asked)).double()
    return z - centre, mean - centre, scale.double()
