"""The proposal of every row: Student distributions, the guide and the prior, each with a share.

    q(z)  =  a_1 first(z)  +  a_2 second(z)  +  a_3 guide(z)  +  a_4 p(z)

The second has a mode of its own where the row is known to have another, and else the mode of the
first with wider tails. The guide's share is 20 % at least, which bounds the weights by five times
those of the guide alone. The prior's is 2 % at least. Where x says little of z, the prior is all of
the proposal: the weights are then p(x | z), however many modes the prior has.

Shapes: B rows, D unconstrained coordinates, C components of a mixture guide.
"""

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
        second = Student(first.loc.clone(), _WIDE * first.tril, first.nu)
        share = first.loc.new_tensor(_SHARES)[:, None].repeat(1, len(alone))
        return cls(first, second, alone, share)

    def around(self, first: Student) -> Self:
        """With another first; the second is the same with wider tails, or keeps its own mode."""
        alone = self.alone[:, None]
        loc = torch.where(alone, first.loc, self.second.loc)
        tril = torch.where(alone[..., None], _WIDE * first.tril, self.second.tril)
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
        normals = noise.normal(number, like.shape[1] + self.first.nu, like)
        u = noise.uniform(torch.Size((number, len(like))), like)
        stratum = torch.arange(_STRATA, device=like.device).repeat_interleave(each)[:, None]
        part = (self.share.cumsum(0)[:-1, None] <= (stratum + u) / _STRATA).sum(0)
        parts = [self.first.place(normals), self.second.place(normals)]
        parts += [Base(base).draw(number, noise) for base in (path, path.from_prior)]
        index = part[None, ..., None].expand(1, *parts[0].shape)
        drawn = torch.stack(parts).gather(0, index)[0].unflatten(0, (_STRATA, each))
        return drawn, like.new_full((_STRATA, len(like)), 1.0 / _STRATA).log()

    def log_prob(
        self, position: Float[Tensor, "K B D"], *bases: Float[Tensor, "K B"]
    ) -> Float[Tensor, "K B"]:
        """log q at positions (K, B, D), (K, B), given the guide's and prior's log-density there."""
        return self.parts(position, *bases).logsumexp(0)

    def parts(
        self, position: Float[Tensor, "K B D"], *bases: Float[Tensor, "K B"]
    ) -> Float[Tensor, "4 K B"]:
        """The log-densities of the parts with their shares, (4, K, B)."""
        first, second = self.first.log_prob(position), self.second.log_prob(position)
        return torch.stack([first, second, *bases]) + self.share.log()[:, None]

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
