"""Is the guide the posterior? Ranks of true latents of simulated rows among its draws."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined import Refined, check_refinable
from ppl_mm.likelihood.refined.draws import resampled
from ppl_mm.likelihood.row_noise import row_keys
from ppl_mm.likelihood.sandwich import simulated
from ppl_mm.likelihood.targets import named
from ppl_mm.programs.answerable import check_answerable, conditioned_on
from ppl_mm.results.posterior_ranks import PosteriorRanks
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["posterior_ranks"]

_ROWS_AT_ONCE = 128


@typed
def posterior_ranks(
    system: System,
    num_rows: int | Observations = 200,
    given: str | Sequence[str] | None = None,
    *,
    draws: Literal["guide", "refined"] = "guide",
    num_draws: int = 99,
    chunk: int | None = None,
    seed: int = 0,
) -> PosteriorRanks:
    """Rank the latents that rows are simulated from among draws of their posterior.

        z_n, x_n ~ p(z, x),   z_n^1, ..., z_n^L ~ q(z | x_n),   rank_n = #{l : z_n^l < z_n}

    coordinate by coordinate. If q is the posterior, the ranks are uniform from 0 to L: z_n is then
    one more draw like the others. A guide that is too narrow piles them up at both ends, one that
    is too wide in the middle, one that is off at one end. It costs a guide's pass for each row,
    where :func:`ppl_mm.evaluation.posterior_check` runs Markov chains; but it speaks of rows that
    the model makes, and of all of them together: the prior, which knows nothing of a row, has
    uniform ranks too, and so may a guide that has learned little. Uniform ranks are necessary for a
    right posterior, and not sufficient.

    Args:
        system: A model and a guide.
        num_rows: The number of rows to simulate, or rows whose missingness is kept. If the model
            conditions on some modalities, the rows' values for these are kept too.
        given: The modalities that the posterior conditions on; with None, all of them.
        draws: The source of draws. ``"guide"`` is the guide's posterior. ``"refined"`` is a
            proposal that is refined for every row, as for refined log-likelihoods; its draws are
            resampled by weight.
        num_draws: The number of draws L. L + 1 should have many divisors, as for L = 99 and 199.
        chunk: The most (draw, row) pairs that are decoded at a time, see ``log_likelihood``.
        seed: The seed of the rows and the draws.

    Returns:
        Ranks and a test of uniformity, see :class:`ppl_mm.evaluation.PosteriorRanks`; coordinates
        are those of all latent sites side by side.

    Raises:
        ValueError: If a modality is unknown, if ``num_rows`` is a number and the model conditions
            on some modalities, if a latent is discrete, or if a number is below 1.

    Source: Talts et al. 2018, arXiv:1804.06788.

    Example:
        >>> from ppl_mm import data, systems
        >>> system = systems.mvae(data.load("digits").modalities, latent_dim=2)
        >>> found = posterior_ranks(system, 20, num_draws=9)
        >>> found.ranks.shape, found.coordinates
        (torch.Size([20, 2]), ('z[0]', 'z[1]'))
    """
    with evaluating(system, seed):
        obs, latents = simulated(system, num_rows)
        chunk = check_and_size(system, obs, chunk)
        names = named("given", obs.names if given is None else given, obs)
        fixed = conditioned_on(system.model)
        scored = [n for n in names if n not in fixed]
        check_answerable(system.model, obs, scored or list(names), [n for n in names if n in fixed])
        obs = obs.scoring(*scored).given(*names)
        parts = []
        for rows in torch.arange(len(obs)).split(_ROWS_AT_ONCE):
            batch = obs[rows]
            path = Path(system.model, system.guide, batch, chunk)
            truth = path.position({n: x[rows][None, None] for n, x in latents.items()})
            if draws == "refined":
                check_refinable(path)
                refined = Refined(path, row_keys(batch), seed)
                drawn = resampled(path, refined, num_draws, seed)
            else:
                drawn = path.draw(num_draws).position
            parts.append(_ranks(truth, drawn))
    ranks, coordinates = torch.cat(parts), _coordinates(path)
    return PosteriorRanks(ranks, num_draws, coordinates, names, draws)


def _ranks(truth: Tensor, drawn: Tensor) -> Tensor:
    """The number of L draws (L, B, D) below (1, B, D), equal ones at random, (B, D)."""
    equal = (drawn == truth).sum(0)
    within = (torch.rand(equal.shape, device=equal.device) * (equal + 1)).long()
    return (drawn < truth).sum(0) + torch.minimum(within, equal)


def _coordinates(path: Path) -> tuple[str, ...]:
    sizes = {name: shape.numel() for name, shape in path.shapes.items()}
    return tuple(f"{name}[{i}]" for name, size in sizes.items() for i in range(size))
