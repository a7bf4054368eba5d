"""Log-likelihoods by annealed importance sampling, a second estimator that needs no guide."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.chains import Annealing, Start
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.combine import combine_parts
from ppl_mm.likelihood.summarise import summarise_weights
from ppl_mm.likelihood.targets import asked_names, certain
from ppl_mm.programs.answerable import check_answerable, conditioned_on
from ppl_mm.programs.conditionals import Conditional
from ppl_mm.results.log_likelihood import STAGES, LogLikelihood
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["annealed_log_likelihood"]

_ADVICE = "Take more temperatures or more chains."


@typed
def annealed_log_likelihood(
    system: System,
    obs: Observations,
    target: str | Sequence[str] | None = None,
    given: str | Sequence[str] | None = None,
    *,
    num_chains: int = 32,
    num_temperatures: int = 100,
    num_leaps: int = 10,
    start: Start = "prior",
    chunk: int | None = None,
    seed: int = 0,
) -> LogLikelihood:
    """Estimate log p(x_target | x_given) of every row by annealed importance sampling.

        log p(x_A)  ~  log (1/K) sum_k w_k,    w_k the weight of a chain from f_0 to p(x_A, z)

    see :mod:`ppl_mm.likelihood.annealing`; a conditional is the difference of two such estimates.
    The mean of the weights is unbiased, its log low on average, as that of
    :func:`ppl_mm.evaluation.log_likelihood`; but chains from the prior do not use the guide, so
    that one estimate checks the other. It costs T times (leaps + 1) evaluations of the model
    with their gradients for each chain, and a quarter more to find step sizes.

    All latent sites of the model are moved, whatever their names; those with a bounded support in
    unconstrained coordinates. Rows may hold anything, as for ``log_likelihood``, and a likelihood
    put together from conditionals (MEME) is put together from their annealed estimates.

    Args:
        system: A model, and a guide for ``start="posterior"``.
        obs: The rows.
        target: The modalities A; with None, all that ``obs`` has and ``given`` does not name.
        given: The modalities B; with None, there are none.
        num_chains: The number of chains K for each row. Pareto k needs 25.
        num_temperatures: The number of temperatures T; 1 is importance sampling from f_0.
        num_leaps: The number of leapfrog steps of each transition.
        start: The start f_0. ``"prior"`` is the prior. ``"posterior"`` is the guide's posterior
            given target and given; a good guide needs few temperatures. ``"refined"`` is a proposal
            for each row, see :mod:`ppl_mm.likelihood.refined`, and needs fewer still. Its draws
            come in strata, so there are a few more chains.
        chunk: The most (chain, row) pairs that are decoded at a time, see ``log_likelihood``.
        seed: The seed of the draws; torch's own generators keep their states.

    Returns:
        A result as ``log_likelihood`` returns it, whose ``draws`` counts chains.

    Raises:
        ValueError: For the reasons of ``log_likelihood``, an unknown start, or a discrete latent
            site.

    Warns:
        UnreliableLikelihoodWarning: Naming the rows whose weights have too heavy a tail.

    Sources: Neal 2001; Wu et al. 2017, arXiv:1611.04273.
    """
    chunk = check_and_size(system, obs, chunk)
    names, given_names = asked_names(obs, target, given)
    check_answerable(system.model, obs, names, given_names)
    plan = Annealing(num_chains, num_temperatures, num_leaps, start, chunk, seed)
    obs = obs.to(system)
    rest = tuple(n for n in given_names if n not in conditioned_on(system.model))

    def conditional(asked: Conditional, rows: Observations) -> LogLikelihood:
        one = System(asked.model, system.guide, system.objective)
        return _estimate(plan, one, rows, asked.target, asked.given)

    with evaluating(system, seed):
        if system.alternatives(names, given_names) is not None:
            result = combine_parts(system, obs, names, given_names, conditional, num_chains)
        else:
            result = _estimate(plan, system, obs, (*names, *rest), given_names)
            if rest:
                result = result.minus(_estimate(plan, system, obs, rest, given_names))
    result = replace(result, given=given_names, proposal=str(plan))
    result = certain(result, obs, system.modalities)
    result.warn_if_unreliable(_ADVICE)
    return result


def _estimate(
    plan: Annealing,
    system: System,
    obs: Observations,
    names: tuple[str, ...],
    given: tuple[str, ...],
) -> LogLikelihood:
    """log p(x_names) of every row; ``given`` is what model or guide may look at besides."""
    parts = []
    for rows in plan.blocks(len(obs)):
        chains = plan.chains(system.model, system.guide, obs[rows], names, given)
        parts.append(summarise_weights(*chains.forward()))
    columns = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    columns["refinement"] = torch.full_like(columns["draws"], STAGES.index("annealed"))
    return LogLikelihood.of(columns, plan.num_chains, names, (), "", system.modalities)
