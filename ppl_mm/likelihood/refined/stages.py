"""The stages that a block of rows goes through, and the draws of its proposals in the end."""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from ppl_mm.likelihood.annealing import Schedule, anneal, temperatures, tuned
from ppl_mm.likelihood.importance import Draws
from ppl_mm.likelihood.path import Path, Point
from ppl_mm.likelihood.refined.adaptive import adapted
from ppl_mm.likelihood.refined.annealed_path import AnnealedPath
from ppl_mm.likelihood.refined.laplace import Start, laplace
from ppl_mm.likelihood.refined.modes import another_mode, heavy, mass
from ppl_mm.likelihood.refined.pilot import Pilot, effective_draws, quality, quality_of
from ppl_mm.likelihood.refined.proposal import Base, Proposal
from ppl_mm.likelihood.refined.variational import fitted
from ppl_mm.likelihood.row_noise import RowNoise
from ppl_mm.results.log_likelihood import STAGES

__all__ = ["REFINEMENTS", "Refined"]

REFINEMENTS = ("auto", "none", *STAGES[1:])
"""What ``refine`` can be: stages as they are needed, none, or one of them for every row."""

_START = 32  # draws of each of the base's components, which say where it is
_PILOT = {"laplace": 400, "variational": 500}  # draws
_AGAIN = 2000  # draws of another look at a proposal that is doubtful
_ROUNDS = (500, 1000, 2000)  # draws of each round of adaptive importance sampling
_ENOUGH = 0.2  # the quality of a good pilot
_TOLERABLE = 0.05  # the quality at which draws are worth as much as chains
_TOLD = 0.03  # the ESS of draws of the prior, as a share, at which its share is worth a choice
_MORE = 256  # of these draws, to choose it by
_KNOWN = 4.0  # effective draws a coordinate, from which moments are as good as the mode
_TELLING = 2.0  # nats of a draw's weight above p(x) by the first mode alone
_TEMPERATURES = (16, 64)  # the second where pilot chains over the first are not good
_GOOD = 0.4  # the quality of good chains
_CHAINS, _LEAPS = 128, 3
_TUNING_CHAINS = 8


class Refined:
    """Proposals of a block of rows, each refined as far as its row needs.

    Args:
        path: The path from the base to p(x, z).
        keys: The rows' fingerprints, see :func:`ppl_mm.likelihood.row_noise.row_keys`.
        seed: The seed of all draws.
        refine: One of ``REFINEMENTS`` but "none".

    Attributes:
        stage: The stage that gives each row's number, as indices in ``STAGES``, (B,).
        laplace: The Student distributions at the modes, from which all stages begin.
    """

    def __init__(self, path: Path, keys: Sequence[bytes], seed: int, refine: str = "auto") -> None:
        self.path, self.keys, self.seed, self.asked = path, list(keys), seed, refine
        rows = torch.arange(len(keys), device=path.obs.device)
        self.stage = torch.full_like(rows, STAGES.index("laplace"))
        self.quality = torch.full_like(rows, -math.inf, dtype=torch.float64)
        self.proposal = self._at_modes(rows)
        self.laplace = self.proposal.first.rows(rows)
        self._steps: dict[int, Tensor] = {}
        left = rows if refine == "annealed" else self._improved(rows, refine)
        self.stage[left] = STAGES.index("annealed")

    def draw(self, rows: Int[Tensor, " B"], num_samples: int, purpose: str) -> Draws:
        """Draws of some rows' proposals, for importance sampling; independent for each purpose."""
        path, proposal = self.path.rows(rows), self.proposal.rows(rows)
        position, log_pi = proposal.draw(path, num_samples, self._noise(rows, purpose))
        flat = position.flatten(0, 1)
        log_q = proposal.log_prob(flat, path.base(flat)) - path.log_volume(flat)
        return Draws(path.latents(flat), log_q, log_pi, proposal.share[3])

    def annealed(self, rows: Int[Tensor, " B"], purpose: str) -> Draws:
        """The ends of chains from some rows' proposals to p(x, z), in place of draws.

        Their ``log_q`` is log p(x, z) at the end less the log-weight of the chain, so that they are
        weighed as draws are. The chains of all these rows have equally many temperatures.
        """
        number = int(self.temperatures[rows[0]])
        path, point, log_w, log_pi = self._chains(rows, number, purpose)
        latents, joint = path.end(point)
        return Draws(latents, joint - log_w.to(joint), log_pi)

    @cached_property
    def temperatures(self) -> Int[Tensor, " B"]:
        """The number of temperatures of each row's chains, 0 where it has none, (B,).

        Pilot chains over few say which rows need more.
        """
        out = torch.zeros_like(self.stage)
        rows = (self.stage == STAGES.index("annealed")).nonzero().squeeze(-1)
        if len(rows) > 0:
            few, many = _TEMPERATURES
            _, _, log_w, log_pi = self._chains(rows, few, f"pilot chains {few}")
            found = quality(log_w.unflatten(0, (len(log_pi), -1)), log_pi)
            out[rows] = torch.where(found < _GOOD, many, few)
        return out

    def _chains(
        self, rows: Tensor, num_temperatures: int, purpose: str
    ) -> tuple[AnnealedPath, Point, Tensor, Tensor]:
        """The path of chains, their ends and log-weights, and the strata's log-probabilities."""
        path = AnnealedPath(self.path.rows(rows), self.proposal.rows(rows))
        schedule = self._schedule(path, rows, num_temperatures)
        point, log_pi = path.draws(_CHAINS, self._noise(rows, purpose))
        log_w, point = anneal(path, point, schedule, self._noise(rows, f"annealing, {purpose}"))
        return path, point, log_w, log_pi

    def _schedule(self, path: AnnealedPath, rows: Tensor, num_temperatures: int) -> Schedule:
        """Temperatures and step sizes, which each row's chains look for once."""
        steps = self._steps.setdefault(
            num_temperatures, self.quality.new_full((num_temperatures - 1, len(self.stage)), 0.0)
        )
        if bool((steps[:, rows] == 0.0).any()):
            point, _ = path.draws(_TUNING_CHAINS, self._noise(rows, "chains that tune"))
            noise = self._noise(rows, "tuning")
            steps[:, rows] = tuned(path, point, num_temperatures, _LEAPS, noise).steps.to(steps)
        own = steps[:, rows].to(self.proposal.first.loc)
        return Schedule(temperatures(num_temperatures), own, _LEAPS)

    def _at_modes(self, rows: Tensor) -> Proposal:
        """Student distributions at a mode, and at another where draws of the prior tell of one."""
        start, wide = self._start(rows)
        first = laplace(self.path, start)
        proposal = Proposal.at(first)
        self._began, self._wide = start, Pilot.of_prior(self.path, proposal, wide)
        joint = self._wide.joint
        excess = (joint - first.log_prob(wide)).nan_to_num(-torch.inf)
        told = excess.amax(0) > mass(self.path, first) + _TELLING
        another_mode(self.path, start, proposal, wide, excess, told.nonzero().squeeze(-1))
        self._weigh_prior(proposal)
        return proposal

    def _weigh_prior(self, proposal: Proposal) -> None:
        """Choose the prior's share by more of its draws, where the first ones tell of it."""
        rows = (self._wide.shares(proposal)[0] > _TOLD).nonzero().squeeze(-1)
        if len(rows) > 0:
            path, own = self.path.rows(rows), proposal.rows(rows)
            noise = self._noise(rows, "more of the prior")
            more = Pilot.of_prior(path, own, Base(path.from_prior).draw(_MORE, noise))
            proposal.put(rows, more.weighing_prior(own))

    def _start(self, rows: Tensor) -> tuple[Start, Tensor]:
        """The mean and scale of the base's component whose mean has the highest density.

        And draws of the prior, (L, B, D).
        """
        drawn, allowed = Base(self.path).by_component(_START, self._noise(rows, "start"))
        means, scales = drawn.mean(1), drawn.std(1)
        joint = self.path.joint(means).masked_fill(~allowed, -torch.inf).nan_to_num(-torch.inf)
        best = joint.argmax(0)[None, :, None].expand(1, *means.shape[1:])
        wide = Base(self.path.from_prior).draw(2 * _START, self._noise(rows, "prior"))
        low, high = wide.quantile(wide.new_tensor([0.1587, 0.8413]), 0)  # one deviation each way
        widest = (0.5 * (high - low)).clamp(min=1e-6)
        scale = torch.minimum(scales.gather(0, best)[0], widest).clamp(min=1e-6)
        return Start(means.gather(0, best)[0], scale, widest), wide

    def _improved(self, rows: Tensor, refine: str) -> Tensor:
        """Improve the proposals of the rows whose pilot is poor; the rows that are still poor.

        The moments of draws are the cheaper way. Where they do not help, a Normal is fitted first.
        Proposals with two modes, and those that remain poor, are judged again by more draws.
        """
        auto = refine == "auto"
        pilot = self._at_other_modes(self._wide_and_own(rows, "pilot laplace"))
        self.quality = pilot.quality
        self._center(pilot)
        self._look_again((~self.proposal.alone).nonzero().squeeze(-1), "second look at two modes")
        if refine == "laplace":
            return rows[:0]
        if auto:
            rows, pilot = self._poor(rows, pilot, _ENOUGH)
        if refine != "variational":
            rows, pilot = self._adapted(rows, pilot, "adaptive")
        if auto:
            self._look_again(rows, "second look")
            rows, pilot = self._poor(rows, pilot, _TOLERABLE)
        if len(rows) == 0 or refine == "adaptive":
            return rows[:0]
        own = self.proposal.rows(rows)
        found = fitted(self.path.rows(rows), own.first, self._noise(rows, "variational"))
        around, number = own.around(found), _PILOT["variational"]
        pilot = self._tried(rows, pilot, around, number, "variational", "pilot variational")
        if not auto:
            return rows[:0]
        rows, pilot = self._poor(rows, pilot, _ENOUGH)
        rows, pilot = self._adapted(rows, pilot, "adaptive again")
        self._look_again(rows, "third look")
        return self._poor(rows, pilot, _TOLERABLE)[0]

    def _wide_and_own(self, rows: Tensor, purpose: str) -> Pilot:
        """Pilot draws of the prior and of some rows' proposals."""
        every = torch.zeros_like(self.stage, dtype=torch.bool)
        every[rows] = True
        own, number = self.proposal.rows(rows), _PILOT["laplace"]
        noise = self._noise(rows, purpose)
        return self._wide.rows(every).tried(self.path.rows(rows), own, number, noise)

    def _at_other_modes(self, pilot: Pilot) -> Pilot:
        """Look for another mode where a pilot draw is heavy; the pilot with new draws there."""
        excess = pilot.excess
        rows = heavy(excess).nonzero().squeeze(-1)
        found = another_mode(self.path, self._began, self.proposal, pilot.position, excess, rows)
        if len(found) > 0:
            pilot.put(found, self._wide_and_own(found, "pilot of two modes"))
        return pilot

    def _center(self, pilot: Pilot) -> None:
        """Give Student distributions the moments of a pilot's draws, where these tell enough.

        A second without a mode of its own keeps that of the first. With D coordinates and n
        effective draws the mean is off by D / n squared deviations.
        """
        students = self.proposal.first, self.proposal.second
        for student, log_w in zip(students, pilot.by_mode(self.proposal), strict=True):
            enough = effective_draws(log_w) > _KNOWN * student.loc.shape[1]
            rows = (enough & (self.proposal.share[0] > 0.0)).nonzero().squeeze(-1)
            own = pilot.position[:, rows], log_w[:, rows], student.rows(rows)
            student.put(rows, adapted(*own))

    def _adapted(self, rows: Tensor, pilot: Pilot, purpose: str) -> tuple[Tensor, Pilot]:
        """Adapt to the moments of all draws so far, round by round; the rows still poor."""
        anchor = pilot.proposals[-1][0]
        for num in _ROUNDS:
            if len(rows) == 0:
                break
            moved = pilot.adapted(anchor)
            pilot = self._tried(rows, pilot, moved, num, "adaptive", f"pilot {purpose} {num}")
            keep = self.quality[rows] < _ENOUGH
            anchor = anchor.rows(keep)
            rows, pilot = self._poor(rows, pilot, _ENOUGH)
        return rows, pilot

    def _poor(self, rows: Tensor, pilot: Pilot, enough: float) -> tuple[Tensor, Pilot]:
        keep = self.quality[rows] < enough
        return rows[keep], pilot.rows(keep)

    def _look_again(self, rows: Tensor, purpose: str) -> None:
        """Let new draws of some rows' proposals say that these are worse than pilots told."""
        if len(rows) > 0:
            path, own = self.path.rows(rows), self.proposal.rows(rows)
            found = quality_of(path, own, _AGAIN, self._noise(rows, purpose))
            self.quality[rows] = torch.minimum(self.quality[rows], found)

    def _tried(
        self, rows: Tensor, pilot: Pilot, proposal: Proposal, num: int, stage: str, purpose: str
    ) -> Pilot:
        """Take a proposal in the rows in which its draws are the better ones, or if it is asked."""
        pilot = pilot.tried(self.path.rows(rows), proposal, num, self._noise(rows, purpose))
        quality = pilot.quality
        better = (quality > self.quality[rows]) | (self.asked != "auto")
        taken = rows[better]
        self.proposal.put(taken, proposal.rows(better))
        self.stage[taken], self.quality[taken] = STAGES.index(stage), quality[better]
        return pilot

    def _noise(self, rows: Tensor, purpose: str) -> RowNoise:
        return RowNoise([self.keys[i] for i in rows.tolist()], self.seed, purpose)
