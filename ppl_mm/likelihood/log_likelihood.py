"""Marginal and conditional log-likelihoods by importance sampling."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.combine import Estimate, combine_parts
from ppl_mm.likelihood.estimand import Estimand, labels_alone
from ppl_mm.likelihood.importance import from_guide, from_prior
from ppl_mm.likelihood.proposals import proposal_label, proposal_of
from ppl_mm.likelihood.row_noise import same_draws
from ppl_mm.likelihood.sampling import Plan, guide_blocks, weigh
from ppl_mm.likelihood.source import label_source, source_of
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
    refine: Literal["auto", "none", "laplace", "variational", "adaptive", "annealed"] = "auto",
    denominator: Literal["posterior", "prior"] = "posterior",
    target_standard_error: float | None = None,
    max_samples: int = 100_000,
    chunk: int | None = None,
    seed: int = 0,
) -> LogLikelihood:
    """Estimate log p(x_target | x_given) of every row, with its error.

        log p(x_A)        ~  log (1/K) sum_k p(x_A, z_k) / r(z_k),     z_k ~ r
        log p(x_A | x_B)  ~  log p(x_A, x_B)  -  log p(x_B),           each as above
        log p(y | x_B)    ~  log ( sum_k w_k p(y | z_k) / sum_k w_k ), w_k = p(x_B, z_k) / r(z_k)

    Processes of ``torchrun`` that all ask divide the rows whose proposals are refined, and each has
    the whole result, that of one process.

    By default every row has a proposal r of its own, fitted to its posterior, see ``refine``. The
    third line is that of labels y (classes, or at most 32 yes-or-no values): the estimates of all
    classes are between 0 and 1 and add up to 1. Other discrete targets are estimated by the first
    two lines and cut at 0.

    The mean of the weights is unbiased, so its log is low on average (Jensen), and mostly low by
    far where Pareto k is above 0.7; a conditional, as a difference, can be off to either side.
    Training weights and beta play no part. Rows may hold anything: what a row lacks of the target
    is not scored, what it lacks of the given is not conditioned on. A model that itself conditions
    on x_C (CVAE) must be given it by every row; what is estimated is
    log p(x_A, x_B | x_C) - log p(x_B | x_C).

    A system may say that its likelihoods are put together otherwise (``meme``, see
    :mod:`ppl_mm.programs.conditionals`). Each of its conditionals is then estimated as p(x_A)
    above, with K draws of its own and the proposal for its own target and given, or if the whole
    target is labels as p(y | x_B), with its own prior as the posterior of x_B; there is no
    denominator.

    Args:
        system: A model and a guide.
        obs: The rows.
        target: The modalities A; with None, all that ``obs`` has and ``given`` does not name.
        given: The modalities B; with None, there are none.
        num_samples: The number of draws K of each row.
        proposal: The proposal r of log p(x_A) or log p(x_A, x_B), from which refinement starts.
            ``"joint"`` is the posterior given target and given, the best choice for a good guide.
            ``"given"`` is the posterior given x_B alone, for the papers' comparisons. ``"prior"``
            is the model's prior. ``"defensive"`` mixes nine tenths "joint" and one tenth prior,
            drawn in equal numbers and never refined; its weights are bounded, and its draws reach
            modes that the guide misses. A sequence of names is the posterior given those
            modalities, such as q(z | x1) for log p(x1, x2). For labels no proposal looks at the
            label.
        refine: Whether every row gets its own proposal, see :mod:`ppl_mm.likelihood.refined`.
            ``"auto"`` uses as many stages as each row needs, which a pilot decides that the
            estimate does not use. It uses the draws of ``proposal`` alone if a latent is discrete
            or shared by all rows, for fewer than 100 draws, or for a defensive proposal; the result
            then states the reason. ``"none"`` uses these draws for every row, as the papers'
            estimator does. A stage's name applies this stage to all rows. The refined result of a
            row does not depend on the other rows, and equal rows have equal draws.
        denominator: The estimator of log p(x_B). ``"posterior"`` estimates it as log p(x_A), from
            q(z | x_B), or from its defensive mixture if ``proposal`` is "defensive". ``"prior"``
            uses 5 K draws from the prior that all rows share, as in the MVAE paper. This is good if
            a large share of all z explains x_B, as for a label. If the model conditions on a
            modality, its prior may depend on it, and every row has its own draws.
        target_standard_error: The standard error, in nats, to reach. The draws of a row whose error
            is larger, or whose error is unreliable by a Pareto k above 0.7, are doubled until the
            target is reached. A row stops when its error looks small, so its true error is slightly
            larger. With None, every row has K draws.
        max_samples: The most draws of a row; each part of a conditional may have this number.
        chunk: The most (draw, row) pairs that are decoded at a time. It bounds the memory and
            does not change the result beyond rounding. With None, it is 2**14, or the number that
            keeps the output of each module of a decoder within 2**26 numbers.
        seed: The seed of the draws; torch's own generators are left as they were.

    Returns:
        Values, standard errors, 95 % intervals, effective sample sizes and Pareto k, see
        :class:`ppl_mm.evaluation.LogLikelihood`.

    Raises:
        ValueError: For unknown modalities, target and given that overlap, no samples, or a target
            error that is not above 0; for a density of what the model conditions on, or rows that
            lack it; for a stage by name that the latents do not allow, or a defensive proposal.

    Warns:
        UnreliableLikelihoodWarning: Naming the rows whose weights have too heavy a tail.

    Source: Wu & Goodman 2018, arXiv:1802.05335, section 5 and appendix D; Burda et al. 2016.
    Refined proposals and the estimate of labels are ours.
    """
    chunk = check_and_size(system, obs, chunk)
    names, given_names = asked_names(obs, target, given)
    check_answerable(system.model, obs, names, given_names)
    plan = Plan(num_samples, chunk, target_standard_error, max_samples)
    if refine not in ("auto", "none") and proposal == "defensive":
        raise ValueError(
            "refine: a refined proposal keeps a share of the guide, not of the defensive mixture; "
            "leave out proposal='defensive', or refine."
        )
    obs = obs.to(system)
    rest = tuple(n for n in given_names if n not in conditioned_on(system.model))
    labels = bool(given_names) and labels_alone(system.modalities, obs, names)
    with evaluating(system, seed):
        if system.alternatives(names, given_names) is not None:
            # A chain has as many conditionals as targets at most, each scored once.
            each = plan.among(len(names))
            estimate = _conditional(system, proposal, each, refine, seed, shares=labels)
            result = combine_parts(system, obs, names, given_names, estimate, num_samples)
            if bool(result.refinement.any()):
                result = result.sharing(same_draws(obs.scoring(*names).given(*given_names)))
            evidence: tuple[str, ...] = (*names, *given_names)
        elif labels:
            source = label_source(system, obs, given_names, proposal, plan, refine, seed)
            (result,) = source.answers([Estimand(names, rest)])
            proposal, evidence = _label_proposal(proposal), source.evidence
        else:
            sampler, evidence = proposal_of(proposal, obs, names, given_names)
            each = plan.among(2 if rest else 1)
            both, other = (*names, *rest), None
            if rest and denominator == "prior":  # first, so that its draws rest on the seed alone
                other = _by_prior(system, obs, rest, given_names, each)
            source = source_of(system, obs, both, sampler, evidence, each, refine, seed, once=True)
            (result,) = source.answers([Estimand(both)])
            if rest and other is None:
                own = sampler if proposal == "defensive" else from_guide
                below = source_of(
                    system, obs, rest, own, given_names, each, refine, seed, once=True
                )
                (other,) = below.answers([Estimand(rest)])
            result = result if other is None else result.minus(other)
    result = replace(result, given=given_names, proposal=proposal_label(proposal, evidence))
    result = certain(result, obs, system.modalities)
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
            source = source_of(system, obs, union, sampler, evidence, plan, "none", seed)
            results = source.answers([Estimand(group) for group in groups])
        else:
            estimate = _conditional(system, proposal, plan, "none", seed, shares=False)
            results = [combine_parts(system, obs, g, (), estimate, num_samples) for g in groups]
    label = proposal_label(proposal, evidence)
    results = [certain(replace(r, proposal=label), obs, system.modalities) for r in results]
    for result in results:
        result.warn_if_unreliable()
    return results


def _conditional(
    system: System,
    proposal: str | Sequence[str],
    plan: Plan,
    refine: str,
    seed: int,
    *,
    shares: bool,
) -> Estimate:
    """Return the estimator of one conditional of a system, for rows that hold all of it.

    With ``shares``, p(y | x_B) of labels y is estimated from draws that do not look at y, so that
    the classes add up to 1. Among other factors its draws look at y, as those of p(x_A) do at x_A.
    """

    def estimate(conditional: Conditional, rows: Observations) -> LogLikelihood:
        target, given, model = conditional
        one = System(model, system.guide, system.objective)
        if shares and given:
            source = label_source(one, rows, given, proposal, plan, refine, seed, prior=True)
            (result,) = source.answers([Estimand(target, ())])
        else:
            sampler, evidence = proposal_of(proposal, rows, target, given)
            source = source_of(one, rows, target, sampler, evidence, plan, refine, seed, once=True)
            (result,) = source.answers([Estimand(target)])
        return result

    return estimate


def _label_proposal(proposal: str | Sequence[str]) -> str | Sequence[str]:
    """Return the name of the proposal of a label's draws, which do not look at the label."""
    return "given" if proposal == "joint" else proposal


def _by_prior(
    system: System,
    obs: Observations,
    rest: tuple[str, ...],
    given: tuple[str, ...],
    plan: Plan,
) -> LogLikelihood:
    """log p(x_rest) from 5 K draws of the prior, which all rows share; equal rows are scored once.

    ``given`` is the rest and what the model conditions on; the prior of a model that conditions on
    something may depend on it, so that every row has draws of its own.
    """
    plan = replace(plan, num_samples=5 * plan.num_samples, max_samples=5 * plan.max_samples)
    if conditioned_on(system.model):
        source = source_of(system, obs, rest, from_prior, given, plan, "none", 0)
        (result,) = source.answers([Estimand(rest)])
        return result
    first, which = _distinct(obs, rest)
    distinct = obs[first]
    shared = from_prior(system.model, system.guide, distinct[0], plan.num_samples)
    parts = guide_blocks(system, distinct, from_prior, rest, plan, shared)
    (found,) = weigh(system, distinct, [Estimand(rest)], parts, plan)
    columns = {field: getattr(found, field)[which] for field in COLUMNS}
    result = LogLikelihood.of(columns, plan.num_samples, rest, (), "", system.modalities)
    result = result.sharing(torch.zeros_like(result.draws))
    return replace(result, shared_error=result.standard_error)


def _distinct(obs: Observations, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The first of all rows that hold the same of some modalities, and which of these each is."""
    held = [obs.present[n][:, None] for n in names]
    values = [obs.values[n].reshape(len(obs), -1).double() for n in names]
    columns = [x.masked_fill(~mask, 0.0) for x, mask in zip(values, held, strict=True)]
    holes = [obs.elements[n].flatten(1) for n in names if n in obs.elements]
    read = [x.reshape(len(obs), -1).double() for x in obs.covariates.values()]
    masks = [mask.double() for mask in (*held, *holes)]
    _, which = torch.unique(torch.cat(columns + masks + read, 1), dim=0, return_inverse=True)
    first = torch.full((int(which.max()) + 1,), len(obs), device=which.device)
    positions = torch.arange(len(obs), device=which.device)
    return first.scatter_reduce(0, which, positions, "amin"), which
