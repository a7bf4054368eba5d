"""The source of an estimate's draws: a sampler as it is, or proposals refined by row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.estimand import Estimand
from ppl_mm.likelihood.importance import Sampler, from_guide, from_prior
from ppl_mm.likelihood.joined import joined
from ppl_mm.likelihood.proposals import proposal_of
from ppl_mm.likelihood.refined import refined_blocks, unrefinable
from ppl_mm.likelihood.row_noise import RowNoise, equal_rows, first_of_each, row_keys, same_draws
from ppl_mm.likelihood.sampling import (
    WEIGHTS_KEPT,
    Block,
    Noise,
    Plan,
    guide_blocks,
    torchs_own,
    weigh,
)
from ppl_mm.likelihood.sampling import blocks as row_blocks
from ppl_mm.processes import own_share
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.results.log_likelihood import LogLikelihood
from ppl_mm.systems import System

__all__ = ["Source", "label_source", "source_of"]

_FEWEST = 100  # Fewer draws are not worth a refinement's pilot draws.


@dataclass(frozen=True)
class Source:
    """The draws of all rows, block by block.

    Attributes:
        system: The system whose model scores them.
        obs: The rows.
        names: The modalities whose posterior the draws approach.
        evidence: The modalities that the guide looks at.
        plan: The number of draws.
        blocks: The blocks; they are made as they are asked for, once.
        by_row: Whether the draws are a row's own, whatever rows stand beside it, so that equal rows
            have the same.
        reason: Why they have not, though they were to; "" else.
        own: The rows of the blocks, in order; None for all. Other processes answer the others.
        which: For every row that was asked for, the one of ``obs`` that is equal, where these are
            estimated once; None where ``obs`` is what was asked for.
    """

    system: System
    obs: Observations
    names: tuple[str, ...]
    evidence: tuple[str, ...]
    plan: Plan
    blocks: Iterable[Block]
    by_row: bool
    reason: str
    own: Tensor | None
    which: Tensor | None = None

    def answers(self, estimands: Sequence[Estimand]) -> list[LogLikelihood]:
        """The answer to each estimand in every row."""
        rows = self.obs if self.own is None else self.obs[self.own]
        found = weigh(self.system, rows, estimands, self.blocks, self.plan)
        if self.own is not None:
            found = [joined(result, self.own, self.system.modalities) for result in found]
        if self.which is not None:
            found = [_at(result, self.which) for result in found]
        elif self.by_row:
            draws = same_draws(self.obs.scoring(*self.names).given(*self.evidence))
            found = [result.sharing(draws) for result in found]
        return [replace(result, reason=self.reason) for result in found]


def source_of(
    system: System,
    obs: Observations,
    names: tuple[str, ...],
    sampler: Sampler,
    evidence: tuple[str, ...],
    plan: Plan,
    refine: str,
    seed: int,
    noise: Noise = torchs_own,
    *,
    once: bool = False,
) -> Source:
    """Draws near the posterior of x_names.

    Args:
        system: A model and a guide.
        obs: The rows.
        names: The modalities whose posterior is approached.
        sampler: The base of the proposals, or all of them.
        evidence: The modalities that the guide looks at.
        plan: The number of draws.
        refine: See :func:`ppl_mm.log_likelihood`.
        seed: The seed of refined draws, and of other blocks of rows than the first.
        noise: See :func:`ppl_mm.likelihood.sampling.guide_blocks`.
        once: Whether equal rows are estimated once, which have equal draws if these are refined.
            Then nothing but x_names may be scored.
    """
    reason = _reason(system, obs, sampler, evidence, plan) if refine == "auto" else ""
    refined = refine != "none" and not reason
    asked = f"log p({', '.join(names)}) of {len(obs)} rows, seed {seed}"
    which = None
    if refined and once:
        obs, which = _distinct(system, obs, names, evidence)
    if refined:
        prior = sampler is from_prior
        share = own_share(len(obs), asked)
        parts = list(torch.arange(len(obs)).split(1))
        made = refined_blocks(
            system, obs[share], names, evidence, plan, refine=refine, seed=seed, from_prior=prior
        )
    else:
        parts = row_blocks(system, obs, plan.rows_at_once)
        share = own_share(len(parts), asked)
        made = guide_blocks(system, obs, sampler, evidence, plan, noise=noise, seed=seed, own=share)
    own = None if share == slice(None) else torch.cat(parts[share]).sort().values
    by_row = refined or noise is not torchs_own
    return Source(system, obs, names, evidence, plan, made, by_row, reason, own, which)


def label_source(
    system: System,
    obs: Observations,
    given: tuple[str, ...],
    proposal: str | Sequence[str],
    plan: Plan,
    refine: str,
    seed: int,
    *,
    prior: bool = False,
) -> Source:
    """Draws near the posterior of x_given, for labels, whatever these are.

    So the estimates of all classes rest on the same draws, and add up to 1. All draws are the row's
    own, whatever rows stand beside it. Where the model's
    prior already is that posterior, it is drawn from as it is.

    Args:
        system: A model and a guide.
        obs: The rows.
        given: The modalities B of p(y | x_B).
        proposal: See :func:`ppl_mm.log_likelihood`; "joint" is "given" here, and of a sequence of
            names those count that are given.
        plan: The number of draws.
        refine: See :func:`ppl_mm.log_likelihood`.
        seed: See :func:`source_of`.
        prior: Whether the model's prior is the posterior of x_given; so it is too where the model
            conditions on all that is given.
    """
    rest = tuple(n for n in given if n not in conditioned_on(system.model))
    rest = () if prior else rest
    if not isinstance(proposal, str):
        proposal = [n for n in proposal if n in given]
    sampler, evidence = proposal_of(proposal, obs, (), given)
    if not rest and proposal == "joint":
        sampler, evidence, refine = from_prior, given, "none"
    noise = partial(_noise, seed)
    return source_of(system, obs, rest, sampler, evidence, plan, refine, seed, noise)


def _at(result: LogLikelihood, which: Tensor) -> LogLikelihood:
    """The result of rows that are equal to those of another, and so have the same error."""
    weights = result.log_weights
    if weights is not None and len(weights) * len(which) > WEIGHTS_KEPT:
        result = replace(result, log_weights=None)
    return result.at(which).sharing(which)


def _distinct(
    system: System, obs: Observations, names: Sequence[str], evidence: Sequence[str]
) -> tuple[Observations, Tensor | None]:
    """The rows that have proposals of their own, and which of them each row equals."""
    which = equal_rows(system.model, obs, names, evidence)
    first = first_of_each(which)
    return (obs, None) if len(first) == len(which) else (obs[first], which)


def _noise(seed: int, obs: Observations, round: int) -> RowNoise:
    """The random numbers of rows, whatever rows stand beside them."""
    return RowNoise(row_keys(obs.scoring()), seed, f"prior {round}")


def _reason(
    system: System, obs: Observations, sampler: Sampler, evidence: Sequence[str], plan: Plan
) -> str:
    """The reason why proposals are not refined; "" if they are."""
    if sampler is not from_guide and sampler is not from_prior:
        return "proposal='defensive' is taken as it is"
    if plan.num_samples < _FEWEST:
        return f"fewer than {_FEWEST} draws a row"
    guide = None if sampler is from_prior else system.guide
    return unrefinable(system, guide, obs[:1].given(*evidence))
