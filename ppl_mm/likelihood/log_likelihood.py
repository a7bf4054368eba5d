"""Marginal and conditional log-likelihoods by importance sampling."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.combine import Estimate, combine_parts
from ppl_mm.likelihood.importance import Draws, Sampler, from_guide, from_prior, shared_by
from ppl_mm.likelihood.proposals import proposal_label, proposal_of
from ppl_mm.likelihood.refined import refinable, weigh_refined
from ppl_mm.likelihood.sampling import Plan, weigh
from ppl_mm.likelihood.targets import asked_names, certain
from ppl_mm.programs.answerable import check_answerable, conditioned_on
from ppl_mm.programs.conditionals import Conditional
from ppl_mm.results.log_likelihood import COLUMNS, LogLikelihood
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["log_likelihood", "log_likelihoods"]


@typed
def log_likelihood(
    system: System,
    obs: Observations,
    target: str | Sequence[str] | None = None,
    given: str | Sequence[str] | None = None,
    num_samples: int = 1000,
    proposal: str | Sequence[str] = "joint",
    *,
    refine: Literal["auto", "none", "laplace", "variational", "adaptive", "annealed"] = "none",
    denominator: str = "posterior",
    target_standard_error: float | None = None,
    max_samples: int = 100_000,
    chunk: int | None = None,
    seed: int = 0,
) -> LogLikelihood:
    """Estimate log p(x_target | x_given) of every row, with its error.

        log p(x_A)        ~  log (1/K) sum_k p(x_A, z_k) / r(z_k),     z_k ~ r
        log p(x_A | x_B)  ~  log p(x_A, x_B)  -  log p(x_B),           each as above

    The mean of the weights is unbiased, its log is low by about the squared standard error over
    two (Jensen); a conditional, as a difference, can be off to either side. Training weights and
    beta play no part. Rows may hold anything: what a row lacks of the target is not scored, what
    it lacks of the given is not conditioned on. A model that itself conditions on x_C (CVAE) must
    be given it by every row; what is estimated is log p(x_A, x_B | x_C) - log p(x_B | x_C).

    A system may say that its likelihoods are put together otherwise (``meme``, see
    :mod:`ppl_mm.programs.conditionals`). Each of its conditionals is then estimated as p(x_A)
    above, with K draws of its own and the proposal for its own target and given; there is no
    denominator.

    Args:
        system: A model and a guide.
        obs: The rows.
        target: The modalities A; None is all that ``obs`` has and is not given.
        given: The modalities B; None is none.
        num_samples: K.
        proposal: The r of log p(x_A) or log p(x_A, x_B). ``"joint"``: the posterior of target
            and given together, the best where the guide is good. ``"given"``: that of the
            given, which knows nothing of the target: for the papers' comparisons. ``"prior"``:
            the model's prior. ``"defensive"``: nine tenths "joint" and one tenth prior, drawn in
            equal numbers: bounded weights, for guides that may be too narrow. A sequence of
            names: the posterior of those, such as q(z | x1) for log p(x1, x2).
        refine: Whether every row gets a proposal of its own, see
            :mod:`ppl_mm.likelihood.refined`. ``"none"``: the draws of ``proposal``, the papers' own
            estimator. ``"auto"``: stages as each row needs them, by a pilot that the estimate does
            not use; the rows are those of ``proposal`` where a latent is discrete. Or one stage for
            all rows, by name. The result of a row is then the same whatever rows stand beside it.
        denominator: How log p(x_B) is estimated. ``"posterior"``: with q(z | x_B), the better
            where x_B is informative (an image); its defensive mixture where ``proposal`` is
            "defensive". ``"prior"``: with 5 K draws from the prior that
            all rows share, as in the MVAE paper; good where x_B is a label or the like, which a
            fair share of all z explain, and free of the guide's errors. Of a model that conditions
            on something, whose prior may depend on it, every row has its own draws.
        target_standard_error: Nats. The draws of a row whose standard error is larger, or whose
            Pareto k above 0.7 says that it cannot be believed, are doubled until it is not. A row
            that stops where its error looks small has a slightly larger one. None: K for every row.
        max_samples: At most so many draws of a row; a conditional's parts have so many each.
        chunk: At most so many (draw, row) pairs are decoded at a time. It bounds the memory and
            does not change the result beyond rounding. None: 2**14, or as many as keep what a
            module of a decoder gives within 2**26 numbers.
        seed: Of the draws; torch's own generators are left as they were.

    Returns:
        Values, standard errors, 95 % intervals, effective sample sizes and Pareto k, see
        :class:`ppl_mm.evaluation.LogLikelihood`.

    Raises:
        ValueError: For unknown modalities, target and given that overlap, no samples, or a target
            error that is not above 0; for a density of what the model conditions on, or rows that
            lack it; for a refined proposal that is "defensive", or has the prior's denominator.

    Warns:
        UnreliableLikelihoodWarning: Naming the rows whose weights have too heavy a tail.

    Source: Wu & Goodman 2018, arXiv:1802.05335, section 5 and appendix; Burda et al. 2016.
    """
    chunk = check_and_size(system, obs, chunk)
    names, given_names = asked_names(obs, target, given)
    check_answerable(system.model, obs, names, given_names)
    plan = Plan(num_samples, chunk, target_standard_error, max_samples)
    if denominator not in ("posterior", "prior"):
        raise ValueError(f"denominator: expected 'posterior' or 'prior', got {denominator!r}.")
    if refine != "none" and (proposal == "defensive" or denominator == "prior"):
        raise ValueError(
            "refine: a refined proposal keeps a share of the guide, and a denominator of its own; "
            "leave out proposal='defensive' and denominator='prior', or refine='none'."
        )
    obs = obs.to(system)
    rest = tuple(n for n in given_names if n not in conditioned_on(system.model))
    sampler, evidence = proposal_of(proposal, obs, names, given_names)
    with evaluating(system, seed):
        if system.alternatives(names, given_names) is not None:
            # A chain has as many conditionals as targets at most, each scored once.
            estimate = _conditional(system, proposal, plan.among(len(names)), refine, seed)
            result = combine_parts(system, obs, names, given_names, estimate, num_samples)
        else:
            each = plan.among(2 if rest else 1)
            both = (*names, *rest)
            if refine == "none":
                (result,) = _estimate(system, obs, [both], sampler, evidence, each)
            else:
                result = _refined(system, obs, both, sampler, evidence, each, refine, seed)
            if rest and refine != "none":
                below = _refined(system, obs, rest, from_guide, given_names, each, refine, seed)
                result = result.minus(below)
            elif rest:
                own = sampler if proposal == "defensive" else from_guide
                below = _denominator(system, obs, rest, given_names, own, denominator, each)
                result = result.minus(below)
    result = replace(result, given=given_names, proposal=proposal_label(proposal, evidence))
    result = certain(result, obs)
    result.warn_if_unreliable()
    return result


@typed
def log_likelihoods(
    system: System,
    obs: Observations,
    targets: Sequence[Sequence[str]],
    num_samples: int = 1000,
    proposal: Sequence[str] | str = "joint",
    *,
    chunk: int | None = None,
    seed: int = 0,
) -> list[LogLikelihood]:
    """log p(x_A) for several A from one set of draws, each decoded once.

    As :func:`log_likelihood` without ``given``, for tables: log p(x1) and log p(x1, x2) with the
    same proposal cost one pass. ``"joint"`` is the posterior of everything in any target. The
    errors of the estimates are correlated, so take differences of their values with care.
    """
    chunk = check_and_size(system, obs, chunk)
    groups = [asked_names(obs, target, None)[0] for target in targets]
    for names in groups:
        check_answerable(system.model, obs, names, ())
    plan = Plan(num_samples, chunk)
    obs = obs.to(system)
    union = tuple(dict.fromkeys(n for names in groups for n in names))
    sampler, evidence = proposal_of(proposal, obs, union, ())
    with evaluating(system, seed):
        if system.alternatives(union, ()) is None:
            results = _estimate(system, obs, groups, sampler, evidence, plan)
        else:
            estimate = _conditional(system, proposal, plan)
            results = [combine_parts(system, obs, g, (), estimate, num_samples) for g in groups]
    label = proposal_label(proposal, evidence)
    results = [certain(replace(r, proposal=label), obs) for r in results]
    for result in results:
        result.warn_if_unreliable()
    return results


def _estimate(
    system: System,
    obs: Observations,
    groups: Sequence[tuple[str, ...]],
    sampler: Sampler,
    evidence: tuple[str, ...],
    plan: Plan,
) -> list[LogLikelihood]:
    """log p(x_names) for each group of names, with draws given ``evidence``."""

    def draw(batch: Observations) -> Draws:
        return sampler(system.model, system.guide, batch.given(*evidence), plan.num_samples)

    return weigh(system, obs, groups, draw, plan)


def _refined(
    system: System,
    obs: Observations,
    names: tuple[str, ...],
    sampler: Sampler,
    evidence: tuple[str, ...],
    plan: Plan,
    refine: str,
    seed: int,
) -> LogLikelihood:
    """log p(x_names), from a proposal of every row's own where the latents have gradients."""
    prior = sampler is from_prior
    if refine == "auto" and not refinable(system, None if prior else system.guide, obs[:1]):
        (result,) = _estimate(system, obs, [names], sampler, evidence, plan)
        return result
    columns = weigh_refined(
        system, obs, names, evidence, plan, refine=refine, seed=seed, from_prior=prior
    )
    return LogLikelihood.of(columns, plan.num_samples, names, (), "", system.modalities)


def _conditional(
    system: System, proposal: str | Sequence[str], plan: Plan, refine: str = "none", seed: int = 0
) -> Estimate:
    """What estimates one conditional of a system, for rows that hold all of it."""

    def estimate(conditional: Conditional, rows: Observations) -> LogLikelihood:
        target, given, model = conditional
        sampler, evidence = proposal_of(proposal, rows, target, given)
        one = System(model, system.guide, system.objective)
        if refine != "none":
            return _refined(one, rows, target, sampler, evidence, plan, refine, seed)
        (result,) = _estimate(one, rows, [target], sampler, evidence, plan)
        return result

    return estimate


def _denominator(
    system: System,
    obs: Observations,
    rest: tuple[str, ...],
    given: tuple[str, ...],
    sampler: Sampler,
    kind: str,
    plan: Plan,
) -> LogLikelihood:
    """log p(x_rest), where ``given`` is the rest and what the model conditions on."""
    if kind == "posterior":
        (result,) = _estimate(system, obs, [rest], sampler, given, plan)
        return result
    plan = replace(plan, num_samples=5 * plan.num_samples, max_samples=5 * plan.max_samples)
    if conditioned_on(system.model):
        (result,) = _estimate(system, obs, [rest], from_prior, given, plan)
        return result
    return _shared(system, obs, rest, plan)


def _shared(system: System, obs: Observations, names: tuple[str, ...], plan: Plan) -> LogLikelihood:
    """log p(x_names) from one set of prior draws for all rows; equal rows are scored once."""
    held = [obs.present[n][:, None] for n in names]
    values = [obs.values[n].reshape(len(obs), -1).double() for n in names]
    columns = [x.masked_fill(~mask, 0.0) for x, mask in zip(values, held, strict=True)]
    holes = [obs.elements[n].flatten(1) for n in names if n in obs.elements]
    masks = [mask.double() for mask in (*held, *holes)]
    _, which = torch.unique(torch.cat(columns + masks, 1), dim=0, return_inverse=True)
    first = torch.full((int(which.max()) + 1,), len(obs), device=which.device)
    positions = torch.arange(len(obs), device=which.device)
    distinct = obs[first.scatter_reduce(0, which, positions, "amin")]

    def own(rows: Observations) -> Draws:
        return from_prior(system.model, system.guide, rows, plan.num_samples)

    shared = own(distinct[0])
    (result,) = weigh(
        system, distinct, [names], lambda rows: shared_by(shared, len(rows)), plan, again=own
    )
    joined: dict[str, Any] = {f: getattr(result, f)[which] for f in COLUMNS}
    return replace(result, **joined, shared_error=joined["standard_error"])
