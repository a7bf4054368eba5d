"""The tail of importance weights: its Pareto index, and what it does to the error of their mean."""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from ppl_mm.likelihood.pareto import growth, pareto_fit, tail_size

__all__ = [
    "Moments",
    "interval_of_log_mean",
    "interval_of_log_share",
    "unskewed",
    "weight_moments",
]

_CONSTANT = 1e-3  # nats: weights that differ by less carry rounding, not a tail
_FEWEST = 25  # The fewest draws that a tail is fitted to.
_FEWEST_WITH_WEIGHT = 10  # An estimate on fewer draws with any weight is not trusted.
_NEGLIGIBLE = 100.0  # nats below the largest: no weight at all
_FINER = 20  # Quantiles of the fitted tail for each draw in it.
_NORMAL = 1.959964  # 97.5 % quantile
_TINY = math.log(np.finfo(float).tiny)


class Moments(NamedTuple):
    """Moments of one draw's weight, divided by the mean weight, for each row, (N,).

    Attributes:
        pareto_k: Tail index; 0 where the largest weights, one more than a tail has, are equal,
            so that they are seen to be bounded; infinite where fewer than ten draws have any
            weight; NaN for fewer than 25 draws, unless none has.
        variance: With the tail as fitted, or of the draws if that is larger.
        third: The third central moment, of the same.
    """

    pareto_k: Tensor
    variance: Tensor
    third: Tensor


def weight_moments(log_w: Float[Tensor, "K N"]) -> Moments:
    """Tail index and central moments of the weights exp(log_w), (K, N), of every row.

    The largest draws of a heavy tail underestimate it, because rare large weights are mostly not
    among them. So the M largest weights are replaced by quantiles of the generalised Pareto
    distribution fitted to them,

        w_(i)  ~  u + sigma ((1 - p_i)^{-k} - 1) / k,      p_i = (i - 1/2) / (20 M),  i = 1..20 M

    u the largest weight below them: a tail such as 20 times as many draws would show. Where the
    draws themselves vary more, or no tail can be fitted (constant weights, fewer than 25 draws,
    ties), the moments are those of the draws.
    Draws of weight 0 count: if all but a few have it, the estimate depends on those few, and their
    agreement says nothing about draws that were not made.

    Source: Vehtari et al. 2024, arXiv:1507.02646 (M, the fit and k). The use of its
    quantiles for the moments is ours. It asks for 10^{1 / (1 - k)} draws: ten where k is 0.
    """
    columns = log_w.double().cpu().numpy()
    number, finite = len(columns), np.isfinite(columns)
    hopeless = ~finite.any(0)
    columns = np.where(hopeless, 0.0, columns)
    low = np.where(finite, columns, np.inf).min(0)
    columns = np.where(np.isfinite(columns), columns, low - _NEGLIGIBLE)
    high = columns.max(0)
    weights = np.exp(columns - high)
    weights = weights / weights.mean(0)
    variance = weights.var(0) * number / max(number - 1, 1)
    third = ((weights - 1.0) ** 3).mean(0)
    k = np.full(columns.shape[1], 0.0 if number >= _FEWEST else np.nan)
    few = ((columns > high - _NEGLIGIBLE).sum(0) < _FEWEST_WITH_WEIGHT) & (number >= _FEWEST)
    edge = max(number - tail_size(number) - 1, 0)
    varied = high - np.partition(columns, edge, 0)[edge] > _CONSTANT
    varied &= ~few & (number >= _FEWEST)
    if varied.any():
        k[varied], fitted = _fit(columns[:, varied], weights[:, varied])
        usable = np.isfinite(fitted).all(0)
        rows = varied.nonzero()[0][usable]
        larger = fitted[0, usable] > variance[rows]
        rows, (second, cube) = rows[larger], fitted[:, usable][:, larger]
        variance[rows], third[rows] = second, cube
    k[hopeless | few] = np.inf
    return Moments(*(torch.from_numpy(x).to(log_w.device) for x in (k, variance, third)))


def _fit(log_w: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """k, and the variance and third moment (2, N), NaN where there is no fit."""
    number = len(log_w)
    size = tail_size(number)
    in_order, w = np.sort(log_w - log_w.max(0), 0), np.sort(weights, 0)
    edge = number - size - 1
    u = np.maximum(in_order[edge], _TINY)
    fits = [pareto_fit(np.exp(x[x > at]) - np.exp(at)) for x, at in zip(in_order.T, u, strict=True)]
    k, scale = np.array(fits).T
    scale = scale * w[-1]  # of weights over their mean
    fitted = np.isfinite(k) & (in_order[edge + 1] > in_order[edge]) & (w[edge] > 0.0)
    with np.errstate(all="ignore"):
        p = (np.arange(_FINER * size)[:, None] + 0.5) / (_FINER * size)
        tail = w[edge] + scale * growth(k, p)
        body = w[: edge + 1]
        mean = (body.sum(0) + size * tail.mean(0)) / number
        moments = [
            (((body - mean) ** n).sum(0) + size * ((tail - mean) ** n).mean(0)) / number
            for n in (2, 3)
        ]
    return k, np.where(fitted, np.stack(moments), np.nan)


def interval_of_log_mean(
    error: Float[Tensor, " N"], skewness: Float[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """The distances from the log of a mean down and up to the ends of a 95 % interval.

        from log(1 - s g(z)) to log(1 - s g(-z)),      z the 97.5 % quantile of a Normal

    with g of :func:`unskewed`. Without skewness it is the usual interval, log(1 - s z) to
    log(1 + s z). Where s g(z) exceeds 1/2 the logarithm goes on as its tangent there, so no end is
    infinite.

    Args:
        error: s, the standard error of the mean over the mean, (N,).
        skewness: a, the third cumulant of the mean over the cube of its standard error, (N,).
    """
    below, above = error * unskewed(_NORMAL, skewness), -error * unskewed(-_NORMAL, skewness)
    far = (below - 0.5).clamp(min=0.0)
    return torch.log1p(-(below - far)) - 2.0 * far, torch.log1p(above)


def interval_of_log_share(
    log_p: Float[Tensor, " N"],
    log_q: Float[Tensor, " N"],
    error: Float[Tensor, " N"],
    skewness: Float[Tensor, " N"],
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """A 95 % interval of log p, p an estimated probability, on the scale of its log-odds.

    The ends p - s p g(z) and p - s p g(-z), with g of :func:`unskewed`, are taken as log-odds; the
    log-odds go on as their tangents where an end is below p / 2 or above (1 + p) / 2. So the upper
    end is below 0, and no end is infinite.

    Args:
        log_p: The log of the estimate, (N,).
        log_q: log(1 - p), (N,).
        error: s, the standard error of p over p, (N,).
        skewness: a, the third cumulant of the estimate over the cube of its standard error, (N,).
    """
    p, q, odds = log_p.exp(), log_q.exp(), log_p - log_q
    below, above = error * unskewed(_NORMAL, skewness), -error * unskewed(-_NORMAL, skewness)
    near = below.clamp(max=0.5)  # in units of p
    low = odds + torch.log1p(-near) - torch.log1p(near * p / q)
    low = low - (below - near) / ((1.0 - near) * (q + near * p))
    over_q = above * p / q
    near = over_q.clamp(max=0.5)  # in units of q
    high = odds + torch.log1p(near * q / p) - torch.log1p(-near)
    high = high + (over_q - near) / ((p + near * q) * (1.0 - near))
    return -softplus(-low), -softplus(-high)


def unskewed(t: float, skewness: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """The quantile of a mean of skewed numbers that corresponds to the Normal's quantile t.

        g(t)  =  3 ( (1 + a (t - a / 6))^{1/3} - 1 ) / a,      t for a = 0

    Means of skewed weights are mostly a little low, and their errors too small when they are; g
    undoes both.

    Source: Hall 1992, "On the removal of skewness by transformation", JRSS B 54, p. 221.
    """
    inner = 1.0 + skewness * (t - skewness / 6.0)
    root = inner.sign() * inner.abs() ** (1.0 / 3.0)
    bent = 3.0 * (root - 1.0) / torch.where(skewness == 0, 1.0, skewness)
    return torch.where(skewness.abs() < 1e-6, t, bent)
