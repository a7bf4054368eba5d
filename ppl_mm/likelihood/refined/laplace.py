"""The Laplace approximation of every row's posterior, in unconstrained coordinates.

Shapes: B rows, D coordinates of all latent sites side by side.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.student import Student

__all__ = ["WIDER", "Start", "laplace"]

WIDER = 1.15
"""The proposal's scale over that of the Laplace approximation."""

_ASCENTS = 12  # steps of Adam towards the mode
_RATE = 0.1  # of these steps, in units of the start's scale
_NEWTON = 6  # steps of Newton's method at most
_DECREMENT = 0.05  # nats that a Newton step promises: one that promises less is a row's last
_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.02)  # of the Newton step, tried side by side
_CHORDS = 2  # further steps by the same second derivatives
_APPROACHES = 4  # steps from a heavy draw
_DIFFERENCE = 0.05  # the distance of differences, in units of the start's scale
_NUMBERS = 2**24  # that hold the positions of one call for second derivatives


class Start(NamedTuple):
    """Where the search for a mode begins.

    Attributes:
        loc: A point of high density, (B, D).
        scale: The posterior's scale there, about, (B, D).
        widest: The prior's scale, (B, D): no direction of the posterior is taken to be wider.
    """

    loc: Tensor
    scale: Tensor
    widest: Tensor


def laplace(path: Path, start: Start) -> Student:
    """A Student distribution with nu = 10 at a mode of p(x, z), a little wider than p there.

        loc  =  a mode z* of log p(x, z),      tril tril'  =  1.15^2 H^{-1},
        H    =  - d^2 log p(x, z) / dz^2  at z*

    Adam's steps approach the mode and damped Newton steps reach it, some of which use the second
    derivatives of the step before. H is a difference of gradients, so any Pyro model serves. Its
    eigenvalues, in units of the prior's precision, are taken absolutely and no smaller than 1:
    where the density is flat or curves upwards, the proposal is as wide as the prior.
    """
    loc = _ascended(path, start)
    scale = start.scale
    size = loc.shape[1]
    values = torch.ones_like(loc)
    vectors = torch.eye(size).to(loc).expand(len(loc), -1, -1).clone()
    rows = torch.arange(len(loc), device=loc.device)
    for _ in range(_NEWTON):
        here, wide = path.rows(rows), start.widest[rows]
        now, force = (x[0] for x in here.slope(loc[rows][None]))
        curvature = _curvature(here, loc[rows], force, scale[rows])
        e, v = torch.linalg.eigh(curvature * wide[:, :, None] * wide[:, None])
        e = e.abs().clamp(min=1.0)
        values[rows], vectors[rows] = e, v
        step, promised = _newton(e, v, force, wide)
        loc[rows], gained = _searched(here, loc[rows], step, now)
        again = (promised > _DECREMENT) & gained
        rows, e, v, wide = rows[again], e[again], v[again], wide[again]
        if len(rows) == 0:
            break
        here = path.rows(rows)
        for _ in range(_CHORDS):
            now, force = (x[0] for x in here.slope(loc[rows][None]))
            step, _ = _newton(e, v, force, wide)
            loc[rows], _ = _searched(here, loc[rows], step, now)
    root = vectors * (WIDER / values.sqrt())[:, None]
    return Student(loc, _triangular(root * start.widest[:, :, None]))


def approached(path: Path, loc: Tensor, student: Student) -> Tensor:
    """Points (B, D) after a few steps of Newton's method with a Student distribution's shape."""
    for _ in range(_APPROACHES):
        now, force = (x[0] for x in path.slope(loc[None]))
        along = torch.einsum("bji,bj->bi", student.tril, force.nan_to_num(0.0))
        step = torch.einsum("bij,bj->bi", student.tril, along) / WIDER**2
        loc, _ = _searched(path, loc, step, now)
    return loc


def _ascended(path: Path, start: Start) -> Tensor:
    """The best point of some steps of Adam, in units of the start's scale."""
    y = torch.zeros_like(start.loc)
    mean, square = torch.zeros_like(y), torch.zeros_like(y)
    best, best_y = y.new_full((len(y),), -torch.inf), y
    for i in range(1, _ASCENTS + 1):
        value, force = (x[0] for x in path.slope((start.loc + start.scale * y)[None]))
        force = (force * start.scale).nan_to_num(0.0)
        up = value > best
        best, best_y = torch.where(up, value, best), torch.where(up[:, None], y, best_y)
        mean, square = 0.9 * mean + 0.1 * force, 0.95 * square + 0.05 * force**2
        rate = _RATE * min(1.0, 2.0 * (1.0 - i / _ASCENTS) + 0.05)
        y = y + rate * (mean / (1 - 0.9**i)) / ((square / (1 - 0.95**i)).sqrt() + 1e-8)
    return start.loc + start.scale * best_y


def _newton(e: Tensor, v: Tensor, force: Tensor, wide: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's step, (B, D), and the nats that it promises, (B,)."""
    along = torch.einsum("bij,bi->bj", v, force * wide)
    return torch.einsum("bij,bj->bi", v, along / e) * wide, 0.5 * (along**2 / e).sum(-1)


def _curvature(path: Path, loc: Tensor, force: Tensor, scale: Tensor) -> Tensor:
    """Minus the second derivatives of log p(x, z), (B, D, D)."""
    size = loc.shape[1]
    parts = []
    for rows in torch.arange(len(loc), device=loc.device).split(max(1, _NUMBERS // size**2)):
        h = _DIFFERENCE * scale[rows]
        moves = torch.eye(size, device=loc.device, dtype=loc.dtype)[:, None] * h
        _, forces = path.rows(rows).slope(loc[rows] + moves)
        second = ((force[rows] - forces) / h.T[:, :, None]).movedim(1, 0)
        parts.append(0.5 * (second + second.mT))
    return torch.cat(parts).nan_to_num(0.0)


def _searched(path: Path, loc: Tensor, step: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """The best point along a step, and whether it is better than where the step begins."""
    lengths = torch.tensor(_LENGTHS).to(loc)[:, None, None]
    tried = loc + lengths * step
    best, which = path.joint(tried).nan_to_num(-torch.inf).max(0)
    gained = best > value
    found = tried.gather(0, which[None, :, None].expand(1, *loc.shape))[0]
    return torch.where(gained[:, None], found, loc), gained


def _triangular(root: Tensor) -> Tensor:
    """The lower Cholesky factor L of root root', from a QR decomposition, (B, D, D)."""
    r = torch.linalg.qr(root.mT).R
    sign = r.diagonal(dim1=-2, dim2=-1).sign()
    return (r * torch.where(sign == 0, 1.0, sign)[..., None]).mT
