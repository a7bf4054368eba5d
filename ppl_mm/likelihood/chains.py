"""Annealed chains of a block of rows, from a start f_0 to p(x, z) and back.

Shapes: K chains of B rows, D unconstrained coordinates of all latent sites side by side.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.annealing import anneal, transition, tuned
from ppl_mm.likelihood.path import Path, Point
from ppl_mm.likelihood.refined import Refined, check_refinable
from ppl_mm.likelihood.refined.annealed_path import AnnealedPath
from ppl_mm.likelihood.refined.draws import resampled
from ppl_mm.likelihood.row_noise import RowNoise, row_keys
from ppl_mm.programs.contracts import Guide

__all__ = ["Annealing", "Chains"]

Start = Literal["prior", "posterior", "refined"]
"""The distributions f_0 that chains start from."""

_CHAINS_AT_ONCE = 2**16  # (chain, row) pairs held at a time
_REFINED_AT_ONCE = 128  # rows
_TUNING_CHAINS = 8  # Chains that find step sizes.
_SETTLING = 5  # Transitions of draws of p(z | x) before their way back.


class Annealing:
    """The plan of chains from f_0 to p(x, z), see :mod:`ppl_mm.likelihood.annealing`.

    Args:
        num_chains: The number of chains K for each row and direction.
        num_temperatures: The number of temperatures T.
        num_leaps: The number of leapfrog steps of a transition.
        start: The start f_0: ``"prior"``, ``"posterior"`` (the guide's), or ``"refined"``, a
            proposal for each row.
        chunk: The most (chain, row) pairs that are decoded at a time.
        seed: The seed of refined proposals.

    Raises:
        ValueError: If a number is below 1.
    """

    def __init__(
        self,
        num_chains: int,
        num_temperatures: int,
        num_leaps: int,
        start: Start,
        chunk: int,
        seed: int,
    ) -> None:
        for what, number in (
            ("num_chains", num_chains),
            ("num_temperatures", num_temperatures),
            ("num_leaps", num_leaps),
            ("chunk", chunk),
        ):
            check_at_least_one(what, number)
        self.num_chains, self.num_temperatures = num_chains, num_temperatures
        self.num_leaps, self.start, self.chunk, self.seed = num_leaps, start, chunk, seed

    def blocks(self, num_rows: int) -> Sequence[Int[Tensor, " _"]]:
        """Blocks of row indices, as large as the chains that are held together allow."""
        size = max(1, _CHAINS_AT_ONCE // self.num_chains)
        if self.start == "refined":
            size = min(size, _REFINED_AT_ONCE)
        return torch.arange(num_rows).split(size)

    def chains(
        self,
        model: nn.Module,
        guide: Guide,
        obs: Observations,
        names: Sequence[str],
        given: Sequence[str],
    ) -> "Chains":
        """The chains to p(x_names, z) for a block of rows; a guide may look at ``given`` too."""
        return Chains(model, guide, obs.scoring(*names).given(*names, *given), self)

    def __str__(self) -> str:
        start = "refined proposal" if self.start == "refined" else self.start
        return f"{start}, annealed over {self.num_temperatures} temperatures"


class Chains:
    """Chains between f_0 and p(x, z), with step sizes found by chains of their own.

    Args:
        model: A Pyro program of observations.
        guide: The guide; not used where chains start at the prior.
        obs: The rows, with the modalities to score and those that the guide may look at.
        plan: The numbers of chains, temperatures and leaps, and the start.
    """

    def __init__(self, model: nn.Module, guide: Guide, obs: Observations, plan: Annealing) -> None:
        self.plan, self.keys = plan, row_keys(obs)
        self.plain = Path(model, None if plan.start == "prior" else guide, obs, plan.chunk)
        self.refined: Refined | None = None
        self.path: Any = self.plain
        if plan.start == "refined":
            self.refined = self._refined()
            self.path = AnnealedPath(self.plain, self.refined.proposal)
        point, _ = self._draws(_TUNING_CHAINS, "chains that tune")
        self.schedule = tuned(self.path, point, plan.num_temperatures, plan.num_leaps)

    def forward(self) -> tuple[Float[Tensor, "S K B"], Float[Tensor, "S B"]]:
        """log w of chains from f_0, (S, K, B), and the strata's log-probabilities, (S, B)."""
        point, log_pi = self._draws(self.plan.num_chains, "chains")
        log_w, _ = anneal(self.path, point, self.schedule)
        return log_w.unflatten(0, (len(log_pi), -1)), log_pi

    def back(self, point: Point) -> Float[Tensor, "K B"]:
        """Logs of estimates of 1 / p(x), (K, B): unbiased for chains from draws of p(z | x)."""
        log_w, _ = anneal(self.path, point, self.schedule, reverse=True)
        return -log_w

    def exact(self, latents: dict[str, Float[Tensor, "B ..."]]) -> Point:
        """K draws of p(z | x): from the latents (B, *event) that each row was simulated from.

        A few transitions that leave p(z | x) alone move the K chains apart.
        """
        position = self.plain.position({n: x[None, None] for n, x in latents.items()})
        return self._settled(position.expand(self.plan.num_chains, -1, -1))

    def approximate(self) -> Point:
        """K approximate draws of p(z | x): those of the refined proposal, resampled by weight.

        The same few transitions bring them closer to p(z | x).
        """
        if self.refined is None:
            self.refined = self._refined()
        plan = self.plan
        return self._settled(resampled(self.plain, self.refined, plan.num_chains, plan.seed))

    def _refined(self) -> Refined:
        check_refinable(self.plain)
        return Refined(self.plain, self.keys, self.plan.seed)

    def _settled(self, position: Tensor) -> Point:
        if self.path is not self.plain:
            position = self.path.first.whitened(position)
        point: Point = self.path.at(position)
        for step in list(self.schedule.steps)[-1:] * _SETTLING:  # none where T is 1
            point, _ = transition(self.path, point, 1.0, step, self.schedule.num_leaps)
        return point

    def _draws(self, num: int, purpose: str) -> tuple[Point, Tensor]:
        """Chains at draws of f_0 by stratum, (S K, B), and log-probabilities, (S, B)."""
        if self.path is self.plain:
            point = self.plain.draw(num)
            return point, torch.zeros_like(point.rise[:1])
        noise = RowNoise(self.keys, self.plan.seed, purpose)
        drawn: tuple[Point, Tensor] = self.path.draws(num, noise)
        return drawn
