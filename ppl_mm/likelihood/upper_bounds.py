"""Approximate upper bounds on the log-likelihood of real rows."""

from collections.abc import Sequence
from typing import Any

import torch

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.chains import Annealing
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.sandwich import bounded, simulated
from ppl_mm.likelihood.targets import asked_names
from ppl_mm.programs.answerable import check_answerable, conditioned_on
from ppl_mm.results.sandwich import Sandwich
from ppl_mm.results.unreliable import NOTHING, warn_of_rows
from ppl_mm.results.upper_bounds import UpperBounds
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["upper_bounds"]


@typed
def upper_bounds(
    system: System,
    obs: Observations,
    target: str | Sequence[str] | None = None,
    *,
    num_temperatures: int | Sequence[int] = (4, 32),
    num_chains: int = 16,
    num_leaps: int = 5,
    chunk: int | None = None,
    seed: int = 0,
) -> UpperBounds:
    """Bound log p(x_target) of real rows from both sides, from above approximately.

        lower  =    log (1/K) sum_k w_k,          chains from q(z) to p(x, z)
        upper  =  - log (1/K) sum_k 1 / w'_k,     chains back, from draws of p(z | x)

    q is a proposal refined for every row (:mod:`ppl_mm.likelihood.refined`). No exact draw
    of p(z | x) is known for real rows. In its place are draws of q, resampled by their weights and
    moved by a few Hamiltonian transitions. So the upper bound is approximate: it is too low where q
    misses a mode, as every estimate from q is. How good it is, is seen on rows that are simulated
    with the missingness of the real ones, and of which the exact upper bound is known too
    (``result.bias``). It is the model's own density that is bounded, not a likelihood put together
    from conditionals (MEME).

    Args:
        system: A model and a guide.
        obs: The rows; any may be missing, but not what the model conditions on.
        target: The modalities to score; with None, all that the model does not condition on.
        num_temperatures: The number of temperatures T, one or several in growing order.
        num_chains: The number of chains K for each row and direction.
        num_leaps: The number of leapfrog steps of each transition.
        chunk: The most (chain, row) pairs that are decoded at a time, see ``log_likelihood``.
        seed: The seed of the simulated rows and of all draws.

    Returns:
        The bounds, which print as a table, see :class:`ppl_mm.evaluation.UpperBounds`.

    Raises:
        ValueError: For unknown modalities, rows that lack what the model conditions on, a latent
            that is discrete, or numbers below 1.

    Source: Grosse, Ancha & Roy 2016, arXiv:1606.02275 (reverse chains from approximate draws, held
    against those of simulated data).

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, latent_dim=2)
        >>> few = {"num_temperatures": (2, 4), "num_chains": 5, "num_leaps": 2}
        >>> upper_bounds(system, digits.test[:3], **few).gap.shape
        torch.Size([2, 3])
    """
    numbers = (num_temperatures,) if isinstance(num_temperatures, int) else tuple(num_temperatures)
    if not numbers:
        raise ValueError("num_temperatures: expected at least one number, got none.")
    chunk = check_and_size(system, obs, chunk)
    given = conditioned_on(system.model)
    names, _ = asked_names(obs, target, given)
    check_answerable(system.model, obs, names, given)
    obs = obs.to(system)
    plans = [Annealing(num_chains, t, num_leaps, "refined", chunk, seed) for t in numbers]
    with evaluating(system, seed):
        made, latents = simulated(system, obs)
        real = bounded(system, obs, None, names, plans)
        warn_of_rows("lower bounds", (real["lower"] == -torch.inf).any(0), NOTHING)
        exact: dict[str, Any] = bounded(system, made, latents, names, plans)
        approximate = bounded(system, made, None, names, plans)
    about: dict[str, Any] = {"num_chains": num_chains, "target": names, "start": "refined"}
    both = Sandwich(numbers, **exact, **about, obs=made, latents=latents)
    return UpperBounds(numbers, **real, simulated=both, simulated_upper=approximate["upper"])
