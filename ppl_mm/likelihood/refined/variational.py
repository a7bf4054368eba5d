"""A Normal distribution with full covariance, fitted to every row's posterior by its ELBO."""

import torch

from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.student import Student
from ppl_mm.likelihood.row_noise import RowNoise

__all__ = ["fitted"]

_STEPS = 100
_DRAWS = 8  # of each step, in antithetic pairs
_RATE = 0.02
_WIDER = 1.15


def fitted(path: Path, start: Student, noise: RowNoise) -> Student:
    """A Student distribution with nu = 10 around the Normal that maximises the ELBO of a row.

        z  =  loc_0 + L_0 (a + W e),      e ~ Normal(0, I),  W lower triangular

    a and W go by 100 steps of Adam along the path derivative of E[log p(x, z) - log q(z)], 8 draws
    each in antithetic pairs, and are averaged over the last quarter of the steps.

    Source: Roeder, Wu & Duvenaud 2017, arXiv:1703.09194 (the gradient without the score's term).
    """
    size = start.loc.shape[1]
    a, log_diagonal = torch.zeros_like(start.loc), torch.zeros_like(start.loc)
    below = torch.zeros_like(start.tril)
    moments = [[torch.zeros_like(x), torch.zeros_like(x)] for x in (a, log_diagonal, below)]
    kept = [torch.zeros_like(x) for x in (a, log_diagonal, below)]
    last = _STEPS // 4
    normals = noise.normal(_STEPS * _DRAWS // 2, size, start.loc).unflatten(0, (_STEPS, -1))
    for i in range(1, _STEPS + 1):
        w = below.tril(-1) + torch.diag_embed(log_diagonal.exp())
        e = torch.cat([normals[i - 1], -normals[i - 1]])
        y = a + torch.einsum("bij,kbj->kbi", w, e)
        _, force = path.slope(start.loc + torch.einsum("bij,kbj->kbi", start.tril, y))
        force = torch.einsum("bji,kbj->kbi", start.tril, force)
        # d log q / dy at fixed parameters: - W^-T e
        pull = torch.linalg.solve_triangular(w.mT, e.permute(1, 2, 0), upper=True).permute(2, 0, 1)
        slope = (force + pull).nan_to_num(0.0, 0.0, 0.0)
        outer = torch.einsum("kbi,kbj->bij", slope, e) / _DRAWS
        gradients = (
            slope.mean(0),
            outer.diagonal(dim1=-2, dim2=-1) * log_diagonal.exp(),
            outer.tril(-1),
        )
        rate = _RATE * min(1.0, 2.0 * (1.0 - i / _STEPS) + 0.02)
        for x, g, (mean, square) in zip((a, log_diagonal, below), gradients, moments, strict=True):
            mean.mul_(0.9).add_(g, alpha=0.1)
            square.mul_(0.95).addcmul_(g, g, value=0.05)
            step = (mean / (1 - 0.9**i)) / ((square / (1 - 0.95**i)).sqrt() + 1e-8)
            x.add_(rate * step)
        if i > _STEPS - last:
            for total, x in zip(kept, (a, log_diagonal, below), strict=True):
                total.add_(x / last)
    a, log_diagonal, below = kept
    w = below.tril(-1) + torch.diag_embed(log_diagonal.exp())
    loc = start.loc + torch.einsum("bij,bj->bi", start.tril, a)
    return Student(loc, _WIDER * start.tril @ w, start.nu)
