"""The ELBO of everything present, for validation and reports."""

import torch
from torch import Tensor

from ppl_mm.checks import check_at_least_one
from ppl_mm.evaluation.quietly import evaluating
from ppl_mm.objectives import row_elbo, trace_pair
from ppl_mm.observations import Observations
from ppl_mm.systems import System

__all__ = ["elbo"]


def elbo(system: System, obs: Observations, *, batch_size: int = 1000, seed: int = 0) -> Tensor:
    """One draw's ELBO of log p(x_present) of every row, (N,), nats.

        E_{q(z | x)} [ sum over present m of log p(x_m | z) ]  -  KL( q(z | x) || p(z) )

    Training weights and beta play no part: this is a lower bound in expectation, comparable
    between systems, objectives and epochs.

    Args:
        system: A model and a guide.
        obs: The rows; modalities may be missing.
        batch_size: Rows at a time; it changes memory, not the estimate's distribution.
        seed: Of the draws.
    """
    system.check(obs)
    check_at_least_one("batch_size", batch_size)
    obs = obs.to(system.device)
    with evaluating(system, seed):
        rows = torch.arange(len(obs)).split(batch_size)
        parts = [row_elbo(*trace_pair(system.model, system.guide, obs[r])) for r in rows]
    return torch.cat([p.expand(len(r)) for p, r in zip(parts, rows, strict=True)])
