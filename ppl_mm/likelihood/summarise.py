"""The estimate that log importance weights give, its error and diagnostics."""

import math

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from ppl_mm.likelihood.tails import interval_of_log_mean, weight_moments

__all__ = ["MARKOV", "cumulants", "equal_weights", "pareto_k", "summarise_weights"]

MARKOV = math.log(40.0)
"""How far an interval goes below an estimate at most, in nats."""


def summarise_weights(
    log_w: Float[Tensor, "S K N"], log_pi: Float[Tensor, "S N"]
) -> dict[str, Shaped[Tensor, " N"]]:
    """Estimate, error and diagnostics from log importance weights.

    Args:
        log_w: log p(x, z) - log q(z), (S, K, N), for S strata of K draws and the mixture q.
        log_pi: The log-probabilities of the strata, (S, N); zeros for one stratum.

    The estimate is sum_s pi_s (1/K) sum_k w_sk; its variance sum_s pi_s^2 Var_k[w_sk] / K. The
    interval's variance and skewness are those of :func:`cumulants`. Its lower end is no further
    than log 40 below the estimate: by Markov's inequality the mean of unbiased weights is 40 times
    the truth, or more, with a probability of at most 1 / 40.
    """
    log_w, log_pi = log_w.double(), log_pi.double()
    num_strata, num_draws = log_w.shape[:2]
    weighted = log_w + log_pi[:, None]
    log_total = torch.logsumexp(weighted.flatten(0, 1), 0)
    hopeless = log_total == -torch.inf  # no draw gives the row any probability
    share = torch.exp(weighted - log_total.masked_fill(hopeless, 0.0))  # sums to 1, or is 0
    ess = torch.where(hopeless, 0.0, 1.0 / (share**2).sum((0, 1)))
    value = log_total - math.log(num_draws)
    if num_draws > 1:
        # Var of K * mean, in units of the total, is K * Var_k[share] in each stratum.
        error = (num_draws * share.var(1)).sum(0).sqrt()
        variance = _variance(log_w, log_pi)
        low, high = interval_of_log_mean(*cumulants(share, weighted))
        low = low.clamp(min=-MARKOV)
    else:
        error = variance = low = high = torch.full_like(ess, math.nan)
    return {
        "value": value,
        "standard_error": error,
        "low": value + low,
        "high": value + high,
        "ess": ess,
        "pareto_k": pareto_k(log_w, log_pi > -torch.inf),
        "log_weight_variance": variance,
        "draws": torch.full_like(ess, num_strata * num_draws, dtype=torch.long),
        "refinement": torch.zeros_like(ess, dtype=torch.long),
    }


def pareto_k(log_w: Float[Tensor, "S K N"], allowed: Bool[Tensor, "S N"]) -> Float[Tensor, " N"]:
    """Pareto k of all draws of the strata that a row allows, (N,).

    The tail is that of w as a function of z. Times pi_s, stray draws of a likely stratum would
    pass for a tail among those of an unlikely one, although w itself is bounded.
    """
    patterns, which = torch.unique(allowed, dim=1, return_inverse=True)
    k = log_w.new_empty(log_w.shape[-1])
    for i, strata in enumerate(patterns.unbind(1)):
        rows = which == i
        k[rows] = weight_moments(log_w[strata][:, :, rows].flatten(0, 1)).pareto_k
    return k


def cumulants(
    parts: Float[Tensor, "S K N"], log_w: Float[Tensor, "S K N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Standard error and skewness of a sum over stratified draws, (N,).

    The cumulants are those of the draws within their strata, enlarged by as much as the moments of
    :func:`weight_moments` exceed those of the draws. The tail is fitted to all strata together.

    Args:
        parts: The summands, (S, K, N).
        log_w: Log-weights whose tail is that of the parts, with the strata's probabilities,
            (S, K, N).
    """
    num_draws = parts.shape[1]
    away = parts - parts.mean(1, keepdim=True)
    variance = num_draws / (num_draws - 1) * away.square().sum((0, 1))
    third = away.pow(3).sum((0, 1))
    flat = log_w.flatten(0, 1)
    tail = weight_moments(flat)
    relative = (flat - flat.logsumexp(0)).softmax(0) * len(flat) - 1.0
    before = relative.square().sum(0) / (len(flat) - 1), relative.pow(3).mean(0)
    second, cube = (
        torch.where(old > 1e-12, new / old.clamp(min=1e-12), 1.0).clamp(min=1.0)
        for new, old in zip((tail.variance, tail.third), before, strict=True)
    )
    variance, third = variance * second, third * cube
    skewness = torch.where(variance > 1e-200, third / variance.clamp(min=1e-200) ** 1.5, 0.0)
    return variance.sqrt(), skewness


def _variance(log_w: Tensor, log_pi: Tensor) -> Tensor:
    """Variance of log w under the whole proposal, (N,): within the strata and between them.

    Infinite where a draw has weight 0.
    """
    share = log_pi.exp()
    zero = ((log_w == -torch.inf) & (share > 0)[:, None]).any(1).any(0)
    center = log_w.mean(1)
    within = torch.where(share > 0, share * log_w.var(1), 0.0).sum(0)
    middle = torch.where(share > 0, share * center, 0.0).sum(0)
    between = torch.where(share > 0, share * (center - middle) ** 2, 0.0).sum(0)
    return (within + between).masked_fill(zero, math.inf)


def equal_weights(
    log_w: Float[Tensor, "S K N"], log_pi: Float[Tensor, "S N"]
) -> Float[Tensor, "S*K N"]:
    """The weights of all strata with the strata's probabilities, (S K, N).

    The mean of their exponentials is the estimate. Single precision.
    """
    shares = log_pi + math.log(len(log_pi))
    return (log_w + shares[:, None]).flatten(0, 1).float()
