"""Pilot draws, which say how good a proposal is and which the estimate does not use."""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.adaptive import adapted
from ppl_mm.likelihood.refined.proposal import Base, Proposal
from ppl_mm.likelihood.row_noise import RowNoise
from ppl_mm.likelihood.summarise import pareto_k
from ppl_mm.results.log_likelihood import RELIABLE_K

__all__ = ["Pilot", "quality"]

_PILOT_K = RELIABLE_K - 0.15  # of a good pilot: k is known to about a tenth


class Pilot(NamedTuple):
    """Draws of proposals with what is known of their densities; L of B rows.

    Attributes:
        proposals: The proposals that the draws come from and how many each gave; the last is on
            trial.
        position: The draws, (L, B, D).
        base: The values of log f_0, (L, B).
        joint: The values of log p(x, z), (L, B).
        log_share: The log of the share of each draw's stratum, over that in equal shares, (L, B).
        quality: See :func:`quality`, (B,).
    """

    proposals: list[tuple[Proposal, int]]
    position: Tensor
    base: Tensor
    joint: Tensor
    log_share: Tensor
    quality: Tensor

    @classmethod
    def of(cls, path: Path, proposal: Proposal, num_draws: int, noise: RowNoise) -> "Pilot":
        """So many draws of each row's proposal."""
        drawn, log_pi = proposal.draw(Base(path), num_draws, noise)
        flat = drawn.flatten(0, 1)
        base, joint = path.values(flat)
        log_w = (joint - proposal.log_prob(flat, base)).unflatten(0, drawn.shape[:2])
        share = (log_pi + math.log(len(log_pi))).repeat_interleave(drawn.shape[1], 0)
        return cls([(proposal, len(flat))], flat, base, joint, share, quality(log_w, log_pi))

    def rows(self, rows: Tensor) -> Self:
        """The pilot of some rows."""
        proposals, position, *columns = self
        own = [(proposal.rows(rows), number) for proposal, number in proposals]
        return type(self)(own, position[:, rows], *(x[..., rows] for x in columns))

    def joined(self, other: "Pilot") -> "Pilot":
        """The draws of two pilots of the same rows, with the quality of the second."""
        pairs = zip(self[1:5], other[1:5], strict=True)
        position, base, joint, share = (torch.cat(pair) for pair in pairs)
        proposals = self.proposals + other.proposals
        return Pilot(proposals, position, base, joint, share, other.quality)

    @property
    def proposal(self) -> Proposal:
        """The proposals on trial."""
        return self.proposals[-1][0]

    def adapted(self) -> Proposal:
        """Proposals around the moments of all draws, weighted by the mixture of the proposals."""
        parts = [
            proposal.log_prob(self.position, self.base) + math.log(number / len(self.position))
            for proposal, number in self.proposals
        ]
        log_w = self.joint - torch.stack(parts).logsumexp(0) + self.log_share
        anchor = self.proposals[0][0]
        return anchor.around(adapted(self.position, log_w, anchor.first))


def quality(log_w: Tensor, log_pi: Tensor) -> Tensor:
    """How good the proposals are that gave draws their weights (S, K, B), (B,).

    It is the effective sample size as a share of the draws, or -k where k says that this share
    cannot be believed.
    """
    log_w = log_w.double()
    k = pareto_k(log_w, log_pi > -torch.inf)
    share = (log_w + log_pi[:, None]).flatten(0, 1).softmax(0)
    effective = 1.0 / (share.square().sum(0) * len(share))
    return torch.where(k <= _PILOT_K, effective.nan_to_num(0.0), -k.nan_to_num(math.inf))
