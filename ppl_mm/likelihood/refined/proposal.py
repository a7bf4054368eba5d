"""The proposal of every row: Student distributions, the guide and the prior, each with a share.

    q(z)  =  a_1 first(z)  +  a_2 second(z)  +  a_3 guide(z)  +  a_4 p(z)

The first has the posterior's mode and curvature, or the moments of draws. The second has a mode of
its own where a heavy draw of a pilot or of the prior leads to another, and moments likewise. Else
it has the mode that is known, with wider tails. The guide's share is 20 % at least, which bounds
the weights by five times those of the guide alone. The prior's is 2 % at least, and more where its
draws tell that the rest misses some of the posterior. Where x says little of z, the prior is all of
the proposal: the weights are then p(x | z), however many modes the prior has.

Shapes: B rows, D unconstrained coordinates, C components of a mixture guide.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Bool, Float, Int, Shaped
from pyro import poutine
from torch import Tensor

from ppl_mm.batch.observations import Observations, UnderStrata
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.student import Student
from ppl_mm.likelihood.row_noise import RowNoise
from ppl_mm.objectives.weights import guide_trace, model_trace, particles
from ppl_mm.programs.contracts import Mixed

__all__ = ["Base", "Proposal"]

_STRATA = 10  # of equal probability
_SPANS = (1, 3, _STRATA)  # of the strata: so many are drawn for a part that lies in their last ones
_SHARES = (0.585, 0.195, 0.2, 0.02)  # at the beginning
_LEAST = (0.2, 0.2, 0.02)  # of both Student distributions, the guide and the prior
_FIRST = 0.75  # of what both Student distributions have
_WIDE = 1.3  # the scale of a second at the mode of the first


class Base:
    """Draws of f_0: of the guide's posterior, or of the prior for a path without one.

    Args:
        path: The densities of B rows.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.obs = path, path.obs.scoring()

    def draw(self, num: int, noise: RowNoise) -> Float[Tensor, "{num} B D"]:
        """Positions (K, B, D)."""
        return self._drawn(self.obs, num, noise)[0]

    def by_component(
        self, num: int, noise: RowNoise
    ) -> tuple[Float[Tensor, "C {num} B D"], Bool[Tensor, "C B"]]:
        """Positions (C, K, B, D), K from each component, and the rows that have it, (C, B).

        C is 1 where f_0 is no mixture.
        """
        obs, guide = self.obs, self.path.guide
        if isinstance(guide, Mixed) and guide.family:
            allowed = (guide.strata(obs).log_weight > -torch.inf).any(1).tolist()
            obs = obs.strata([s for s, a in zip(guide.family, allowed, strict=True) if a])
        drawn = self._drawn(obs, num, noise)
        if isinstance(obs, UnderStrata):
            return drawn, obs.log_weight > -torch.inf
        return drawn, torch.ones_like(drawn[:, 0, :, 0], dtype=torch.bool)

    def _drawn(self, obs: Observations, num: int, noise: RowNoise) -> Tensor:
        path, latents = self.path, {}
        with noise, particles(num):
            if path.guide is not None:
                q = guide_trace(path.guide, obs)
                latents = {n: q.nodes[n]["value"] for n in q.stochastic_nodes}
            lacking = [n for n in path.shapes if n not in latents]
            if lacking:  # they are drawn from the model
                known = poutine.condition(path.model, data=latents)
                p = model_trace(known, obs, path.absent)
                latents |= {n: p.nodes[n]["value"] for n in lacking}
        strata = len(obs.log_weight) if isinstance(obs, UnderStrata) else 1
        return path.position_by_stratum(latents, (num, strata, len(obs)))


@dataclass(frozen=True)
class Proposal:
    """The proposals of B rows.

    Attributes:
        first: Student distributions.
        second: Student distributions.
        alone: The rows whose second has the mode of their first, (B,).
        share: a_1 to a_4, (4, B).
    """

    first: Student
    second: Student
    alone: Tensor
    share: Tensor

    @classmethod
    def at(cls, first: Student) -> Self:
        """At one mode a row."""
        alone = torch.ones_like(first.loc[:, 0], dtype=torch.bool)
        share = first.loc.new_tensor(_SHARES)[:, None].repeat(1, len(alone))
        return cls(first, first.wider(_WIDE), alone, share)

    def around(self, first: Student) -> Self:
        """With another first; the second is the same with wider tails, or keeps its own mode."""
        alone, wide = self.alone[:, None], first.wider(_WIDE)
        loc = torch.where(alone, wide.loc, self.second.loc)
        tril = torch.where(alone[..., None], wide.tril, self.second.tril)
        return replace(self, first=first, second=Student(loc, tril, first.nu))

    def sharing(self, mass: Float[Tensor, "4 B"]) -> Self:
        """With shares that follow the posterior's mass of each part, (4, B), and are not too small.

        What is the Student distributions' is divided as it was.
        """
        mass = torch.stack([mass[0] + mass[1], mass[2], mass[3]])
        least = mass.new_tensor(_LEAST)[:, None]
        own, *bases = least + (1.0 - least.sum()) * mass
        return replace(self, share=torch.stack([_FIRST * own, (1.0 - _FIRST) * own, *bases]))

    def of_prior(self, rows: Bool[Tensor, " B"]) -> Self:
        """The same, but in some rows the prior alone, (B,)."""
        prior = torch.zeros_like(self.share)
        prior[3] = 1.0
        return replace(self, share=torch.where(rows, prior, self.share))

    def with_prior(self, share: float) -> Self:
        """With that share of the prior, at the Student distributions' expense."""
        guide = self.share[2:3]
        own = self.share[:2] * (1.0 - guide - share) / self.share[:2].sum(0)
        return replace(self, share=torch.cat([own, guide, torch.full_like(guide, share)]))

    @property
    def without_prior(self) -> Self:
        """With the prior's share divided among the others, as their shares begin."""
        others = self.share.new_tensor((*_SHARES[:3], 0.0))[:, None]
        kept = self.share * (others > 0.0)
        return replace(self, share=kept + self.share[3] * others / others.sum())

    def rows(self, rows: Shaped[Tensor, " _"]) -> Self:
        """The proposals of some rows, a copy."""
        students = self.first.rows(rows), self.second.rows(rows)
        return type(self)(*students, self.alone[rows], self.share[:, rows])

    def put(self, rows: Int[Tensor, " _"], other: "Proposal") -> None:
        """Replace the proposals of some rows."""
        self.first.put(rows, other.first)
        self.second.put(rows, other.second)
        self.alone[rows], self.share[:, rows] = other.alone, other.share

    def draw(
        self, path: Path, num_samples: int, noise: RowNoise
    ) -> tuple[Float[Tensor, "S K B D"], Float[Tensor, "S B"]]:
        """Draws by stratum, (S, K, B, D), and the strata's log-probabilities, (S, B).

        A draw's part is where a uniform number lies among the shares. The numbers of stratum s of
        S = 10 are those between s / S and (s + 1) / S. K is ``num_samples`` / S, rounded up, and 2
        at least, for the error.
        """
        each = max(2, -(-num_samples // _STRATA))
        number, like = _STRATA * each, self.first.loc
        normals = noise.normal(number, like.shape[1], like)
        u = noise.uniform(torch.Size((1 + self.first.nu // 2, number, len(like))), like)
        stratum = torch.arange(_STRATA, device=like.device).repeat_interleave(each)[:, None]
        part = (self.share.cumsum(0)[:-1, None] <= (stratum + u[0]) / _STRATA).sum(0)
        squares = -2.0 * (1.0 - u[1:]).prod(0).log()  # a draw of Chi2(nu), as nu is even
        drawn = self._of_students(normals, squares.clamp(min=1e-6), part)
        for i, base in enumerate((path, path.from_prior), 2):
            for rows, num in self._spans(i, each):
                found = Base(base.rows(rows)).draw(num, noise.of(rows, f"part {i}"))
                chosen = (part[-num:, rows] == i)[..., None]
                drawn[-num:, rows] = torch.where(chosen, found, drawn[-num:, rows])
        strata = drawn.unflatten(0, (_STRATA, each))
        return strata, like.new_full((_STRATA, len(like)), 1.0 / _STRATA).log()

    def _of_students(self, normals: Tensor, squares: Tensor, part: Tensor) -> Tensor:
        """Draws of the first and of the second where they are the part, (K, B, D)."""
        drawn = torch.zeros_like(normals)
        for i, student in enumerate((self.first, self.second)):
            its = part == i
            here = its.any(1).nonzero().squeeze(-1)  # a stretch, as parts come by stratum
            if len(here) > 0:
                span = slice(int(here[0]), int(here[-1]) + 1)
                found = student.place(normals[span], squares[span])
                drawn[span] = torch.where(its[span, :, None], found, drawn[span]) if i else found
        return drawn

    def _spans(self, part: int, each: int) -> Iterator[tuple[Tensor, int]]:
        """Rows, and how many draws at the end may be of a part, as many for each row as it needs.

        The part may have numbers in the last strata alone, those from its lower end on.
        """
        lower = (self.share[:part].sum(0) * _STRATA - 1e-3).floor().clamp(min=0.0)
        most = 0
        for span in _SPANS:
            rows = ((most < _STRATA - lower) & (_STRATA - lower <= span)).nonzero().squeeze(-1)
            if len(rows) > 0:
                yield rows, span * each
            most = span

    def log_prob(
        self, position: Float[Tensor, "K B D"], *bases: Float[Tensor, "K B"]
    ) -> Float[Tensor, "K B"]:
        """log q at positions (K, B, D), (K, B), given the guide's and prior's log-density there.

        Without that of the prior it is the log of q less the prior's part.
        """
        return self.parts(position, *bases).logsumexp(0)

    def parts(
        self, position: Float[Tensor, "K B D"], *bases: Float[Tensor, "K B"]
    ) -> Float[Tensor, "P K B"]:
        """The log-densities of the parts with their shares, (4, K, B), or of the first three."""
        both = [student.log_prob(position) for student in (self.first, self.second)]
        parts = torch.stack([*both, *bases])
        return parts + self.share[: len(parts), None].log()

    def with_gradient(
        self,
        position: Float[Tensor, "K B D"],
        base: Float[Tensor, "K B"],
        force: Float[Tensor, "K B D"],
    ) -> tuple[Float[Tensor, "K B"], Float[Tensor, "K B D"]]:
        """log q and its gradient, given the guide's log-density (K, B) and gradient (K, B, D).

        The prior must have no share.
        """
        first, slope = self.first.with_gradient(position)
        second, other = self.second.with_gradient(position)
        parts = torch.stack([first, second, base]) + self.share[:3].log()[:, None]
        log_prob = parts.logsumexp(0)
        a, b, c = (parts - log_prob).exp()[..., None]
        return log_prob, a * slope + b * other + c * force
