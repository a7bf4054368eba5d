"""Adaptive importance sampling: a proposal with the weighted moments of the draws so far.

Shapes: L draws of B rows in D coordinates.

Source: Cornuet, Marin, Mira & Robert 2012, "Adaptive multiple importance sampling", Scandinavian
Journal of Statistics 39 (draws of all rounds weighted by the mixture of their proposals).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.likelihood.refined.student import Student

__all__ = ["adapted"]

_WIDER = 1.15
_HALVINGS = 25  # of the interval that holds the temperature


def adapted(
    position: Float[Tensor, "L B D"], log_w: Float[Tensor, "L B"], towards: Student
) -> Student:
    """A Student distribution with the weighted mean and covariance of draws.

    The weights w^b are tempered, b <= 1, so that their effective sample size reaches 2 D + 10, or
    half the draws where these are fewer. The covariance shrinks to that of ``towards`` by the share
    D / (D + n), n the effective sample size.

    Args:
        position: Draws, (L, B, D).
        log_w: Their log-weights, (L, B); -inf where a draw does not count.
        towards: The proposal to shrink to.
    """
    num, _, size = position.shape
    share = _tempered(log_w.double(), min(2.0 * size + 10.0, num / 2.0)).to(position)
    loc = (share[..., None] * position).sum(0)
    away = position - loc
    covariance = torch.einsum("kbi,kbj->bij", share[..., None] * away, away)
    effective = 1.0 / (share**2).sum(0)
    shrink = (size / (size + effective))[:, None, None]
    covariance = (1.0 - shrink) * covariance + shrink * towards.tril @ towards.tril.mT
    ridge = 1e-5 * covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    eye = torch.eye(size).to(covariance)
    tril, failed = torch.linalg.cholesky_ex(_WIDER**2 * (covariance + ridge * eye))
    bad = (failed != 0) | ~loc.isfinite().all(-1) | ~tril.isfinite().all((-1, -2))
    return Student(
        torch.where(bad[:, None], towards.loc, loc),
        torch.where(bad[:, None, None], towards.tril, tril),
        towards.nu,
    )


def _tempered(log_w: Tensor, target: float) -> Tensor:
    """Normalised weights w^b with the largest b <= 1 whose effective sample size is enough."""
    log_w = torch.where(log_w.isnan(), -torch.inf, log_w)
    best = log_w.max(0).values
    log_w = log_w - torch.where(best.isfinite(), best, 0.0)
    found = log_w.softmax(0)
    few = (1.0 / (found**2).sum(0) < target).nonzero().squeeze(-1)
    log_w = log_w[:, few]
    counts = log_w > -torch.inf

    def share(b: Tensor) -> Tensor:
        return torch.where(counts, b * log_w.clamp(min=-1e300), -torch.inf).softmax(0)

    low, high = torch.zeros_like(best[few]), torch.ones_like(best[few])
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        good = 1.0 / (share(middle) ** 2).sum(0) >= target
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    found[:, few] = share(low)
    return found
