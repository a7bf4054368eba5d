"""Likelihoods put together from several estimates, see :mod:`ppl_mm.programs.conditionals`."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import torch
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.summarise import MARKOV
from ppl_mm.programs.conditionals import Alternatives, Conditional
from ppl_mm.results.log_likelihood import COLUMNS, LogLikelihood
from ppl_mm.systems import System

__all__ = ["combine_parts"]

Estimate = Callable[[Conditional, Observations], LogLikelihood]
Columns = dict[str, Tensor]


def combine_parts(
    system: System,
    obs: Observations,
    target: tuple[str, ...],
    given: tuple[str, ...],
    estimate: Estimate,
    num_samples: int,
) -> LogLikelihood:
    """log p(x_target | x_given) of every row, from the system's conditionals.

        value            log (1/n) sum_i exp J_i,   J_i = sum of alternative i's estimates E_c
        standard error   sqrt( sum_c (s_c d_c)^2 ),  d_c = sum of softmax(J)_i over the i with c

    by the delta method: the E_c are drawn independently, with standard errors s_c, and each once
    if several alternatives have it; the ends of the interval likewise, from the distances of the
    parts' ends. Where nothing is given, the lower end is no further than log 40, as the estimate of
    p is unbiased (Markov). The effective sample size, Pareto k and variance of log weights are the
    worst of the parts, even of one that weighs little. Rows that hold the same of
    target and given are estimated together.
    """
    both = (*target, *given)
    held = torch.stack([obs.present[n] for n in both], 1)
    patterns, which = torch.unique(held, dim=0, return_inverse=True)
    columns = {f: torch.zeros(len(obs), dtype=torch.float64, device=obs.device) for f in COLUMNS}
    reasons: dict[str, None] = {}
    for i, pattern in enumerate(patterns.tolist()):
        here = dict(zip(both, pattern, strict=True))
        a, b = (tuple(n for n in names if here[n]) for names in (target, given))
        alternatives = system.alternatives(a, b) if a else None
        if alternatives is not None:
            rows = (which == i).nonzero().squeeze(-1)
            found, why = _combined(alternatives, obs[rows], estimate)
            if not b:  # means of products of independent unbiased estimates are unbiased
                found["low"] = torch.maximum(found["low"], found["value"] - MARKOV)
            reasons |= dict.fromkeys(why)
            for field, column in found.items():
                columns[field][rows] = column
    result = LogLikelihood.of(columns, num_samples, target, given, "", system.modalities)
    return replace(result, reason=next(filter(None, reasons), ""))


def _combined(
    alternatives: Alternatives, obs: Observations, estimate: Estimate
) -> tuple[Columns, list[str]]:
    """The columns of rows of one pattern, and why parts are not refined."""
    chains = [[(c.target, c.given) for c in chain] for chain in alternatives]
    by_key = {(c.target, c.given): c for chain in alternatives for c in chain}
    found = {key: estimate(c, obs) for key, c in by_key.items()}
    totals = torch.stack([torch.stack([found[k].value for k in chain]).sum(0) for chain in chains])
    share = totals.softmax(0)
    parts, squares = list(found.values()), torch.zeros(3, len(obs)).to(totals)
    for key, part in found.items():
        weight = torch.stack([s for s, keys in zip(share, chains, strict=True) if key in keys])
        sides = (part.standard_error, part.value - part.low, part.high - part.value)
        squares = squares + (weight.sum(0) * torch.stack(sides)) ** 2
    value = totals.logsumexp(0) - math.log(len(chains))
    error, below, above = squares.sqrt()
    columns = {
        "value": value,
        "standard_error": error,
        "low": value - below,
        "high": value + above,
        "ess": torch.stack([p.ess for p in parts]).amin(0),
        "pareto_k": reduce(torch.fmax, [p.pareto_k for p in parts]),
        "log_weight_variance": torch.stack([p.log_weight_variance for p in parts]).amax(0),
        "draws": torch.stack([p.draws for p in parts]).amax(0).double(),
        "refinement": torch.stack([p.refinement for p in parts]).amax(0).double(),
    }
    return columns, [p.reason for p in parts]
