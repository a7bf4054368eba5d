"""The proposal of every row: Student distributions and a base, each with its share of the draws.

    q(z)  =  3/5 first(z)  +  1/5 second(z)  +  1/5 base(z)

The second has a mode of its own where the row is known to have another, and else the mode of the
first with wider tails. The base is the guide's posterior, or the model's prior. Its share bounds
the weights by five times those of the base alone, and its draws reach modes that the Student
distributions miss.

Shapes: B rows, D unconstrained coordinates, C components of the base.
"""

from dataclasses import dataclass
from typing import Self

import torch
from pyro import poutine
from torch import Tensor

from ppl_mm.batch.observations import UnderStrata
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.student import Student
from ppl_mm.likelihood.row_noise import RowNoise
from ppl_mm.objectives.weights import guide_trace, model_trace, particles
from ppl_mm.programs.contracts import Mixed

__all__ = ["Base", "Proposal"]

_SHARES = (3, 1, 1)  # fifths
_WIDE = 1.3  # the scale of a second at the mode of the first


class Base:
    """Draws of f_0 by component: of the guide's posterior, or of the prior for a path without one.

    Args:
        path: The densities of B rows.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.obs = path, path.obs.scoring()
        guide = path.guide
        if isinstance(guide, Mixed) and guide.family:
            allowed = (guide.strata(self.obs).log_weight > -torch.inf).any(1).tolist()
            family = [s for s, a in zip(guide.family, allowed, strict=True) if a]
            self.obs = self.obs.strata(family)

    @property
    def log_pi(self) -> Tensor:
        """Log-probabilities of the components, (C, B); C is 1 where f_0 is no mixture."""
        if isinstance(self.obs, UnderStrata):
            return self.obs.log_weight
        return torch.zeros(1, len(self.obs), device=self.obs.device)

    def draw(self, num: int, noise: RowNoise) -> Tensor:
        """Positions (C, K, B, D), K from each component."""
        path, latents = self.path, {}
        with noise, particles(num):
            if path.guide is not None:
                q = guide_trace(path.guide, self.obs)
                latents = {n: q.nodes[n]["value"] for n in q.stochastic_nodes}
            lacking = [n for n in path.shapes if n not in latents]
            if lacking:  # they are drawn from the model
                known = poutine.condition(path.model, data=latents)
                p = model_trace(known, self.obs, path.absent)
                latents |= {n: p.nodes[n]["value"] for n in lacking}
        batch = (num, len(self.log_pi), len(self.obs))
        return path.position_by_stratum(latents, batch)


@dataclass(frozen=True)
class Proposal:
    """The proposals of B rows.

    Attributes:
        first: Student distributions.
        second: Student distributions.
        alone: The rows whose second has the mode of their first, (B,).
    """

    first: Student
    second: Student
    alone: Tensor

    @classmethod
    def at(cls, first: Student) -> Self:
        """At one mode a row."""
        alone = torch.ones_like(first.loc[:, 0], dtype=torch.bool)
        return cls(first, Student(first.loc.clone(), _WIDE * first.tril, first.nu), alone)

    def around(self, first: Student) -> Self:
        """With another first; the former one becomes the second, unless that has its own mode."""
        alone = self.alone[:, None]
        loc = torch.where(alone, self.first.loc, self.second.loc)
        tril = torch.where(alone[..., None], self.first.tril, self.second.tril)
        second = Student(loc, tril, first.nu)
        return type(self)(first, second, torch.zeros_like(self.alone))

    def rows(self, rows: Tensor) -> Self:
        """The proposals of some rows, a copy."""
        return type(self)(self.first.rows(rows), self.second.rows(rows), self.alone[rows])

    def put(self, rows: Tensor, other: "Proposal") -> None:
        """Replace the proposals of some rows."""
        self.first.put(rows, other.first)
        self.second.put(rows, other.second)
        self.alone[rows] = other.alone

    def draw(self, base: Base, num_samples: int, noise: RowNoise) -> tuple[Tensor, Tensor]:
        """Draws by stratum, (S, K, B, D), and the strata's log-probabilities, (S, B).

        Every component of the base has a stratum in each fifth, so that S = 5 C; K is
        ``num_samples`` / S, rounded up, and 2 at least, for the error.
        """
        log_pi = base.log_pi
        strata = len(log_pi)
        each = max(2, -(-num_samples // (sum(_SHARES) * strata)))
        student = sum(_SHARES[:2]) * strata * each
        size = self.first.loc.shape[1] + self.first.nu
        first, second = noise.normal(student, size, self.first.loc).split(
            [_SHARES[0] * strata * each, _SHARES[1] * strata * each]
        )
        drawn = [
            self.first.place(first).unflatten(0, (_SHARES[0] * strata, each)),
            self.second.place(second).unflatten(0, (_SHARES[1] * strata, each)),
            base.draw(_SHARES[2] * each, noise),
        ]
        fifth = log_pi.new_full(log_pi.shape, 1.0 / (sum(_SHARES) * strata)).log()
        by_component = log_pi + torch.tensor(_SHARES[2] / sum(_SHARES)).log()
        return torch.cat(drawn), torch.cat([fifth.repeat(sum(_SHARES[:2]), 1), by_component])

    def log_prob(self, position: Tensor, base: Tensor) -> Tensor:
        """log q at positions (K, B, D), (K, B), given the base's log-density there."""
        first, second = self.first.log_prob(position), self.second.log_prob(position)
        return self._mixed(first, second, base).logsumexp(0)

    def with_gradient(self, position: Tensor, base: Tensor, force: Tensor) -> tuple[Tensor, Tensor]:
        """log q and its gradient, given the base's log-density (K, B) and gradient (K, B, D)."""
        first, slope = self.first.with_gradient(position)
        second, other = self.second.with_gradient(position)
        parts = self._mixed(first, second, base)
        log_prob = parts.logsumexp(0)
        a, b, c = (parts - log_prob).exp()[..., None]
        return log_prob, a * slope + b * other + c * force

    def _mixed(self, *parts: Tensor) -> Tensor:
        """The parts' log-densities with their shares, (3, K, B)."""
        shares = parts[0].new_tensor(_SHARES) / sum(_SHARES)
        return torch.stack(parts) + shares.log()[:, None, None]
