"""The ELBO of everything present, for validation and reports."""

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives import row_elbo, trace_pair
from ppl_mm.objectives.handlers import OfTheDataSet
from ppl_mm.processes import divided, seed_torch
from ppl_mm.programs.conditionals import Conditional
from ppl_mm.results.unreliable import NOTHING, warn_of_rows
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["elbo", "elbo_of_checked"]


@typed
def elbo(
    system: System, obs: Observations, *, batch_size: int = 1000, seed: int = 0
) -> Float[Tensor, " N"]:
    """One draw's ELBO of log p(x_present) of every row, (N,), nats.

        E_{q(z | x)} [ sum over present m of log p(x_m | z) ]  -  KL( q(z | x) || p(z) )

    Training weights and beta play no part: this is a lower bound in expectation, comparable
    between systems, objectives and epochs. For a likelihood that is put together from
    conditionals (see :mod:`ppl_mm.programs.conditionals`; MEME) it is the mean over the
    alternatives of the sum of their ELBOs, each with q(z | x_target).

    The KL of a latent that all rows share, outside ``obs.plates()``, belongs to the N rows
    together: each has 1 / N of it, so that the sum over rows is a bound on log p of them all.

    Args:
        system: A model and a guide.
        obs: The rows; modalities may be missing.
        batch_size: The rows at a time; it changes memory, not the estimate's distribution.
        seed: The seed of the draws.

    Raises:
        ValueError: If the rows do not fit the system.

    Warns:
        UnreliableLikelihoodWarning: If the ELBO of a row is -inf; it names the rows.
    """
    system.check(obs)
    return elbo_of_checked(system, obs, batch_size=batch_size, seed=seed)


def elbo_of_checked(
    system: System, obs: Observations, *, batch_size: int = 1000, seed: int = 0
) -> Float[Tensor, " N"]:
    """:func:`elbo` of rows that ``system.check`` has seen, such as a validation set's."""
    obs = obs.to(system)
    has_alternatives = bool(obs.names) and system.alternatives(obs.names, ()) is not None
    batches = torch.arange(len(obs), device=obs.device).split(batch_size)

    def of_batch(i: int) -> Tensor:
        seed_torch(seed * 1_000_003 + i if i else seed)
        with OfTheDataSet(len(batches[i]) / len(obs)):
            own = (_of_directions if has_alternatives else _of_model)(system, obs[batches[i]])
        return own.to(system.dtype).cpu()

    with evaluating(system, seed):
        each = divided(len(batches), f"the ELBO of {len(obs)} rows, seed {seed}", of_batch)
    value = torch.cat(each).to(system.device)
    value = value.nan_to_num(-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    warn_of_rows("the ELBO", value == -torch.inf, NOTHING)
    return value


def _of_model(system: System, obs: Observations) -> Tensor:
    return row_elbo(*trace_pair(system.model, system.guide, obs)).expand(len(obs))


def _of_directions(system: System, obs: Observations) -> Tensor:
    """Rows that hold the same modalities together; each conditional once."""
    held = torch.stack([obs.present[n] for n in obs.names], 1)
    patterns, which = torch.unique(held, dim=0, return_inverse=True)
    value = torch.zeros(len(obs), device=obs.device)
    for i, pattern in enumerate(patterns.tolist()):
        names = tuple(n for n, here in zip(obs.names, pattern, strict=True) if here)
        chains = system.alternatives(names, ()) if names else None
        rows = (which == i).nonzero().squeeze(-1)
        by_key = {(c.target, c.given): c for chain in chains or [] for c in chain}
        found = {key: _of_conditional(system, c, obs[rows]) for key, c in by_key.items()}
        for chain in chains or []:
            for c in chain:
                value[rows] += found[c.target, c.given].to(value.dtype) / len(chains or [])
    return value


def _of_conditional(system: System, conditional: Conditional, obs: Observations) -> Tensor:
    def guide(rows: Observations) -> None:
        system.guide(rows.given(*conditional.target))

    scored = obs.scoring(*conditional.target)
    return row_elbo(*trace_pair(conditional.model, guide, scored)).expand(len(obs))
