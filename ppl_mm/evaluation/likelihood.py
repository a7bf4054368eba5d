"""Marginal and conditional log-likelihoods by importance sampling."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from ppl_mm.checks import check_at_least_one
from ppl_mm.conditionals import Conditional
from ppl_mm.evaluation.conditioned import check_question, conditioned_on
from ppl_mm.evaluation.importance import (
    Draws,
    Sampler,
    from_guide,
    from_mixture,
    from_prior,
    log_weights_of,
    shared_by,
)
from ppl_mm.evaluation.quietly import evaluating
from ppl_mm.evaluation.result import LogLikelihood, summarise_weights
from ppl_mm.evaluation.together import Estimate, put_together
from ppl_mm.modality import unknown_name
from ppl_mm.observations import Observations
from ppl_mm.systems import System

__all__ = ["log_likelihood", "log_likelihoods"]

_PRIOR_SHARE = 0.1  # of the defensive mixture
_DRAWS_AT_ONCE = 2**17  # (draw, row) pairs whose latents are held at a time


def log_likelihood(
    system: System,
    obs: Observations,
    target: str | Sequence[str] | None = None,
    given: str | Sequence[str] | None = None,
    num_samples: int = 1000,
    proposal: str | Sequence[str] = "joint",
    *,
    denominator: str = "posterior",
    chunk: int = 2**14,
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
    :mod:`ppl_mm.conditionals`). Each of its conditionals is then estimated as p(x_A) above, with
    K draws of its own and the proposal for its own target and given; there is no denominator.

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
        denominator: How log p(x_B) is estimated. ``"posterior"``: with q(z | x_B), the better
            where x_B is informative (an image); its defensive mixture where ``proposal`` is
            "defensive". ``"prior"``: with 5 K draws from the prior that
            all rows share, as in the MVAE paper; good where x_B is a label or the like, which a
            fair share of all z explain, and free of the guide's errors. Of a model that conditions
            on something, whose prior may depend on it, every row has its own draws.
        chunk: At most so many (draw, row) pairs are decoded at a time. It bounds the memory and
            does not change the result beyond rounding.
        seed: Of the draws; torch's own generators are left as they were.

    Returns:
        Values, standard errors, effective sample sizes and Pareto k, see
        :class:`ppl_mm.evaluation.LogLikelihood`.

    Raises:
        ValueError: For unknown modalities, target and given that overlap, or no samples; for a
            density of what the model conditions on, or rows that lack it.

    Warns:
        UnreliableLikelihoodWarning: Naming the rows whose weights have too heavy a tail.

    Source: Wu & Goodman 2018, arXiv:1802.05335, section 5 and appendix; Burda et al. 2016.
    """
    system.check(obs)
    names, given_names = _names(obs, target, given)
    check_question(system.model, obs, names, given_names)
    _check_numbers(num_samples, chunk)
    if denominator not in ("posterior", "prior"):
        raise ValueError(f"denominator: expected 'posterior' or 'prior', got {denominator!r}.")
    obs = obs.to(system.device)
    rest = tuple(n for n in given_names if n not in conditioned_on(system.model))
    sampler, evidence = _proposal(proposal, obs, names, given_names)
    with evaluating(system, seed):
        if system.alternatives(names, given_names) is None:
            sites = (*names, *rest)
            (result,) = _estimate(system, obs, [sites], sampler, evidence, num_samples, chunk)
        else:
            rest, estimate = (), _conditional(system, proposal, num_samples, chunk)
            result = put_together(system, obs, names, given_names, estimate, num_samples)
        if rest and denominator == "posterior":
            own = sampler if proposal == "defensive" else from_guide
            (below,) = _estimate(system, obs, [rest], own, given_names, num_samples, chunk)
            result = result.minus(below)
        elif rest and conditioned_on(system.model):
            num = 5 * num_samples
            (below,) = _estimate(system, obs, [rest], from_prior, given_names, num, chunk)
            result = result.minus(below)
        elif rest:
            result = result.minus(_shared(system, obs, rest, 5 * num_samples, chunk))
    result = replace(result, given=given_names, proposal=_label(proposal, evidence))
    result = _certain(result, obs)
    result.warn_if_unreliable()
    return result


def log_likelihoods(
    system: System,
    obs: Observations,
    targets: Sequence[Sequence[str]],
    num_samples: int = 1000,
    proposal: Sequence[str] | str = "joint",
    *,
    chunk: int = 2**14,
    seed: int = 0,
) -> list[LogLikelihood]:
    """log p(x_A) for several A from one set of draws, each decoded once.

    As :func:`log_likelihood` without ``given``, for tables: log p(x1) and log p(x1, x2) with the
    same proposal cost one pass. ``"joint"`` is the posterior of everything in any target. The
    errors of the estimates are correlated, so take differences of their values with care.
    """
    system.check(obs)
    groups = [_names(obs, target, None)[0] for target in targets]
    for names in groups:
        check_question(system.model, obs, names, ())
    _check_numbers(num_samples, chunk)
    obs = obs.to(system.device)
    union = tuple(dict.fromkeys(n for names in groups for n in names))
    sampler, evidence = _proposal(proposal, obs, union, ())
    with evaluating(system, seed):
        if system.alternatives(union, ()) is None:
            results = _estimate(system, obs, groups, sampler, evidence, num_samples, chunk)
        else:
            estimate = _conditional(system, proposal, num_samples, chunk)
            results = [put_together(system, obs, g, (), estimate, num_samples) for g in groups]
    results = [_certain(replace(r, proposal=_label(proposal, evidence)), obs) for r in results]
    for result in results:
        result.warn_if_unreliable()
    return results


def _certain(result: LogLikelihood, obs: Observations) -> LogLikelihood:
    """Exactly 0, without error, in the rows that hold nothing of the target."""
    held = torch.stack([obs.present[n] for n in result.target]).any(0)
    ess = torch.where(held, result.ess, float(result.num_samples))
    fields = ("value", "standard_error", "pareto_k", "log_weight_variance", "shared_error")
    zeroed: dict[str, Any] = {f: torch.where(held, getattr(result, f), 0.0) for f in fields}
    return replace(result, ess=ess, **zeroed)


_LABELS = {
    "joint": "joint posterior",
    "given": "posterior of the given",
    "prior": "prior",
    "defensive": "defensive mixture",
}


def _label(proposal: str | Sequence[str], evidence: Sequence[str]) -> str:
    if isinstance(proposal, str):
        return _LABELS[proposal]
    return f"posterior of {', '.join(evidence)}"


def _estimate(
    system: System,
    obs: Observations,
    groups: Sequence[tuple[str, ...]],
    sampler: Sampler,
    evidence: tuple[str, ...],
    num_samples: int,
    chunk: int,
) -> list[LogLikelihood]:
    """log p(x_names) for each group of names, with draws given ``evidence``."""

    def draw(batch: Observations) -> Draws:
        return sampler(system.model, system.guide, batch.given(*evidence), num_samples)

    return _weigh(system, obs, groups, draw, num_samples, chunk)


def _conditional(
    system: System, proposal: str | Sequence[str], num_samples: int, chunk: int
) -> Estimate:
    """What estimates one conditional of a system, for rows that hold all of it."""

    def estimate(conditional: Conditional, rows: Observations) -> LogLikelihood:
        target, given, model = conditional
        sampler, evidence = _proposal(proposal, rows, target, given)
        one = System(model, system.guide, system.objective)
        (result,) = _estimate(one, rows, [target], sampler, evidence, num_samples, chunk)
        return result

    return estimate


def _weigh(
    system: System,
    obs: Observations,
    groups: Sequence[tuple[str, ...]],
    draw: Callable[[Observations], Draws],
    num_samples: int,
    chunk: int,
) -> list[LogLikelihood]:
    """Estimates from the draws of each block of rows."""
    obs = obs.scoring(*{n for names in groups for n in names})
    parts: list[list[dict[str, torch.Tensor]]] = [[] for _ in groups]
    order = []
    for rows in _blocks(system, obs, max(1, _DRAWS_AT_ONCE // num_samples)):
        order.append(rows)
        batch = obs[rows]
        weights = log_weights_of(system.model, batch, draw(batch), chunk)
        for names, part in zip(groups, parts, strict=True):
            part.append(summarise_weights(weights.of(names), weights.log_pi))
    back = torch.cat(order).argsort().to(obs.device)
    results = []
    for names, part in zip(groups, parts, strict=True):
        columns = {key: torch.cat([p[key] for p in part])[back] for key in part[0]}
        scores = [m.likelihood.normalised for m in system.modalities if m.name in names]
        zero = torch.zeros_like(columns["value"])
        results.append(
            LogLikelihood(
                **columns,
                num_samples=num_samples,
                target=names,
                given=(),
                proposal="",
                normalised=all(scores),
                shared_error=zero,
            )
        )
    return results


def _blocks(system: System, obs: Observations, size: int) -> list[torch.Tensor]:
    """Row indices, so many at a time; for a mixture guide, rows of one pattern together.

    Rows that hold the same modalities allow the same components, so none draws in vain.
    """
    rows = torch.arange(len(obs))
    if not getattr(system.guide, "family", ()):
        return list(rows.split(size))
    held = torch.stack([obs.present[n] for n in obs.names], 1).cpu()
    _, pattern = torch.unique(held, dim=0, return_inverse=True)
    groups = [rows[pattern == i] for i in range(int(pattern.max()) + 1)]
    return [block for group in groups for block in group.split(size)]


def _shared(
    system: System, obs: Observations, names: tuple[str, ...], num_samples: int, chunk: int
) -> LogLikelihood:
    """log p(x_names) from one set of prior draws for all rows; equal rows are scored once."""
    held = [obs.present[n][:, None] for n in names]
    values = [obs.values[n].reshape(len(obs), -1).double() for n in names]
    columns = [x.masked_fill(~mask, 0.0) for x, mask in zip(values, held, strict=True)]
    masks = [mask.double() for mask in held]
    _, which = torch.unique(torch.cat(columns + masks, 1), dim=0, return_inverse=True)
    first = torch.full((int(which.max()) + 1,), len(obs), device=which.device)
    positions = torch.arange(len(obs), device=which.device)
    distinct = obs[first.scatter_reduce(0, which, positions, "amin")]
    draws = from_prior(system.model, system.guide, distinct[0], num_samples)
    (result,) = _weigh(
        system, distinct, [names], lambda rows: shared_by(draws, len(rows)), num_samples, chunk
    )
    fields = ("value", "standard_error", "ess", "pareto_k", "log_weight_variance")
    joined: dict[str, Any] = {f: getattr(result, f)[which] for f in fields}
    return replace(result, **joined, shared_error=joined["standard_error"])


def _names(
    obs: Observations, target: str | Sequence[str] | None, given: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    given_names = (given,) if isinstance(given, str) else tuple(given or ())
    if target is None:
        names = tuple(n for n in obs.names if n not in given_names)
    else:
        names = (target,) if isinstance(target, str) else tuple(target)
    for what, group in (("target", names), ("given", given_names)):
        for name in group:
            if name not in obs.names:
                raise ValueError(unknown_name(f"{what} modality", name, obs.names))
    both = set(names) & set(given_names)
    if both:
        raise ValueError(f"modality {min(both)!r} is both target and given; choose one.")
    if not names:
        raise ValueError("expected at least one target modality, got none.")
    return names, given_names


def _proposal(
    proposal: str | Sequence[str],
    obs: Observations,
    names: tuple[str, ...],
    given: tuple[str, ...],
) -> tuple[Sampler, tuple[str, ...]]:
    """The sampler and the modalities that it looks at."""
    if proposal == "joint":
        return from_guide, (*names, *given)
    if proposal == "given":
        return from_guide, given
    if proposal == "prior":
        return from_prior, ()
    if proposal == "defensive":
        return from_mixture(_PRIOR_SHARE), (*names, *given)
    if isinstance(proposal, str):
        raise ValueError(unknown_name("proposal", proposal, _LABELS) + " Or a list of modalities.")
    for name in proposal:
        if name not in obs.names:
            raise ValueError(unknown_name("modality in proposal", name, obs.names))
    return from_guide, tuple(proposal)


def _check_numbers(num_samples: int, chunk: int) -> None:
    check_at_least_one("num_samples", num_samples)
    check_at_least_one("chunk", chunk)
