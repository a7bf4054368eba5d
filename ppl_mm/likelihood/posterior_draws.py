"""Draws of p(z | what a row holds), for whatever is worked out from latents."""

from collections.abc import Iterator, Sequence
from typing import Literal

from jaxtyping import Int, Shaped
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.draws import resampled
from ppl_mm.likelihood.refined.estimate import unrefinable
from ppl_mm.likelihood.refined.stages import Refined
from ppl_mm.likelihood.row_noise import row_keys
from ppl_mm.likelihood.sampling import blocks
from ppl_mm.objectives.weights import guide_trace, particles
from ppl_mm.programs.answerable import check_answerable, conditioned_on
from ppl_mm.systems import System

__all__ = ["Refine", "latents_given", "scored_and_given"]

Refine = Literal["auto", "none"]

_ROWS_AT_ONCE = 256


def latents_given(
    system: System,
    obs: Observations,
    names: Sequence[str],
    num_draws: int,
    *,
    refine: Refine,
    seed: int,
    chunk: int,
    rows_at_once: int = _ROWS_AT_ONCE,
) -> Iterator[tuple[Int[Tensor, " B"], dict[str, Shaped[Tensor, "{num_draws} 1 B ..."]]]]:
    """Draws of the latents given these modalities of each row, a block of rows after another.

    Args:
        system: A model and a guide, in evaluation.
        obs: The rows, on the system's device.
        names: The modalities to condition on, as far as a row holds them.
        num_draws: The number of draws K.
        refine: The source of draws. ``"auto"`` is each row's own proposal, fitted to p(x, z), whose
            draws are resampled by weight. ``"none"`` is the guide, which also replaces ``"auto"``
            if a latent is discrete.
        seed: The seed of the draws.
        chunk: The most (draw, row) pairs that are decoded at a time.
        rows_at_once: The rows of a block.

    Returns:
        For each block, the positions of its rows, (B,), and a dict from site names to draws,
        (K, 1, B, *event).
    """
    obs = scored_and_given(system, obs, names)
    for rows in blocks(system, obs, rows_at_once):
        batch = obs[rows]
        if refine == "auto" and not unrefinable(system, system.guide, batch):
            path = Path(system.model, system.guide, batch, chunk)
            refined = Refined(path, row_keys(batch), seed)
            yield rows, path.latents(resampled(path, refined, num_draws, seed))
            continue
        with particles(num_draws):
            q = guide_trace(system.guide, batch)
        sites = {n: q.nodes[n] for n in q.stochastic_nodes}
        yield (
            rows,
            {
                n: site["value"].expand(num_draws, 1, len(rows), *site["fn"].event_shape)
                for n, site in sites.items()
                if not site["infer"].get("is_auxiliary")
            },
        )


def scored_and_given(system: System, obs: Observations, names: Sequence[str]) -> Observations:
    """The rows with these modalities as evidence, scored where the model has a density of them.

    Raises:
        ValueError: For rows that lack, or names that leave out, what the model conditions on.
    """
    fixed = conditioned_on(system.model)
    scored = [n for n in names if n not in fixed]
    check_answerable(system.model, obs, scored, [n for n in names if n in fixed])
    return obs.scoring(*scored).given(*names)
