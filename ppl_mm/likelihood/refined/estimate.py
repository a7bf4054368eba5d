"""Blocks of rows with proposals of their own, and which systems can have such."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.importance import Draws
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.stages import Refined
from ppl_mm.likelihood.row_noise import row_keys
from ppl_mm.likelihood.sampling import Block, Plan, blocks
from ppl_mm.systems import System

__all__ = ["MOST_COORDINATES", "check_refinable", "refined_blocks", "unrefinable"]

MOST_COORDINATES = 512
"""Of all latent sites together: the second derivatives of more take too long."""

_TOGETHER = 512  # rows whose proposals are refined together, however many draws they get
_NUMBERS = 2**26  # of their covariance matrices, at most


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

    Rows that end in annealing over equally many temperatures form blocks of their own.

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
    obs = obs.scoring(*names).given(*evidence)
    guide = None if from_prior else system.guide
    size = Path(system.model, guide, obs[:1], 1).size if len(obs) > 0 else 1
    together = max(1, min(max(plan.rows_at_once, _TOGETHER), _NUMBERS // size**2))
    for rows in blocks(system, obs, together):
        batch = obs[rows]
        path = Path(system.model, guide, batch, plan.chunk)
        refined = Refined(path, row_keys(batch), seed, refine)
        numbers = refined.temperatures
        groups = [(numbers == n).nonzero().squeeze(-1) for n in numbers.unique()]
        for own in [part for group in groups for part in group.split(plan.rows_at_once)]:

            def draw(
                part: Tensor,
                round: int,
                own: Tensor = own,
                refined: Refined = refined,
                chains: bool = bool(numbers[own[0]] > 0),
            ) -> Draws:
                if chains:
                    return refined.annealed(own[part], f"chains {round}")
                return refined.draw(own[part], plan.num_samples, f"estimate {round}")

            yield Block(rows[own.cpu()], draw, refined.stage[own])


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
