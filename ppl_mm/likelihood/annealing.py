"""Annealed importance sampling with Hamiltonian transitions, all rows and chains at once.

    f_t(z)  =  f_0(z)^{1 - beta_t} p(x, z)^{beta_t},      0 = beta_0 < ... < beta_T = 1
    log w   =  sum_t (beta_t - beta_{t-1}) r(z_{t-1}),    r(z) = log p(x, z) - log f_0(z)

z_0 is drawn from f_0, the prior or the guide's posterior, and z_t from z_{t-1} by a transition that
leaves f_t alone; w is an unbiased estimate of p(x). The same sum along the temperatures backwards,
from z_{T-1} of the true posterior, is the log of an unbiased estimate of 1 / p(x).

Shapes: K chains of B rows, D unconstrained coordinates of all latent sites side by side.

Sources: Neal 2001, "Annealed importance sampling", Statistics and Computing 11; Neal 2011,
arXiv:1206.1901 (Hamiltonian transitions); Wu et al. 2017, arXiv:1611.04273 (decoders, with a
step size at an acceptance of 0.65).
"""

import math
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from ppl_mm.likelihood.path import Point

__all__ = ["Schedule", "anneal", "temperatures", "transition", "tuned"]

_ACCEPTANCE = 0.65  # Neal 2011: the best for Hamiltonian transitions
_RATE = 0.4  # The change of the log step size for a unit of acceptance.
_FIRST = 8  # Transitions at the first temperature in the search for step sizes.
_FEWEST = 24  # The fewest transitions of that search.
_JITTER = 0.2  # Step sizes vary by 20 %, so that trajectories do not close on themselves.


class Noise(Protocol):
    """The source of the random numbers of transitions."""

    def normal(
        self, num: int, size: int, like: Float[Tensor, "... B _"]
    ) -> Float[Tensor, "{num} B {size}"]:
        """Independent standard Normals (K, B, D); ``like`` has the rows, the dtype and device."""

    def uniform(self, shape: torch.Size, like: Float[Tensor, "..."]) -> Float[Tensor, "*shape"]:
        """Numbers between 0 and 1."""


class Densities(Protocol):
    """The densities between f_0 and p(x, z)."""

    def at(self, position: Float[Tensor, "K B D"], /) -> Point:
        """The point at positions (K, B, D)."""
        ...


class _Stream:
    """Torch's own stream of random numbers, for all rows together."""

    def normal(
        self, num: int, size: int, like: Float[Tensor, "... B _"]
    ) -> Float[Tensor, "{num} B {size}"]:
        return torch.randn(num, like.shape[-2], size, dtype=like.dtype, device=like.device)

    def uniform(self, shape: torch.Size, like: Float[Tensor, "..."]) -> Float[Tensor, "*shape"]:
        return torch.rand(shape, dtype=like.dtype, device=like.device)


_STREAM = _Stream()


class Schedule(NamedTuple):
    """Temperatures, and the step size at each but the first and last.

    Attributes:
        betas: beta_0 = 0 to beta_T = 1.
        steps: Step size of every row, (T - 1, B).
        num_leaps: Leapfrog steps of a transition.
    """

    betas: list[float]
    steps: Tensor
    num_leaps: int


def temperatures(number: int) -> list[float]:
    """beta_0, ..., beta_T for T = ``number``: a sigmoid's values from -4 to 4, scaled to [0, 1].

    Close together near both ends, where f_t changes most. Source: Wu et al. 2017.

    Example:
        >>> [round(beta, 3) for beta in temperatures(4)]
        [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    values = [1.0 / (1.0 + math.exp(-4.0 * (2.0 * t / number - 1.0))) for t in range(number + 1)]
    low, high = values[0], values[-1]
    return [(value - low) / (high - low) for value in values]


def tuned(
    path: Densities, point: Point, num_temperatures: int, num_leaps: int, noise: Noise = _STREAM
) -> Schedule:
    """Step sizes that some chains of their own find, for every row and temperature.

    After each transition the log step size of a row moves by the mean acceptance of its chains
    less 0.65. What is then estimated has other chains and these steps as they are: steps that
    followed the very chains they move would leave f_t no longer alone.
    """
    betas = temperatures(num_temperatures)
    log_step = torch.full_like(point.rise[0], math.log(0.5))
    each, steps = -(-_FEWEST // num_temperatures), []
    for t, beta in enumerate(betas[1:-1]):
        for _ in range(each if t else max(each, _FIRST)):
            point, acceptance = transition(path, point, beta, log_step.exp(), num_leaps, noise)
            log_step = (log_step + _RATE * (acceptance.mean(0) - _ACCEPTANCE)).clamp(-12.0, 3.0)
        steps.append(log_step.exp())
    return Schedule(betas, torch.stack(steps) if steps else log_step[:0], num_leaps)


def anneal(
    path: Densities,
    point: Point,
    schedule: Schedule,
    noise: Noise = _STREAM,
    *,
    reverse: bool = False,
) -> tuple[Float[Tensor, "K B"], Point]:
    """log w of every chain, (K, B), the log of an unbiased estimate of p(x), and where it ends.

    The ends, weighted by w, are draws of p(z | x).

    Args:
        path: The densities.
        point: Draws of f_0, or of p(z | x) if ``reverse`` is True.
        schedule: The temperatures and step sizes.
        noise: The source of random numbers.
        reverse: Whether chains go from p(z | x) to f_0. The result is then minus the log of an
            unbiased estimate of 1 / p(x).
    """
    betas, steps = schedule.betas, list(schedule.steps)
    if reverse:
        betas, steps = betas[::-1], steps[::-1]
    total = torch.zeros_like(point.rise, dtype=torch.float64)
    for t in range(1, len(betas)):
        total = total + (betas[t] - betas[t - 1]) * point.rise
        if t < len(betas) - 1:
            point, _ = transition(path, point, betas[t], steps[t - 1], schedule.num_leaps, noise)
    return (-total if reverse else total), point


def transition(
    path: Densities,
    point: Point,
    beta: float,
    step: Float[Tensor, " B"],
    num_leaps: int,
    noise: Noise = _STREAM,
) -> tuple[Point, Float[Tensor, "K B"]]:
    """One Hamiltonian transition of every chain, and its probability of acceptance, (K, B).

    Leapfrog steps of a size that varies a little from chain to chain, then accept or stay; a
    trajectory that leaves the numbers stays.
    """
    momentum = noise.normal(len(point.rise), point.position.shape[-1], point.position)
    size = step * (1.0 + _JITTER * (2.0 * noise.uniform(point.rise.shape, point.rise) - 1.0))
    size = size[..., None]
    before = point.log_density(beta) - 0.5 * (momentum**2).sum(-1)
    new = point
    momentum = momentum + 0.5 * size * new.force(beta)
    for leap in range(num_leaps):
        new = path.at(new.position + size * momentum)
        momentum = momentum + (1.0 if leap < num_leaps - 1 else 0.5) * size * new.force(beta)
    gain = new.log_density(beta) - 0.5 * (momentum**2).sum(-1) - before
    gain = gain.nan_to_num(nan=-torch.inf, posinf=torch.inf)
    moved = noise.uniform(gain.shape, gain).log() < gain
    merged = Point(
        *(
            torch.where(moved if own.dim() == 2 else moved[..., None], own, old)
            for own, old in zip(new, point, strict=True)
        )
    )
    return merged, gain.clamp(max=0.0).exp()
