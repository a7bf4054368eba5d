"""Importance sampling of rows, a block at a time, with more draws for the rows that need them."""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.estimand import Estimand
from ppl_mm.likelihood.importance import Draws, Sampler, log_weights_of, shared_by
from ppl_mm.modality import Modality
from ppl_mm.processes import seed_torch
from ppl_mm.programs.asked import family_of
from ppl_mm.results.log_likelihood import RELIABLE_K, LogLikelihood
from ppl_mm.systems import System

__all__ = [
    "WEIGHTS_KEPT",
    "Block",
    "Noise",
    "Plan",
    "blocks",
    "guide_blocks",
    "needs_more",
    "torchs_own",
    "weigh",
]

_DRAWS_AT_ONCE = 2**17  # (draw, row) pairs whose latents are held at a time
_WEIGHTS_AT_ONCE = 2**24  # (draw, row) pairs whose weights are held at a time
WEIGHTS_KEPT = 2**26  # log-weights that a result carries at most: 256 MiB


@dataclass(frozen=True)
class Plan:
    """The number of draws of a row, and of those that are decoded at a time.

    Attributes:
        num_samples: The number of draws K of every row.
        chunk: The most (draw, row) pairs that are decoded at a time.
        target_error: The standard error at which a row is done; None stops after K draws.
        max_samples: The most draws of a row, if there is a target.

    Raises:
        ValueError: If a number is below 1, the target not above 0, or the maximum below K.
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
        """The plan of each of ``parts`` parts that are drawn independently and added up."""
        if self.target_error is None:
            return self
        return replace(self, target_error=self.target_error / parts**0.5)


@dataclass(frozen=True)
class Block:
    """Rows that are drawn for together.

    Attributes:
        rows: Their indices, (B,).
        draw: A function from indices of the block's rows and the number of a round to K draws of
            each row; different rounds have independent draws.
        stage: The stage of the rows' proposals, an index in ``STAGES``.
    """

    rows: Tensor
    draw: Callable[[Tensor, int], Draws]
    stage: Tensor | int = 0


Noise = Callable[[Observations, int], AbstractContextManager[Any]]
"""A function from rows and the number of a round to a handler that makes their random numbers."""


def torchs_own(obs: Observations, round: int) -> AbstractContextManager[None]:
    """Random numbers of torch's generators, in their order."""
    return nullcontext()


def guide_blocks(
    system: System,
    obs: Observations,
    sampler: Sampler,
    evidence: Sequence[str],
    plan: Plan,
    shared: Draws | None = None,
    noise: Noise = torchs_own,
    seed: int = 0,
    own: slice = slice(None),
) -> Iterator[Block]:
    """Blocks of rows whose draws come from a sampler as it is.

    Every block has random numbers of its own, whichever process draws the others; the first
    continues torch's own stream.

    Args:
        system: The system whose programs are drawn from.
        obs: The rows, with the modalities to score.
        sampler: The source of draws.
        evidence: The modalities that the guide looks at.
        plan: The number of draws.
        shared: Draws of the first round that all rows share; with None, each row has its own.
        noise: The source of the random numbers of the draws.
        seed: The seed of the blocks but the first.
        own: The blocks to yield.
    """
    parts = blocks(system, obs, plan.rows_at_once)
    held = torch.cat(parts[own]).sort().values
    asked = zlib.crc32(repr((obs.names, evidence)).encode())
    for i, rows in list(enumerate(parts))[own]:
        batch = obs[rows].given(*evidence)

        def draw(part: Tensor, round: int, batch: Observations = batch) -> Draws:
            if shared is not None and round == 0:
                return shared_by(shared, len(part))
            own = batch[part]
            with noise(own, round):
                return sampler(system.model, system.guide, own, plan.num_samples)

        with _stream((seed * 1_000_003 + i) ^ asked, system.device) if i else nullcontext():
            yield Block(torch.searchsorted(held, rows), draw)


@contextmanager
def _stream(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from a seed inside; afterwards torch's generators are in their former states."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_torch(seed)
        yield


def weigh(
    system: System,
    obs: Observations,
    estimands: Sequence[Estimand],
    parts: Iterable[Block],
    plan: Plan,
) -> list[LogLikelihood]:
    """The answer to each estimand in every row, from one set of draws.

    Args:
        system: The system whose model scores the draws.
        obs: The rows.
        estimands: The estimands to answer.
        parts: The blocks, which hold all rows.
        plan: The number of draws.
    """
    obs = obs.scoring(*{n: None for estimand in estimands for n in estimand.scored})
    found = [_Collected(estimand) for estimand in estimands]
    shared = False
    for block in parts:
        batch = obs[block.rows]
        every = torch.arange(len(batch), device=obs.device)
        weights = log_weights_of(system.model, batch, block.draw(every, 0), plan.chunk)
        shared = shared or weights.shared
        for one in found:
            terms = one.estimand.terms(weights)
            columns = one.put(block.rows, terms, weights.log_pi)
            columns["refinement"] = columns["refinement"] + block.stage
            if plan.target_error is not None:
                _add_draws(system, batch, block, one, terms, weights.log_pi, plan)
    results = []
    for one in found:
        result = one.result(plan.num_samples, system.modalities)
        if shared:
            result = result.sharing(torch.zeros_like(result.draws))
            result = replace(result, shared_error=result.standard_error)
        results.append(result)
    return results


class _Collected:
    """The columns and log-weights of one estimand, block by block."""

    def __init__(self, estimand: Estimand) -> None:
        self.estimand = estimand
        self.rows: list[Tensor] = []
        self.columns: list[dict[str, Tensor]] = []
        self.weights: list[tuple[Tensor, Tensor]] = []
        self.numbers = 0

    def put(
        self,
        rows: Int[Tensor, " B"],
        terms: Sequence[Float[Tensor, "S K B"]],
        log_pi: Float[Tensor, "S B"],
    ) -> dict[str, Shaped[Tensor, " B"]]:
        """Summarise the draws of a block."""
        self.rows.append(rows)
        self.columns.append(self.estimand.columns(terms, log_pi))
        self._keep(rows, terms, log_pi)
        return self.columns[-1]

    def change(
        self,
        which: Int[Tensor, " n"],
        terms: Sequence[Float[Tensor, "S K n"]],
        log_pi: Float[Tensor, "S n"],
    ) -> dict[str, Shaped[Tensor, " n"]]:
        """Summarise all draws of some rows of the last block."""
        now = self.estimand.columns(terms, log_pi)
        last = self.columns[-1]
        for key, column in now.items():
            if key != "refinement":
                last[key][which] = column
        self._keep(self.rows[-1].to(which.device)[which], terms, log_pi)
        return now

    def _keep(self, rows: Tensor, terms: Sequence[Tensor], log_pi: Tensor) -> None:
        kept = terms[0].shape[0] * terms[0].shape[1] * len(rows)
        self.numbers += kept
        if self.numbers <= WEIGHTS_KEPT:
            self.weights.append((rows, self.estimand.log_weights(terms, log_pi)))

    def result(self, num_samples: int, modalities: Sequence[Modality]) -> LogLikelihood:
        """All rows, in order."""
        order = torch.cat([rows.cpu() for rows in self.rows])
        columns = {key: torch.cat([part[key] for part in self.columns]) for key in self.columns[0]}
        back = order.argsort().to(columns["value"].device)
        columns = {key: column[back] for key, column in columns.items()}
        names = self.estimand.names
        found = LogLikelihood.of(columns, num_samples, names, (), "", modalities)
        return replace(found, log_weights=self._weights(len(order)))

    def _weights(self, num_rows: int) -> Tensor | None:
        if self.numbers > WEIGHTS_KEPT:
            return None
        most = max(len(weights) for _, weights in self.weights)
        out = self.weights[0][1].new_full((most, num_rows), math.nan)
        for rows, weights in self.weights:
            out[: len(weights), rows.to(out.device)] = weights
        return out


def _add_draws(
    system: System,
    obs: Observations,
    block: Block,
    found: _Collected,
    terms: Sequence[Tensor],
    log_pi: Tensor,
    plan: Plan,
) -> None:
    """Double the draws of the rows whose error is too large or unknown."""
    held = torch.stack([obs.present[n] for n in found.estimand.names]).any(0)
    rows = (needs_more(found.columns[-1], plan) & held).nonzero().squeeze(-1)
    terms, rounds = [x[:, :, rows] for x in terms], 1
    while len(rows) and 2 * rounds * plan.num_samples <= plan.max_samples:
        for i in range(rounds, 2 * rounds):
            draws = block.draw(rows, i)
            more = found.estimand.terms(log_weights_of(system.model, obs[rows], draws, plan.chunk))
            terms = [torch.cat(pair, 1) for pair in zip(terms, more, strict=True)]
        rounds = 2 * rounds
        now = found.change(rows, terms, log_pi[:, rows])
        keep = needs_more(now, plan)
        rows, terms = rows[keep], [x[:, :, keep] for x in terms]


def needs_more(found: dict[str, Shaped[Tensor, " B"]], plan: Plan) -> Bool[Tensor, " B"]:
    """The rows whose error is above the plan's target, or unknown; none without a target."""
    if plan.target_error is None:
        return torch.zeros_like(found["value"], dtype=torch.bool)
    return (found["standard_error"] > plan.target_error) | ~(found["pareto_k"] <= RELIABLE_K)


def blocks(system: System, obs: Observations, size: int) -> list[Int[Tensor, " _"]]:
    """Blocks of at most ``size`` row indices; for a mixture guide, rows of one pattern together.

    Rows that hold the same modalities allow the same components, so no draw of the others is made.
    """
    rows = torch.arange(len(obs))
    if not family_of(system.guide):
        return list(rows.split(size))
    held = torch.stack([obs.present[n] for n in obs.names], 1).cpu()
    _, pattern = torch.unique(held, dim=0, return_inverse=True)
    groups = [rows[pattern == i] for i in range(int(pattern.max()) + 1)]
    return [block for group in groups for block in group.split(size)]
