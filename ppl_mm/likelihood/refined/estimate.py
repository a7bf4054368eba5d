"""Blocks of rows with proposals of their own, and which systems can have such."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.importance import Draws
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.stages import Refined
from ppl_mm.likelihood.row_noise import equal_rows, first_of_each, row_keys
from ppl_mm.likelihood.sampling import Block, Plan, blocks
from ppl_mm.systems import System

__all__ = ["MOST_COORDINATES", "check_refinable", "refined_blocks", "unrefinable"]

MOST_COORDINATES = 512
"""Of all latent sites together: the second derivatives of more take too long."""

_TOGETHER = 512  # rows whose proposals are refined together, however many draws they get
_DRAWS = 2**13  # pilot draws of a row, at most
_NUMBERS = 2**26  # of their covariance matrices or pilot draws, at most


def refined_blocks(
    system: System,
    obs: Observations,
    names: Sequence[str],
    evidence: Sequence[str],
    plan: Plan,
    *,
    refine: str,
    seed: int,
    from_prior: bool = False,
) -> Iterator[Block]:
    """Blocks of rows whose proposals are refined towards the posterior of x_names.

    Rows that end in annealing over equally many temperatures form blocks of their own. Equal rows
    have one proposal and the same draws, to the last bit.

    Args:
        system: The model, and the guide that the proposals are refined from.
        obs: The rows.
        names: The modalities whose posterior is approached.
        evidence: The modalities that the guide looks at.
        plan: The number of draws.
        refine: One of ``REFINEMENTS`` but "none".
        seed: The seed of all draws.
        from_prior: Whether the prior takes the guide's place.
    """
    which = equal_rows(system.model, obs, names, evidence)
    obs = obs.scoring(*names).given(*evidence)
    guide = None if from_prior else system.guide
    size = Path(system.model, guide, obs[:1], 1).size if len(obs) > 0 else 1
    most = _NUMBERS // (size * max(size, _DRAWS))
    together = max(1, min(max(plan.rows_at_once, _TOGETHER), most))
    first = first_of_each(which)
    distinct = obs if len(first) == len(obs) else obs[first]
    for rows in blocks(system, distinct, together):
        batch = distinct[rows]
        path = Path(system.model, guide, batch, plan.chunk)
        refined = Refined(path, row_keys(batch), seed, refine)
        place = torch.full_like(first, -1)
        place[rows] = torch.arange(len(rows), device=which.device)
        members = (place[which] >= 0).nonzero().squeeze(-1)
        place = place[which][members]
        numbers = refined.temperatures[place]
        groups = [(numbers == n).nonzero().squeeze(-1) for n in numbers.unique()]
        for own in [part for group in groups for part in group.split(plan.rows_at_once)]:
            draw = partial(_draw, refined, place[own], plan.num_samples)
            yield Block(members[own].cpu(), draw, refined.stage[place[own]])


def _draw(refined: Refined, own: Tensor, num_samples: int, part: Tensor, round: int) -> Draws:
    """Draws for rows with these places among those that are refined, each of which is drawn once.

    All of them end in annealing over equally many temperatures, or none does.
    """
    rows, back = own[part].unique(return_inverse=True)
    if bool(refined.temperatures[rows[0]] > 0):
        draws = refined.annealed(rows, f"chains {round}")
    else:
        draws = refined.draw(rows, num_samples, f"estimate {round}")
    alike = len(rows) == len(back) and torch.equal(back, torch.arange(len(back)).to(back))
    return draws if alike else draws.rows(back)


def unrefinable(system: System, guide: nn.Module | None, obs: Observations) -> str:
    """Why a system's proposals cannot be refined; "" if they can.

    Args:
        system: Whose model it is.
        guide: The base of the proposals; None for the model's prior.
        obs: Some rows.
    """
    try:
        path = Path(system.model, guide, obs, 1)
    except ValueError as error:  # which says what is discrete, or drawn by way of something else
        return str(error).split(";")[0]
    return _obstacle(path)


def check_refinable(path: Path) -> None:
    """Raise where rows cannot have proposals of their own.

    Raises:
        ValueError: For a latent that all rows share, or too many coordinates.
    """
    reason = _obstacle(path)
    if reason:
        raise ValueError(f"rows cannot have refined proposals of their own: {reason}.")


def _obstacle(path: Path) -> str:
    if path.shared:
        return f"all rows share latent site {path.shared[0]!r}"
    if path.size > MOST_COORDINATES:
        return f"{path.size} latent coordinates, more than {MOST_COORDINATES}"
    return ""
