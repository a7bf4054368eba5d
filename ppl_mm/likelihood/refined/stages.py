"""The stages that a block of rows goes through, and the draws of its proposals in the end."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ppl_mm.likelihood.annealing import anneal, tuned
from ppl_mm.likelihood.importance import Draws
from ppl_mm.likelihood.path import Path, Point
from ppl_mm.likelihood.refined.adaptive import adapted
from ppl_mm.likelihood.refined.annealed_path import AnnealedPath
from ppl_mm.likelihood.refined.laplace import Start, laplace
from ppl_mm.likelihood.refined.proposal import Base, Proposal
from ppl_mm.likelihood.refined.student import Student
from ppl_mm.likelihood.refined.variational import fitted
from ppl_mm.likelihood.row_noise import RowNoise
from ppl_mm.likelihood.summarise import summarise_weights
from ppl_mm.results.log_likelihood import RELIABLE_K, STAGES

__all__ = ["REFINEMENTS", "Refined"]

REFINEMENTS = ("auto", "none", *STAGES[1:])
"""What ``refine`` can be: stages as they are needed, none, or one of them for every row."""

_START = 32  # draws of each of the base's components, which say where it is
_PILOT = {"laplace": 250, "variational": 500, "adaptive": 500}
_ENOUGH = {"laplace": 0.2, "variational": 0.2, "adaptive": 0.2, "annealed": 0.4}
"""The ESS of a good pilot, as a share of its draws."""
_PILOT_K = RELIABLE_K - 0.15  # of a good pilot: k is known to about a tenth
_TELLING = 2.0  # nats of a draw's weight above p(x) by the first mode alone
_APART = 6.0  # squared distance of another mode, in deviations, beside two for each coordinate
_NEGLIGIBLE = 7.0  # nats below the first: a mode that counts for nothing
_ROUNDS = 3  # of adaptive importance sampling, at most
_TEMPERATURES = (16, 64)  # so many, then as pilot chains ask for them
_CHAINS, _LEAPS = 128, 3
_TUNING_CHAINS = 8


class _Pilot(NamedTuple):
    """Draws with what is known of their densities; L of B rows.

    Attributes:
        position: (L, B, D).
        base: log f_0, (L, B).
        joint: log p(x, z), (L, B).
        log_share: Log of the share of each draw's stratum, over that in equal shares, (L, B).
        quality: The ESS as a share of the draws; -k where k says that it cannot be believed, (B,).
    """

    position: Tensor
    base: Tensor
    joint: Tensor
    log_share: Tensor
    quality: Tensor

    def rows(self, rows: Tensor) -> Self:
        """Those of some rows."""
        position, *columns = self
        return type(self)(position[:, rows], *(x[..., rows] for x in columns))

    def joined(self, other: "_Pilot") -> "_Pilot":
        """The draws of two pilots of the same rows, with the quality of the second."""
        pairs = zip(self[:4], other[:4], strict=True)
        position, base, joint, share = (torch.cat(pair) for pair in pairs)
        return _Pilot(position, base, joint, share, other.quality)


class Refined:
    """Proposals of a block of rows, each refined as far as its row needs.

    Args:
        path: The path from the base to p(x, z).
        keys: The rows' fingerprints, see :func:`ppl_mm.likelihood.row_noise.row_keys`.
        seed: The seed of all draws.
        refine: One of ``REFINEMENTS`` but "none".

    Attributes:
        stage: The stage that gives each row's number, as indices in ``STAGES``, (B,).
    """

    def __init__(self, path: Path, keys: Sequence[bytes], seed: int, refine: str = "auto") -> None:
        self.path, self.keys, self.seed, self.asked = path, list(keys), seed, refine
        rows = torch.arange(len(keys), device=path.obs.device)
        self.stage = torch.full_like(rows, STAGES.index("laplace"))
        self.quality = torch.full_like(rows, -math.inf, dtype=torch.float64)
        self.proposal = self._at_modes(rows)
        left = rows if refine == "annealed" else rows[:0]
        if refine in ("auto", "variational", "adaptive"):
            pilot = self._piloted(rows, self.proposal, "laplace")
            self.quality = pilot.quality
        if refine == "auto":
            left, pilot = self._poor(rows, pilot, "laplace")
            left, pilot = self._vary(left, pilot)
            left = self._adapt(left, pilot)
        elif refine == "variational":
            self._vary(rows, pilot)
        elif refine == "adaptive":
            self._adapt(rows, pilot)
        self.stage[left] = STAGES.index("annealed")

    def draw(self, rows: Tensor, num_samples: int, purpose: str) -> Draws:
        """Draws of some rows' proposals, for importance sampling; independent for each purpose."""
        path, proposal = self.path.rows(rows), self.proposal.rows(rows)
        position, log_pi = proposal.draw(Base(path), num_samples, self._noise(rows, purpose))
        flat = position.flatten(0, 1)
        log_q = proposal.log_prob(flat, path.base(flat)) - path.log_volume(flat)
        return Draws(path.latents(flat), log_q, log_pi)

    def annealed(self, rows: Tensor, purpose: str) -> Draws:
        """The ends of chains from some rows' proposals to p(x, z), in place of draws.

        Their ``log_q`` is log p(x, z) at the end less the log-weight of the chain, so that they are
        weighed as draws are. The chains of all these rows have equally many temperatures.
        """
        number = int(self.temperatures[rows[0]])
        path, point, log_w, log_pi = self._chains(rows, number, purpose)
        latents, joint = path.end(point)
        return Draws(latents, joint - log_w.to(joint), log_pi)

    @cached_property
    def temperatures(self) -> Tensor:
        """The number of temperatures of each row's chains, 0 where it has none, (B,).

        Pilot chains over few say which rows need more.
        """
        out = torch.zeros_like(self.stage)
        rows = (self.stage == STAGES.index("annealed")).nonzero().squeeze(-1)
        for number in _TEMPERATURES:
            out[rows] = number
            if len(rows) == 0 or number == _TEMPERATURES[-1]:
                break
            _, _, log_w, log_pi = self._chains(rows, number, f"pilot chains {number}")
            quality = _quality(log_w.unflatten(0, (len(log_pi), -1)), log_pi)
            rows = rows[quality < _ENOUGH["annealed"]]
        return out

    def _chains(
        self, rows: Tensor, num_temperatures: int, purpose: str
    ) -> tuple[AnnealedPath, Point, Tensor, Tensor]:
        """The path of chains, their ends and log-weights, and the strata's log-probabilities."""
        path = AnnealedPath(self.path.rows(rows), self.proposal.rows(rows))
        point, _ = path.draws(_TUNING_CHAINS, self._noise(rows, "chains that tune"))
        noise = self._noise(rows, "tuning")
        schedule = tuned(path, point, num_temperatures, _LEAPS, noise)
        point, log_pi = path.draws(_CHAINS, self._noise(rows, purpose))
        log_w, point = anneal(path, point, schedule, self._noise(rows, f"annealing, {purpose}"))
        return path, point, log_w, log_pi

    def _at_modes(self, rows: Tensor) -> Proposal:
        """Student distributions at a mode, and at another where draws of the prior tell of one."""
        start, wide = self._start(rows)
        first = laplace(self.path, start)
        second, alone = first.rows(rows), torch.ones_like(rows, dtype=torch.bool)
        _, joint = self.path.values(wide)
        excess = (joint - first.log_prob(wide)).nan_to_num(-torch.inf)
        best = excess.argmax(0)
        told = excess.amax(0) > self._mass(rows, first) + _TELLING
        left = told.nonzero().squeeze(-1)
        if len(left) > 0:
            at = Start(wide[best[left], left], start.scale[left], start.widest[left])
            other, mine = laplace(self.path.rows(left), at), first.rows(left)
            away = (mine.whitened(other.loc[None])[0] ** 2).sum(-1)
            counts = self._mass(left, other) > self._mass(left, mine) - _NEGLIGIBLE
            apart = (away > _APART + 2.0 * other.loc.shape[1]) & counts
            second.put(left[apart], other.rows(apart))
            alone[left[apart]] = False
        return Proposal(first, second, alone)

    def _mass(self, rows: Tensor, student: Student) -> Tensor:
        """The log of the integral of p(x, z) if it had q's shape around q's mode, (B,)."""
        _, joint = self.path.rows(rows).values(student.loc[None])
        return joint[0] - student.log_prob(student.loc[None])[0]

    def _start(self, rows: Tensor) -> tuple[Start, Tensor]:
        """The mean and scale of the base's component whose mean has the highest density.

        And draws of the prior, (L, B, D).
        """
        base = Base(self.path)
        drawn = base.draw(_START, self._noise(rows, "start"))
        means, scales = drawn.mean(1), drawn.std(1)
        _, joint = self.path.values(means)
        joint = joint.masked_fill(base.log_pi == -torch.inf, -torch.inf).nan_to_num(-torch.inf)
        best = joint.argmax(0)[None, :, None].expand(1, *means.shape[1:])
        prior = Path(self.path.model, None, self.path.obs, self.path.chunk)
        wide = Base(prior).draw(2 * _START, self._noise(rows, "prior"))[0]
        low, high = wide.quantile(wide.new_tensor([0.1587, 0.8413]), 0)  # one deviation each way
        widest = (0.5 * (high - low)).clamp(min=1e-6)
        scale = torch.minimum(scales.gather(0, best)[0], widest).clamp(min=1e-6)
        return Start(means.gather(0, best)[0], scale, widest), wide

    def _vary(self, rows: Tensor, pilot: _Pilot) -> tuple[Tensor, _Pilot]:
        """Fit Normals with full covariance; the rows that are still poor, with their pilot."""
        if len(rows) == 0:
            return rows, pilot
        own = self.proposal.rows(rows)
        found = fitted(self.path.rows(rows), own.first, self._noise(rows, "variational"))
        proposal = own.around(found)
        pilot = self._piloted(rows, proposal, "variational")
        self._offer(rows, proposal, pilot, "variational")
        return self._poor(rows, pilot, "variational")

    def _adapt(self, rows: Tensor, pilot: _Pilot) -> Tensor:
        """Adapt to the moments of all draws so far, round by round; the rows still poor."""
        proposals = [self.proposal.rows(rows)]
        for i in range(_ROUNDS):
            if len(rows) == 0:
                break
            log_q = torch.stack([p.log_prob(pilot.position, pilot.base) for p in proposals])
            log_q = log_q.logsumexp(0) - math.log(len(proposals))
            anchor = proposals[0].first
            found = adapted(pilot.position, pilot.joint - log_q + pilot.log_share, anchor)
            proposals.append(proposals[0].around(found))
            fresh = self._piloted(rows, proposals[-1], f"adaptive {i}")
            self._offer(rows, proposals[-1], fresh, "adaptive")
            keep = self.quality[rows] < _ENOUGH["adaptive"]
            pilot = pilot.joined(fresh).rows(keep)
            rows, proposals = rows[keep], [p.rows(keep) for p in proposals]
        return rows

    def _piloted(self, rows: Tensor, proposal: Proposal, purpose: str) -> _Pilot:
        """Draws of a proposal that is on trial."""
        path, num = self.path.rows(rows), _PILOT[purpose.split()[0]]
        drawn, log_pi = proposal.draw(Base(path), num, self._noise(rows, f"pilot {purpose}"))
        flat = drawn.flatten(0, 1)
        base, joint = path.values(flat)
        log_w = (joint - proposal.log_prob(flat, base)).unflatten(0, drawn.shape[:2])
        share = (log_pi + math.log(len(log_pi))).repeat_interleave(drawn.shape[1], 0)
        return _Pilot(flat, base, joint, share, _quality(log_w, log_pi))

    def _offer(self, rows: Tensor, proposal: Proposal, pilot: _Pilot, stage: str) -> None:
        """Take a proposal in the rows in which its pilot is the better one, or if it is asked."""
        better = pilot.quality > self.quality[rows]
        better = better | (self.asked != "auto")
        taken = rows[better]
        self.proposal.put(taken, proposal.rows(better))
        self.stage[taken], self.quality[taken] = STAGES.index(stage), pilot.quality[better]

    def _poor(self, rows: Tensor, pilot: _Pilot, stage: str) -> tuple[Tensor, _Pilot]:
        """The rows whose proposal is not good enough, with their pilot."""
        poor = self.quality[rows] < _ENOUGH[stage]
        return rows[poor], pilot.rows(poor)

    def _noise(self, rows: Tensor, purpose: str) -> RowNoise:
        return RowNoise([self.keys[i] for i in rows.tolist()], self.seed, purpose)


def _quality(log_w: Tensor, log_pi: Tensor) -> Tensor:
    """That of pilot draws with weights (S, K, B), see :class:`_Pilot`."""
    found = summarise_weights(log_w, log_pi)
    k, share = found["pareto_k"], found["ess"] / log_w.shape[:2].numel()
    return torch.where(k <= _PILOT_K, share, -k.nan_to_num(math.inf))
