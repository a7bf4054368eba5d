"""Products and quotients of Normal experts.

For diagonal Normals, per coordinate, with T the precision 1 / scale^2:

    product   T = sum_i T_i                     mu = sum_i T_i mu_i / T
    quotient  T = T_A - T_B,  T_A > T_B         mu = (T_A mu_A - T_B mu_B) / T

A product's sums are in float64, where the precision of no float32 scale overflows; a quotient's are
log-sum-exps of log-precisions.

Source: Wu & Goodman 2018, arXiv:1802.05335, section 2.1, appendices B and C.
"""

import math
from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ppl_mm.batch.host_masks import HostTensor, on_host
from ppl_mm.batch.rows import one_if_same
from ppl_mm.batch.unread import outer

__all__ = ["normal_quotient", "product_of_experts", "quotient_of_experts"]

_LARGEST = 1e75  # The largest scale; its fourth power is finite in float64, as gradients need.
_SMALLEST_PRECISION = 1e-6  # A quotient's variance stays below 1e6 prior variances.


def product_of_experts(
    loc: Float[Tensor, "M B Z"],
    scale: Float[Tensor, "M B Z"],
    source: Bool[Tensor, "M *S #B"],
    prior: tuple[Float[Tensor, "*#rows Z"], Float[Tensor, "*#rows Z"]],
    prior_expert: bool | Bool[Tensor, "*S #B"] = True,
) -> dist.Independent:
    """Combine Normal experts into the subset posterior q(z | x_S).

        q(z | x_S)  proportional to  p(z) * prod over m in S of q_m(z | x_m)

    without p(z) where ``prior_expert`` is False. Rows with nothing to condition on get the
    prior in either case.

    Args:
        loc: Expert means.
        scale: Expert standard deviations, > 0.
        source: True where modality m takes part, (M, B) or (M, S, B); a last dim of 1 stands for
            all rows.
        prior: loc and scale of p(z), each (Z,), or (B, Z) where rows differ.
        prior_expert: Whether p(z) is a factor; or in which rows it is, (B,) or (S, B).

    Returns:
        Independent Normal, batch shape (B,) or (S, B), event shape (Z,).

    Source: Wu & Goodman 2018, eq. 4. Differs: the release adds 1e-8 to variances, whose only
    effect is to cap a precision; here scales are clamped to between 1e-75 and 1e75.

    Example:
        >>> q = product_of_experts(
        ...     torch.full((1, 1, 1), 2.0), torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool),
        ...     (torch.zeros(1), torch.ones(1)),
        ... )
        >>> q.mean.item(), round(q.variance.item(), 6)
        (1.0, 0.5)
    """
    source = one_if_same(source)
    one = source.dim() == 3 and source.shape[-1] == 1 and on_host(source)
    if one and isinstance(prior_expert, bool):
        subsets = source[..., 0].T.tolist()
        first = [subsets.index(subset) for subset in subsets]
        if len(set(first)) < len(first):  # a subset that comes again is worked out once
            own = sorted(set(first))
            q = product_of_experts(loc, scale, source[:, own], prior, prior_expert).base_dist
            positions = torch.tensor([own.index(i) for i in first], device="cpu")
            of = HostTensor.of(positions, loc.device).copied()
            return dist.Normal(q.loc.index_select(0, of), q.scale.index_select(0, of)).to_event(1)
    dtype = loc.dtype
    prior_loc, prior_precision = prior[0].double(), _precision(prior[1])
    precision = _precision(scale)  # (M, B, Z)
    known, member = outer(source), source
    if known is not None:
        member, rows = known[0][..., None], known[1]
        precision = torch.where(rows[..., None], precision, 0.0)
    shifts = precision * (loc.double() - prior_loc)
    total, shift = (_sum_of_members(member, x) for x in (precision, shifts))
    if prior_expert is True:
        total = total + prior_precision
    else:
        with_prior = ~source.any(0) | prior_expert
        total = total + torch.where(with_prior[..., None], prior_precision, 0.0)
    mean, deviation = _Product.apply(total, shift, prior_loc, dtype)
    return dist.Normal(mean, deviation).to_event(1)


class _Product(torch.autograd.Function):
    """Mean and standard deviation from sums in float64, in two thirds of autograd's passes."""

    @staticmethod
    def forward(
        ctx: Any, total: Tensor, shift: Tensor, prior_loc: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        deviation = total.rsqrt()
        ctx.save_for_backward(deviation, total, shift)
        ctx.shapes = [x.shape for x in (total, shift, prior_loc)]
        # The mean is the prior's, exactly, where there is no expert.
        mean = prior_loc + (deviation * deviation).mul_(shift)
        return mean.to(dtype), deviation.to(dtype)

    @staticmethod
    def backward(ctx: Any, for_mean: Tensor, for_deviation: Tensor) -> tuple[Tensor | None, ...]:
        deviation, total, shift = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradients are to be differentiated themselves
            deviation = total.rsqrt()
        variance = deviation * deviation
        for_shift = variance * for_mean
        for_total = deviation * (-0.5 * for_deviation)
        for_total = for_total.addcmul_(for_shift, shift, value=-1.0).mul_(variance)
        found = (for_total, for_shift, for_mean.double() if ctx.needs_input_grad[2] else None)
        summed = (
            None if x is None else x.sum_to_size(shape)
            for x, shape in zip(found, ctx.shapes, strict=True)
        )
        return (*summed, None)


def _sum_of_members(source: Tensor, values: Tensor) -> Tensor:
    """The sum over the members of (M, B, Z) values, for a source (M, B) or (M, S, B)."""
    member = source if source.dim() == 3 else source[:, None]
    if member.shape[-1] == 1:  # equal rows: one product of matrices
        sums = member[..., 0].T.to(values.dtype) @ values.flatten(1)
        sums = sums.unflatten(1, values.shape[1:])  # (S, B, Z)
    else:
        each = member.permute(2, 1, 0).to(values.dtype)
        sums = torch.bmm(each, values.transpose(0, 1)).transpose(0, 1)
    return sums if source.dim() == 3 else sums[0]


def _precision(scale: Tensor) -> Tensor:
    """1 / scale^2 in float64, finite for every positive float32 scale."""
    limits = torch.finfo(scale.dtype)
    scale = scale.clamp(max(limits.tiny, 1.0 / _LARGEST), min(limits.max, _LARGEST))
    return scale.double().square().reciprocal()


def quotient_of_experts(
    loc: Float[Tensor, "M B Z"],
    scale: Float[Tensor, "M B Z"],
    source: Bool[Tensor, "M *S B"],
    prior: tuple[Float[Tensor, " Z"], Float[Tensor, " Z"]],
    num_modalities: int,
) -> dist.Independent:
    """Divide the surplus priors out of a product of full posteriors (MVAE-Q).

        q(z | x_S)  proportional to  prod over m in S of q_m(z | x_m) / p(z)^(n - 1),  n = |S|

    The networks' variances V = scale^2 (in units of the prior's) are first squeezed into
    (0, N/(N-1)) by V_m = N/(N-1) * V/(1+V), which is N/(N-1) * sigmoid of the log-variance.
    Then 1/V_m = (N-1)/N * (1 + 1/V), and the precision of the quotient,

        T = (1 - n/N) + (N-1)/N * sum over m in S of 1/V,

    is a sum of positive terms: nothing is subtracted. For n = N its constant is 0, so T is kept
    at 1e-6 or above, and no variance explodes.

    Args:
        loc: Means of q_m.
        scale: Networks' standard deviations, > 0, before the squeeze.
        source: True where modality m takes part, (M, B) or (M, S, B).
        prior: loc and scale of p(z), each (Z,).
        num_modalities: N, the number of modalities of the model; those that the data lack count.

    Returns:
        Independent Normal, batch shape (B,) or (S, B); for n = 1 it is q_m, for n = 0 the prior.

    Source: Wu & Goodman 2018, appendix C. Differs: the appendix prints V_m > N/(N-1), the wrong
    way round; its parameterisation is right.
    """
    prior_loc, prior_scale = prior
    log_precision = 2.0 * (_log(prior_scale) - _log(scale))  # 1/V in units of the prior
    whole = log_precision  # log (1/V_m), of which the constant holds a part
    if num_modalities > 1:
        log_share = math.log((num_modalities - 1) / num_modalities)
        whole = torch.nn.functional.softplus(log_precision) + log_share
        log_precision = log_precision + log_share
    loc, log_precision, mask = _over_strata((loc - prior_loc) / prior_scale, log_precision, source)
    whole = whole[:, None] if source.dim() == 3 else whole
    constant = torch.log(1.0 - mask.sum(0).to(loc.dtype) / num_modalities)
    own = torch.where(mask, log_precision, -torch.inf)
    log_total = torch.logsumexp(torch.cat([constant.expand(own.shape[1:])[None], own]), 0)
    log_total = log_total.clamp(min=math.log(_SMALLEST_PRECISION))
    weights = torch.where(mask, torch.exp(whole - log_total), 0.0)
    mean = (weights * torch.where(mask, loc, 0.0)).sum(0)
    posterior_scale = torch.exp(-0.5 * log_total) * prior_scale
    return dist.Normal(prior_loc + prior_scale * mean, posterior_scale).to_event(1)


def normal_quotient(
    loc_a: Float[Tensor, "*#B"],
    scale_a: Float[Tensor, "*#B"],
    loc_b: Float[Tensor, "*#B"],
    scale_b: Float[Tensor, "*#B"],
) -> tuple[Float[Tensor, "*B"], Float[Tensor, "*#B"]]:
    """loc and scale of N(loc_a, scale_a^2) / N(loc_b, scale_b^2), renormalised.

    Raises:
        ValueError: Unless scale_a < scale_b everywhere; no Normal is the quotient otherwise.

    Example:
        >>> one, two = torch.tensor(1.0), torch.tensor(2.0)
        >>> loc, scale = normal_quotient(one, one, one, two)
        >>> round(loc.item(), 6), round(scale.item() ** 2, 6)
        (1.0, 1.333333)
    """
    if not bool((scale_a < scale_b).all()):
        raise ValueError(
            "a quotient of Normals needs a divisor that is wider: scale_a < scale_b everywhere."
        )
    ratio = (scale_a / scale_b) ** 2  # T_B / T_A < 1
    return (loc_a - ratio * loc_b) / (1.0 - ratio), scale_a * torch.rsqrt(1.0 - ratio)


def _log(scale: Tensor) -> Tensor:
    limits = torch.finfo(scale.dtype)
    return torch.log(scale.clamp(min=limits.tiny, max=limits.max))


def _over_strata(loc: Tensor, other: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Insert the dim of strata into (M, B, Z) where ``source`` has one; (M, *S, B, 1) masks."""
    if source.dim() == 3:
        loc, other = loc[:, None], other[:, None]
    return loc, other, source[..., None]
