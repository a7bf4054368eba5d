"""Weighted draws of the posterior of what is given, which every prediction of a label rests on."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.importance import log_weights_of
from ppl_mm.likelihood.sampling import Plan
from ppl_mm.likelihood.source import Source, label_source
from ppl_mm.processes import alone
from ppl_mm.systems import System

__all__ = ["Weighted", "weighted_draws"]


class Weighted(NamedTuple):
    """Draws of some rows; L of B rows.

    Attributes:
        rows: The indices of the rows, (B,).
        latents: A dict from site names to values, (L, 1, B, *event).
        log_share: The logs of weights that add up to 1 over the draws, (L, B).
        chunk: The most (draw, row) pairs to decode at a time.
    """

    rows: Tensor
    latents: dict[str, Tensor]
    log_share: Tensor
    chunk: int


def weighted_draws(
    system: System,
    obs: Observations,
    target: str,
    given: Sequence[str],
    num_samples: int,
    refine: str = "auto",
    seed: int = 0,
) -> Iterator[Weighted]:
    """Draws of p(z | x_given) of every row, block by block: those of ``log_likelihood``.

    For the same rows, seed and number of draws, the mean of p(x_target | z) with these weights is
    what :func:`ppl_mm.log_likelihood` estimates for a label. It runs within ``evaluating``.

    Args:
        system: A model and a guide.
        obs: The rows, on the system's device.
        target: The modality to predict.
        given: The modalities that are given; a row may lack some of them.
        num_samples: The number of draws a row.
        refine: See :func:`ppl_mm.log_likelihood`.
        seed: The seed of the draws.
    """
    plan = Plan(num_samples, check_and_size(system, obs, None))
    for which, source in _sources(system, obs, target, tuple(given), plan, refine, seed):
        rest = source.names
        rows_of = source.obs.scoring(*rest)
        for block in source.blocks:
            every = torch.arange(len(block.rows), device=obs.device)
            draws = block.draw(every, 0)
            scored = log_weights_of(source.system.model, rows_of[block.rows], draws, plan.chunk)
            log_w = scored.of(rest).double() + draws.log_pi.double()[:, None]
            share = log_w.flatten(0, 1).log_softmax(0)
            yield Weighted(which[block.rows.cpu()], draws.latents, share, plan.chunk)


def _sources(
    system: System,
    obs: Observations,
    target: str,
    given: tuple[str, ...],
    plan: Plan,
    refine: str,
    seed: int,
) -> Iterator[tuple[Tensor, Source]]:
    """Sources of draws, each with the indices of its rows, all of them in every process."""
    rows = torch.arange(len(obs))
    if system.alternatives((target,), given) is None:
        with alone():
            source = label_source(system, obs, given, "joint", plan, refine, seed)
        yield rows, source
        return
    held = torch.stack([obs.present[n] for n in given], 1).cpu() if given else rows[:, None] < 0
    patterns, which = torch.unique(held, dim=0, return_inverse=True)
    for i, pattern in enumerate(patterns.tolist()):
        own = tuple(n for n, here in zip(given, pattern, strict=False) if here)
        ((conditional,),) = system.alternatives((target,), own) or [[]]
        one = System(conditional.model, system.guide, system.objective)
        part = rows[which == i]
        with alone():
            source = label_source(one, obs[part], own, "joint", plan, refine, seed, prior=True)
        yield part, source
