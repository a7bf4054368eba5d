"""log p(outcome | given) from weights of the given and probabilities of the outcome."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ppl_mm.likelihood.summarise import MARKOV, cumulants, summarise_weights
from ppl_mm.likelihood.tails import interval_of_log_share

__all__ = ["summarise_shares"]


def summarise_shares(
    log_w: Float[Tensor, "S K N"], log_h: Float[Tensor, "S K N"], log_pi: Float[Tensor, "S N"]
) -> dict[str, Shaped[Tensor, " N"]]:
    """Estimate, error and diagnostics of log p, p the weighted mean of probabilities h.

        p  =  sum_s pi_s sum_k w_sk h_sk  /  sum_s pi_s sum_k w_sk,      0 <= h <= 1

    p is between 0 and 1, and adds up to 1 over outcomes whose h do, whatever the weights. Its
    variance is that of the mean of w (h - p) over the mean of w (delta method), enlarged where the
    fitted tail of w h, or of w (1 - h) if that is the smaller part, varies more than the draws do.
    The interval is one of the log-odds, so its upper end is below 0; its lower end is no further
    below than that of :func:`summarise_weights`.

    Args:
        log_w: Log-weights, (S, K, N): S strata of K draws each.
        log_h: log h at the same draws, (S, K, N).
        log_pi: Log-probabilities of the strata, (S, N).
    """
    eps = torch.finfo(log_h.dtype).eps  # The largest 1 - h where log h is 0.
    log_w, log_h, log_pi = log_w.double(), log_h.double().clamp(max=0.0), log_pi.double()
    num_draws = log_w.shape[1]
    base, hit = (summarise_weights(x, log_pi) for x in (log_w, log_w + log_h))
    total = base["value"]
    unknown = total == -torch.inf
    total = total.masked_fill(unknown, 0.0)
    log_miss = torch.log(-torch.expm1(log_h) + eps)
    weighted = log_w + log_pi[:, None] - total - math.log(num_draws)
    log_p = (hit["value"] - total).masked_fill(unknown, -torch.inf).clamp(max=0.0)
    log_q = torch.logsumexp((weighted + log_miss).flatten(0, 1), 0).clamp(max=0.0)
    found = {**hit, "value": log_p, "ess": torch.minimum(base["ess"], hit["ess"])}
    found["pareto_k"] = torch.fmax(base["pareto_k"], hit["pareto_k"])
    if num_draws == 1:
        return found
    pull = weighted.exp() * (log_h - log_p.nan_to_num(neginf=0.0)).expm1()  # w (h - p) / p
    rare = (log_p <= log_q)[None, None]
    error, skewness = cumulants(pull, weighted + torch.where(rare, log_h, log_miss))
    plain = num_draws / (num_draws - 1) * (pull - pull.mean(1, keepdim=True)).square().sum((0, 1))
    found["standard_error"] = plain.sqrt()
    low, high = interval_of_log_share(log_p, log_q, error, skewness)
    low = torch.minimum(torch.maximum(low, log_p - MARKOV), log_p)
    return {**found, "low": low, "high": torch.maximum(high, log_p)}
