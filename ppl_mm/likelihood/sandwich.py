"""The log-likelihood of simulated data between two bounds: bidirectional Monte Carlo."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.chains import Annealing, Start
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.summarise import summarise_weights
from ppl_mm.likelihood.targets import asked_names
from ppl_mm.objectives.weights import model_trace
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.results.sandwich import Sandwich
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["bounded", "sandwich", "simulated"]


@typed
def sandwich(
    system: System,
    rows: int | Observations,
    target: str | Sequence[str] | None = None,
    *,
    num_temperatures: int | Sequence[int] = (10, 100),
    num_chains: int = 16,
    num_leaps: int = 10,
    start: Start = "prior",
    chunk: int | None = None,
    seed: int = 0,
) -> Sandwich:
    """Simulate rows from the model, and bound their log p(x_target) from both sides.

        lower  =    log (1/K) sum_k w_k,          chains from f_0 to p(x, z)
        upper  =  - log (1/K) sum_k 1 / w'_k,     chains back, from the z that x was made of

    Of simulated data one draw of p(z | x) is known: the z that they were simulated from. So chains
    can be run backwards too, and the truth lies between two averages, whatever the decoder and
    without any guide. The gap says how far annealed importance sampling, and by comparison any
    other estimate of these very rows (``result.obs``), can be trusted; for real data, which the
    model may explain less well, it is a hint. It is the model's own density that is bounded, not a
    likelihood put together from conditionals (MEME).

    Args:
        system: A model, and a guide for ``start="posterior"``.
        rows: The number of rows to simulate, or rows whose missingness is kept. If the model
            conditions on some modalities, the rows' values for these are kept too. All other values
            are simulated.
        target: The modalities that are scored; with None, all that are simulated.
        num_temperatures: The number of temperatures T, one or several in growing order.
        num_chains: The number of chains K for each row and direction.
        num_leaps: The number of leapfrog steps of each transition.
        start: The start f_0, as in :func:`ppl_mm.evaluation.annealed_log_likelihood`.
        chunk: The most (chain, row) pairs that are decoded at a time, see ``log_likelihood``.
        seed: The seed of the data and the chains.

    Raises:
        ValueError: If ``rows`` is a number and the model conditions on some modalities, if a target
            is not simulated, or if a number is below 1.
        TypeError: If ``rows`` is neither a number nor observations.

    Source: Grosse, Ghahramani & Adams 2015, arXiv:1511.02543; Wu et al. 2017, arXiv:1611.04273.

    Example:
        >>> from ppl_mm import data, systems
        >>> system = systems.mvae(data.load("digits").modalities, latent_dim=2)
        >>> found = sandwich(system, 4, num_temperatures=(2, 4), num_chains=2, num_leaps=2)
        >>> found.gap.shape
        torch.Size([2, 4])
    """
    numbers = (num_temperatures,) if isinstance(num_temperatures, int) else tuple(num_temperatures)
    if not numbers:
        raise ValueError("num_temperatures: expected at least one number, got none.")
    with evaluating(system, seed):
        obs, latents = simulated(system, rows)
        chunk = check_and_size(system, obs, chunk)
        plans = [Annealing(num_chains, t, num_leaps, start, chunk, seed) for t in numbers]
        names, _ = asked_names(obs, target, conditioned_on(system.model))
        columns: dict[str, Any] = bounded(system, obs, latents, names, plans)
    about: dict[str, Any] = {"num_chains": num_chains, "target": names, "start": start}
    return Sandwich(numbers, **columns, **about, obs=obs, latents=latents)


def simulated(
    system: System, rows: int | Observations
) -> tuple[Observations, dict[str, Float[Tensor, "N ..."]]]:
    """Rows drawn from the model, and the latents that they were drawn from.

    Args:
        system: The system whose model is run.
        rows: The number of rows, or rows whose missingness is kept, with their values for the
            modalities that the model conditions on.
    """
    given = conditioned_on(system.model)
    if isinstance(rows, int) and given:
        raise ValueError(
            f"rows: the model conditions on {' and '.join(given)}; give rows that hold it instead "
            "of their number."
        )
    like = Observations.blank(rows) if isinstance(rows, int) else rows
    if not isinstance(like, Observations):
        raise TypeError(f"rows: expected a number or Observations, got {type(rows).__name__}.")
    like = like.to(system)
    modalities = [m.name for m in system.modalities]
    drawn = [n for n in modalities if n not in given and (n in like.names or not like.names)]
    given_rows = like.drop(*(n for n in drawn if n in like.names))
    trace = model_trace(system.model, given_rows, frozenset())
    values = {n: trace.nodes[n]["value"] for n in drawn}
    latents = {}
    for name in trace.stochastic_nodes:
        if name not in modalities:
            site = trace.nodes[name]
            event = site["value"].shape[site["value"].dim() - site["fn"].event_dim :]
            latents[name] = site["value"].expand(len(like), *event)
    drawn_rows = {**given_rows.values, **values}
    obs = Observations(drawn_rows, like.present, like.elements, like.covariates)
    return obs, latents


def bounded(
    system: System,
    obs: Observations,
    latents: dict[str, Float[Tensor, "N ..."]] | None,
    names: tuple[str, ...],
    plans: Sequence[Annealing],
) -> dict[str, Float[Tensor, "S N"]]:
    """Both bounds of every row with their Monte Carlo errors, (S, N) each, for S plans.

    Args:
        system: A model and a guide.
        obs: The rows.
        latents: The latents that generated the rows; None draws from p(z | x) approximately.
        names: The modalities that are scored.
        plans: The plans of the chains.
    """
    found = [_bounded(system, obs, latents, names, plan) for plan in plans]
    return {key: torch.stack([each[key] for each in found]) for key in found[0]}


def _bounded(
    system: System,
    obs: Observations,
    latents: dict[str, Tensor] | None,
    names: tuple[str, ...],
    plan: Annealing,
) -> dict[str, Tensor]:
    parts: list[dict[str, Tensor]] = []
    given = conditioned_on(system.model)
    for rows in plan.blocks(len(obs)):
        chains = plan.chains(system.model, system.guide, obs[rows], names, given)
        lower = summarise_weights(*chains.forward())
        if latents is None:
            end = chains.approximate()
        else:
            end = chains.exact({n: value[rows] for n, value in latents.items()})
        back = chains.back(end)[None]
        upper = summarise_weights(back, torch.zeros_like(back[:, 0]))
        parts.append(
            {
                "lower": _finite_or(lower["value"], -torch.inf),
                "upper": _finite_or(-upper["value"], torch.inf),
                "lower_error": _finite_or(_error(lower), torch.inf),
                "upper_error": _finite_or(_error(upper), torch.inf),
            }
        )
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def _finite_or(values: Tensor, otherwise: float) -> Tensor:
    """The values, and another number in rows whose log-density overflows."""
    return values.masked_fill(~values.isfinite(), otherwise)


def _error(found: dict[str, Tensor]) -> Tensor:
    """A standard error that counts what the weights' tail hides, from the interval."""
    return (found["high"] - found["low"]) / (2 * 1.959964)
