"""Importance sampling of rows, a block at a time, with more draws for the rows that need them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.importance import Draws, log_weights_of
from ppl_mm.likelihood.summarise import summarise_weights
from ppl_mm.results.log_likelihood import RELIABLE_K, LogLikelihood
from ppl_mm.systems import System

__all__ = ["Plan", "blocks", "needs_more", "weigh"]

_DRAWS_AT_ONCE = 2**17  # (draw, row) pairs whose latents are held at a time
_WEIGHTS_AT_ONCE = 2**24  # (draw, row) pairs whose weights are held at a time

Draw = Callable[[Observations], Draws]


@dataclass(frozen=True)
class Plan:
    """How many draws a row gets, and how many are decoded at a time.

    Attributes:
        num_samples: K, for every row.
        chunk: At most so many (draw, row) pairs are decoded at a time.
        target_error: The standard error at which a row is done; None for K draws and no more.
        max_samples: At most so many draws of a row, where there is a target.

    Raises:
        ValueError: For numbers below 1, a target that is not above 0, or a maximum below K.
    """

    num_samples: int
    chunk: int
    target_error: float | None = None
    max_samples: int = 1

    def __post_init__(self) -> None:
        check_at_least_one("num_samples", self.num_samples)
        check_at_least_one("chunk", self.chunk)
        if self.target_error is None:
            return
        check_at_least_one("max_samples", self.max_samples)
        if not self.target_error > 0:
            raise ValueError(
                f"target_standard_error: expected nats above 0, got {self.target_error!r}."
            )
        if self.max_samples < self.num_samples:
            raise ValueError(
                f"max_samples: expected at least num_samples = {self.num_samples}, got "
                f"{self.max_samples}."
            )

    @property
    def rows_at_once(self) -> int:
        """Rows whose draws, and in the end all of whose weights, are held together."""
        rows = _DRAWS_AT_ONCE // self.num_samples
        if self.target_error is not None:
            rows = min(rows, _WEIGHTS_AT_ONCE // self.max_samples)
        return max(1, rows)

    def among(self, parts: int) -> "Plan":
        """The plan of each of so many parts that are drawn independently and added up."""
        if self.target_error is None:
            return self
        return replace(self, target_error=self.target_error / parts**0.5)


def weigh(
    system: System,
    obs: Observations,
    groups: Sequence[tuple[str, ...]],
    draw: Draw,
    plan: Plan,
    again: Draw | None = None,
) -> list[LogLikelihood]:
    """log p(x_names) of every row, for each group of names, from one set of draws.

    Args:
        system: Whose model scores the draws.
        obs: The rows.
        groups: What to score.
        draw: From rows to K draws of each.
        plan: How many.
        again: What makes further draws, in which every row has its own; None is ``draw``.
    """
    obs = obs.scoring(*{n: None for names in groups for n in names})
    parts: list[list[dict[str, Tensor]]] = [[] for _ in groups]
    order, shared = [], False
    for rows in blocks(system, obs, plan.rows_at_once):
        order.append(rows)
        batch = obs[rows]
        weights = log_weights_of(system.model, batch, draw(batch), plan.chunk)
        shared = shared or weights.shared
        for names, part in zip(groups, parts, strict=True):
            log_w = weights.of(names)
            part.append(summarise_weights(log_w, weights.log_pi))
            if plan.target_error is not None:
                _refine(system, batch, names, log_w, weights.log_pi, part[-1], again or draw, plan)
    back = torch.cat(order).argsort().to(obs.device)
    results = []
    for names, part in zip(groups, parts, strict=True):
        columns = {key: torch.cat([p[key] for p in part])[back] for key in part[0]}
        result = LogLikelihood.of(columns, plan.num_samples, names, (), "", system.modalities)
        common = result.standard_error if shared else result.shared_error
        results.append(replace(result, shared_error=common))
    return results


def _refine(
    system: System,
    obs: Observations,
    names: tuple[str, ...],
    log_w: Tensor,
    log_pi: Tensor,
    found: dict[str, Tensor],
    draw: Draw,
    plan: Plan,
) -> None:
    """Double the draws of the rows whose error is too large or unknown, in ``found`` itself.

    A row stands in a batch once for every K further draws, so no more latents are held than in
    the first round.
    """
    held = torch.stack([obs.present[n] for n in names]).any(0)
    rows = (needs_more(found, plan) & held).nonzero().squeeze(-1)
    log_w, rounds = log_w[:, :, rows], 1
    while len(rows) and 2 * rounds * plan.num_samples <= plan.max_samples:
        copies = rows.repeat(rounds).split(max(1, _DRAWS_AT_ONCE // plan.num_samples))
        parts = [
            log_weights_of(system.model, obs[part], draw(obs[part]), plan.chunk).of(names)
            for part in copies
        ]
        more = torch.cat(parts, 2).unflatten(2, (rounds, len(rows)))  # (S, K, rounds, rows)
        log_w, rounds = torch.cat([log_w, more.flatten(1, 2)], 1), 2 * rounds
        now = summarise_weights(log_w, log_pi[:, rows])
        for key, column in now.items():
            found[key][rows] = column
        keep = needs_more(now, plan)
        rows, log_w = rows[keep], log_w[:, :, keep]


def needs_more(found: dict[str, Tensor], plan: Plan) -> Tensor:
    """The rows whose error is above the plan's target, or unknown; none without a target."""
    if plan.target_error is None:
        return torch.zeros_like(found["value"], dtype=torch.bool)
    return (found["standard_error"] > plan.target_error) | ~(found["pareto_k"] <= RELIABLE_K)


def blocks(system: System, obs: Observations, size: int) -> list[Tensor]:
    """Row indices, so many at a time; for a mixture guide, rows of one pattern together.

    Rows that hold the same modalities allow the same components, so none draws in vain.
    """
    rows = torch.arange(len(obs))
    if not getattr(system.guide, "family", ()):
        return list(rows.split(size))
    held = torch.stack([obs.present[n] for n in obs.names], 1).cpu()
    _, pattern = torch.unique(held, dim=0, return_inverse=True)
    groups = [rows[pattern == i] for i in range(int(pattern.max()) + 1)]
    return [block for group in groups for block in group.split(size)]
