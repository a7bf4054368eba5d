"""Pilot draws, which say how good a proposal is and which the estimate does not use."""

import math
from typing import NamedTuple, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.adaptive import adapted
from ppl_mm.likelihood.refined.proposal import Proposal
from ppl_mm.likelihood.row_noise import RowNoise
from ppl_mm.likelihood.summarise import pareto_k
from ppl_mm.results.log_likelihood import RELIABLE_K

__all__ = ["Pilot", "effective_draws", "quality", "quality_of"]

_PRIORS = (0.02, 0.1, 0.25, 0.5)  # shares of the prior to choose from
_PRIOR = 0.3  # the ESS of draws of the prior, as a share, at which it is the proposal
_AS_GOOD = 0.6  # and that over the other proposal's, as far as these draws tell
_PILOT_K = RELIABLE_K - 0.15  # of a good pilot: k is known to about a tenth


class Pilot(NamedTuple):
    """Draws of J proposals with what is known of their densities; L of B rows.

    Attributes:
        proposals: The proposals that the draws come from and how many each gave.
        position: The draws, (L, B, D).
        bases: The values of log f_0 and log p(z), (2, L, B).
        joint: The values of log p(x, z), (L, B).
        log_q: The log-densities of the proposals, (J, L, B).
    """

    proposals: list[tuple[Proposal, int]]
    position: Tensor
    bases: Tensor
    joint: Tensor
    log_q: Tensor

    @classmethod
    def of_prior(cls, path: Path, proposal: Proposal, position: Float[Tensor, "L B D"]) -> "Pilot":
        """Draws of the prior."""
        *bases, joint = path.values(position)
        every = torch.ones_like(proposal.alone)
        prior = [(proposal.of_prior(every), len(position))]
        return cls(prior, position, torch.stack(bases), joint, bases[1][None])

    def tried(self, path: Path, proposal: Proposal, num_draws: int, noise: RowNoise) -> "Pilot":
        """With so many draws of each row's own one of more proposals."""
        flat = proposal.draw(path, num_draws, noise)[0].flatten(0, 1)
        *both, joint = path.values(flat)
        bases = torch.stack(both)
        own = proposal.log_prob(flat, *bases)
        before = [q.log_prob(flat, *bases) for q, _ in self.proposals]
        now = torch.cat([proposal.log_prob(self.position, *self.bases), own])
        return Pilot(
            [*self.proposals, (proposal, len(flat))],
            torch.cat([self.position, flat]),
            torch.cat([self.bases, bases], 1),
            torch.cat([self.joint, joint]),
            torch.cat([torch.cat([self.log_q, torch.stack(before)], 1), now[None]]),
        )

    def rows(self, rows: Bool[Tensor, " B"]) -> Self:
        """The pilot of some rows."""
        proposals, position, *columns = self
        own = [(proposal.rows(rows), number) for proposal, number in proposals]
        return type(self)(own, position[:, rows], *(x[..., rows] for x in columns))

    def put(self, rows: Int[Tensor, " _"], other: "Pilot") -> None:
        """Replace the pilot of some rows by one of as many draws."""
        for (proposal, _), (its, _) in zip(self.proposals, other.proposals, strict=True):
            proposal.put(rows, its)
        self.position[:, rows] = other.position
        self.bases[..., rows], self.joint[..., rows] = other.bases, other.joint
        self.log_q[..., rows] = other.log_q

    @property
    def log_w(self) -> Float[Tensor, "L B"]:
        """The log-weights of all draws under the mixture of all proposals, (L, B)."""
        numbers = self.joint.new_tensor([number for _, number in self.proposals])
        shares = (numbers / numbers.sum()).log()
        return (self.joint - (self.log_q + shares[:, None, None]).logsumexp(0)).double()

    @property
    def excess(self) -> Float[Tensor, "L B"]:
        """The log-weights of all draws under the last proposal, (L, B)."""
        return (self.joint - self.log_q[-1]).nan_to_num(-math.inf)

    @property
    def quality(self) -> Float[Tensor, " B"]:
        """How good the last proposal is by its own draws, which had no part in making it, (B,)."""
        return _quality_unstratified((self.joint - self.log_q[-1])[-self.proposals[-1][1] :])

    def shares(self, proposal: Proposal) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """The effective sample sizes of all draws and of a proposal, as shares, (B,) each.

        With the weights w of the mixture of the proposals, both are the square of the mean of w
        over a mean, of w^2 or of w p(x, z) / q(z). Draws that q lacks are seen.
        """
        log_w = self.log_w.nan_to_num(nan=-math.inf)
        other = (self.joint - proposal.log_prob(self.position, *self.bases)).double()
        square = 2.0 * log_w.logsumexp(0) - math.log(len(log_w))
        both = [(log_w + x.nan_to_num(nan=-math.inf)).logsumexp(0) for x in (log_w, other)]
        own, its = [(square - x).exp().nan_to_num(0.0) for x in both]
        return own, its

    def weighing_prior(self, proposal: Proposal) -> Proposal:
        """With the prior's share, or the prior alone, by which these draws weigh most evenly."""
        tried = [proposal.with_prior(share) for share in _PRIORS]
        found, which = torch.stack([self.shares(other)[1] for other in tried]).max(0)
        best = proposal.rows(torch.arange(len(which), device=which.device))
        for i, other in enumerate(tried):
            here = (which == i).nonzero().squeeze(-1)
            best.put(here, other.rows(here))
        own = self.shares(proposal)[0]
        return best.of_prior((own > _PRIOR) & (own > _AS_GOOD * found))

    def by_mode(self, proposal: Proposal) -> Float[Tensor, "2 L B"]:
        """The log-weights of all draws for the moments of each Student distribution, (2, L, B).

        Where both have a mode of their own, a draw counts for each by the share of its density
        there. Where they have one mode, the first has all draws.
        """
        students = [s.log_prob(self.position) for s in (proposal.first, proposal.second)]
        parts = torch.stack(students) + proposal.share[:2, None].log()
        own = parts.log_softmax(0).double()
        alone = own.new_tensor([0.0, -math.inf])[:, None, None]
        log_w = torch.where(self.log_w.isnan(), -math.inf, self.log_w)
        return log_w + torch.where(proposal.alone, alone, own)

    def adapted(self, towards: Proposal) -> Proposal:
        """Proposals with the moments and the parts' shares of all draws, weighted.

        Args:
            towards: The proposals to whose Student distributions these shrink.
        """
        last = self.proposals[-1][0]
        parts = last.parts(self.position, *self.bases).softmax(0)
        squares = self.log_w + self.joint - self.log_q[-1]
        weight = squares.nan_to_num(nan=-math.inf).softmax(0).nan_to_num(0.0).to(parts)
        first, second = self.by_mode(last)
        moved = last.around(adapted(self.position, first, towards.first))
        two = (~last.alone).nonzero().squeeze(-1)
        own = self.position[:, two], second[:, two], towards.second.rows(two)
        moved.second.put(two, adapted(*own))
        return moved.sharing((weight * parts).sum(1))


def quality_of(
    path: Path, proposal: Proposal, num_draws: int, noise: RowNoise
) -> Float[Tensor, " B"]:
    """How good proposals are by so many draws that nothing else uses, (B,)."""
    position = proposal.draw(path, num_draws, noise)[0].flatten(0, 1)
    *bases, joint = path.values(position)
    return _quality_unstratified(joint - proposal.log_prob(position, *bases))


def quality(log_w: Float[Tensor, "S K B"], log_pi: Float[Tensor, "S B"]) -> Float[Tensor, " B"]:
    """How good the proposals are that gave draws their weights (S, K, B), (B,).

    It is the effective sample size as a share of the draws, or -k where k says that this share
    cannot be believed.
    """
    log_w = log_w.double()
    k = pareto_k(log_w, log_pi > -torch.inf)
    whole = (log_w + log_pi[:, None]).flatten(0, 1)
    return torch.where(k <= _PILOT_K, effective_draws(whole) / len(whole), -k.nan_to_num(math.inf))


def _quality_unstratified(log_w: Float[Tensor, "L B"]) -> Float[Tensor, " B"]:
    """How good the proposals are that gave draws their weights (L, B), (B,)."""
    return quality(log_w[None], torch.zeros_like(log_w[:1]))


def effective_draws(log_w: Float[Tensor, "L B"]) -> Float[Tensor, " B"]:
    """The effective sample size of weights, (B,)."""
    return (1.0 / log_w.softmax(0).square().sum(0)).nan_to_num(0.0)
