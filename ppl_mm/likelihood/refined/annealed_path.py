"""The densities between a row's proposal and p(x, z), in coordinates that the proposal whitens."""

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.likelihood.path import Path, Point
from ppl_mm.likelihood.refined.proposal import Proposal
from ppl_mm.likelihood.row_noise import RowNoise

__all__ = ["AnnealedPath"]


class AnnealedPath:
    """The path from f_0 = q(z), the proposal, to f_1 = p(x, z), in positions y (K, B, D).

    The latents are z = loc + tril y, where loc and tril are those of the proposal's first part. A
    Hamiltonian transition in y therefore has one step size for all directions.

    Args:
        path: The densities of B rows.
        proposal: The proposal for the same rows.
    """

    def __init__(self, path: Path, proposal: Proposal) -> None:
        self.path, self.proposal, self.first = path, proposal.without_prior, proposal.first

    def draws(self, num_chains: int, noise: RowNoise) -> tuple[Point, Float[Tensor, "S B"]]:
        """Chains at draws of the proposal by stratum, (S K, B), and log-probabilities, (S, B)."""
        position, log_pi = self.proposal.draw(self.path, num_chains, noise)
        return self.at(self.first.whitened(position.flatten(0, 1))), log_pi

    def at(self, y: Float[Tensor, "K B D"]) -> Point:
        """The point at positions (K, B, D)."""
        tril = self.first.tril
        z = self.first.loc + torch.einsum("bij,kbj->kbi", tril, y)
        point = self.path.at(z)
        joint, force = point.start + point.rise, point.start_force + point.rise_force
        log_q, pull = self.proposal.with_gradient(z, point.start, point.start_force)
        forces = [torch.einsum("bji,kbj->kbi", tril, f) for f in (pull, force - pull)]
        return Point(y, log_q + self.first.log_volume(), joint - log_q, *forces)

    def end(
        self, point: Point
    ) -> tuple[dict[str, Float[Tensor, "K 1 B ..."]], Float[Tensor, "K B"]]:
        """The latents of points, site -> (K, 1, B, *event), and log p(x, latents), (K, B)."""
        z = self.first.loc + torch.einsum("bij,kbj->kbi", self.first.tril, point.position)
        joint = point.start + point.rise - self.first.log_volume()
        return self.path.latents(z), joint - self.path.log_volume(z)
