"""Importance sampling from every row's own proposal, a block of rows at a time."""

import torch
from torch import Tensor, nn

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.importance import log_weights_of
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.stages import Refined
from ppl_mm.likelihood.row_noise import row_keys
from ppl_mm.likelihood.sampling import Plan, blocks, needs_more
from ppl_mm.likelihood.summarise import summarise_weights
from ppl_mm.results.log_likelihood import STAGES
from ppl_mm.systems import System

__all__ = ["refinable", "weigh_refined"]


def weigh_refined(
    system: System,
    obs: Observations,
    names: tuple[str, ...],
    evidence: tuple[str, ...],
    plan: Plan,
    *,
    refine: str,
    seed: int,
    from_prior: bool = False,
) -> dict[str, Tensor]:
    """log p(x_names) of every row, as columns.

    Args:
        system: The model, and the guide that the proposals are refined from.
        obs: The rows.
        names: The modalities to score.
        evidence: The modalities that the guide looks at.
        plan: The number of draws.
        refine: One of ``REFINEMENTS`` but "none".
        seed: The seed of all draws.
        from_prior: Whether the prior takes the guide's place.
    """
    obs = obs.scoring(*names).given(*evidence)
    parts, order = [], []
    for rows in blocks(system, obs, plan.rows_at_once):
        order.append(rows)
        batch = obs[rows]
        path = Path(system.model, None if from_prior else system.guide, batch, plan.chunk)
        refined = Refined(path, row_keys(batch), seed, refine)
        parts.append(_estimated(system, batch, names, refined, plan))
    back = torch.cat(order).argsort().to(obs.device)
    return {key: torch.cat([part[key] for part in parts])[back] for key in parts[0]}


def refinable(system: System, guide: nn.Module | None, obs: Observations) -> bool:
    """Whether every latent has coordinates with gradients, and the guide a density of them."""
    try:
        Path(system.model, guide, obs, 1)
    except ValueError:  # which says what is discrete, or drawn by way of something else
        return False
    return True


def _estimated(
    system: System, obs: Observations, names: tuple[str, ...], refined: Refined, plan: Plan
) -> dict[str, Tensor]:
    """The columns of a block of rows."""

    def weights(rows: Tensor, round: int) -> tuple[Tensor, Tensor]:
        draws = refined.draw(rows, plan.num_samples, f"estimate {round}")
        found = log_weights_of(system.model, obs[rows], draws, plan.chunk)
        return found.of(names), found.log_pi

    every = torch.arange(len(obs), device=refined.stage.device)
    log_w, log_pi = weights(every, 0)
    found = summarise_weights(log_w, log_pi)
    chains = (refined.stage == STAGES.index("annealed")).nonzero().squeeze(-1)
    if len(chains):
        for key, column in refined.annealed(chains).items():
            found[key][chains] = column
    rounds = 1
    rows = (needs_more(found, plan) & (refined.stage != STAGES.index("annealed"))).nonzero()
    rows = rows.squeeze(-1)
    log_w = log_w[:, :, rows]
    while len(rows) and 2 * rounds * plan.num_samples <= plan.max_samples:
        more = [weights(rows, i)[0] for i in range(rounds, 2 * rounds)]
        log_w, rounds = torch.cat([log_w, *more], 1), 2 * rounds
        now = summarise_weights(log_w, log_pi[:, rows])
        for key, column in now.items():
            found[key][rows] = column
        keep = needs_more(now, plan)
        rows, log_w = rows[keep], log_w[:, :, keep]
    return {**found, "refinement": refined.stage}
