"""The densities between a start f_0 and p(x, z) of a Pyro model, and their gradients.

Shapes: K chains of B rows, D unconstrained coordinates of all latent sites side by side.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from pyro import poutine
from pyro.distributions.util import sum_rightmost
from pyro.poutine import Trace
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from ppl_mm.batch.observations import Observations
from ppl_mm.distributions.gaussianised import NormalToLaplace
from ppl_mm.likelihood.sites import (
    coordinates,
    gradient,
    gradients_of,
    log_probs,
    remembering,
    summed,
)
from ppl_mm.objectives.sites import check_own_latents, shared_latents
from ppl_mm.objectives.weights import absent_names, guide_trace, model_trace, particles
from ppl_mm.programs.contracts import Guide

__all__ = ["Path", "Point"]


class Point(NamedTuple):
    """The positions of chains, and the two log-densities there with their gradients.

    Attributes:
        position: The positions, (K, B, D).
        start: The values of log f_0, (K, B).
        rise: The values of r = log p(x, z) - log f_0, (K, B).
        start_force: The gradient of ``start``, (K, B, D).
        rise_force: The gradient of ``rise``, (K, B, D).
    """

    position: Tensor
    start: Tensor
    rise: Tensor
    start_force: Tensor
    rise_force: Tensor

    def log_density(self, beta: float) -> Float[Tensor, "K B"]:
        """log f_0 + beta r, (K, B)."""
        return self.start + beta * self.rise

    def force(self, beta: float) -> Float[Tensor, "K B D"]:
        """The gradient of :meth:`log_density`, (K, B, D)."""
        return self.start_force + beta * self.rise_force


class Path:
    """The densities between f_0 and p(x, z) of a Pyro model, in unconstrained coordinates.

    Args:
        model: A Pyro program of observations; all its latent sites are annealed.
        guide: The guide whose posterior is f_0; with None, f_0 is the model's prior. Latent sites
            that the guide lacks start at the prior.
        obs: The rows, with the modalities to score and those that the guide may look at.
        chunk: The most (chain, row) pairs that are decoded at a time.

    Attributes:
        shared: The model's latent sites that all rows have in common.

    Raises:
        ValueError: If a latent site has a discrete support.
    """

    def __init__(
        self, model: nn.Module, guide: Guide | None, obs: Observations, chunk: int
    ) -> None:
        self.model, self.guide, self.chunk = model, guide, chunk
        self.absent = absent_names(model, obs)
        self._hold(obs)
        trace, names = self._traced(1)
        self.shared = shared_latents(trace)
        self.transforms: dict[str, Transform] = {}
        self.shapes: dict[str, torch.Size] = {}
        self.event_shapes: dict[str, torch.Size] = {}
        self.bent: list[str] = []  # sites with a bounded support
        for name in names:
            site = trace.nodes[name]
            if site["fn"].support.is_discrete:
                raise ValueError(
                    f"latent site {name!r} is discrete ({site['fn'].support}); Hamiltonian "
                    "transitions need a density with a gradient."
                )
            change, value = coordinates(site["fn"]), site["value"]
            support = site["fn"].support
            plain = getattr(support, "base_constraint", support) is constraints.real
            if isinstance(change, NormalToLaplace) or not plain:
                self.bent.append(name)
            free = change.inv(value)
            self.transforms[name] = change
            self.event_shapes[name] = value.shape[value.dim() - site["fn"].event_dim :]
            dims = self.transforms[name].domain.event_dim
            self.shapes[name] = free.shape[free.dim() - max(dims, site["fn"].event_dim) :]

    @property
    def size(self) -> int:
        """D, the number of coordinates of a position."""
        return sum(shape.numel() for shape in self.shapes.values())

    def _hold(self, obs: Observations) -> None:
        rows = torch.arange(len(obs), device=obs.device)
        self.obs = remembering(obs, rows)
        parts = rows.split(max(1, self.chunk))
        whole = len(parts) == 1
        self.blocks = [(part, self.obs if whole else remembering(obs, part)) for part in parts]

    @property
    def from_prior(self) -> "Path":
        """The path of the same densities whose f_0 is the prior."""
        out = copy.copy(self)
        out.guide = None
        return out

    def rows(self, rows: Int[Tensor, " _"]) -> "Path":
        """The densities of some rows; itself where they are all in order."""
        if len(rows) == len(self.obs) and bool((rows == torch.arange(len(rows)).to(rows)).all()):
            return self
        out = copy.copy(self)
        out._hold(self.obs[rows])
        return out

    def draw(self, num_chains: int) -> Point:
        """Chains at draws of f_0."""
        trace, _ = self._traced(num_chains)
        return self.at(self.position({n: trace.nodes[n]["value"] for n in self.shapes}))

    def position(self, latents: dict[str, Float[Tensor, "#K 1 #B ..."]]) -> Float[Tensor, "K B D"]:
        """Latents (K, 1, B, *event), or that broadcast to it, as positions (K, B, D)."""
        num = max(value.shape[0] for value in latents.values())
        parts = []
        for name, shape in self.shapes.items():
            free = self.transforms[name].inv(latents[name])
            free = free.expand(num, 1, len(self.obs), *shape)
            parts.append(free.reshape(num, len(self.obs), -1))
        return torch.cat(parts, -1)

    def latents(self, position: Float[Tensor, "K B D"]) -> dict[str, Float[Tensor, "K 1 B ..."]]:
        """Positions (K, B, D) as latents, site -> (K, 1, B, *event)."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        batch = (len(position), 1, position.shape[1])
        return {
            name: self.transforms[name](part.reshape(*batch, *shape))
            for (name, shape), part in zip(
                self.shapes.items(), position.split(sizes, -1), strict=True
            )
        }

    def position_by_stratum(
        self, latents: dict[str, Float[Tensor, "#K #S #B ..."]], batch: tuple[int, int, int]
    ) -> Float[Tensor, "S K B D"]:
        """Latents that broadcast to ``batch`` = (K, S, B) as positions (S, K, B, D)."""
        flat = {}
        for name, value in latents.items():
            event = self.event_shapes[name]
            wide = value.expand(*batch, *event).transpose(0, 1)
            flat[name] = wide.reshape(-1, 1, batch[2], *event)
        return self.position(flat).unflatten(0, (batch[1], batch[0]))

    def at(self, position: Float[Tensor, "K B D"]) -> Point:
        """The point at positions (K, B, D)."""
        return Point(position, *self._in_parts(position, self._at))

    def values(
        self, position: Float[Tensor, "K B D"]
    ) -> tuple[Float[Tensor, "K B"], Float[Tensor, "K B"], Float[Tensor, "K B"]]:
        """log f_0, log p(z) and log p(x, z) at positions (K, B, D), (K, B), without gradients."""
        with torch.no_grad():
            start, prior, joint = self._in_parts(position, self._densities)
        return start, prior, joint

    def base(self, position: Float[Tensor, "K B D"]) -> Float[Tensor, "K B"]:
        """log f_0 as in :meth:`values`; no decoder runs, nor the model if a guide has all sites."""
        with torch.no_grad():
            return self._in_parts(position, lambda p, o: (self._base(p, o.scoring()),))[0]

    def joint(self, position: Float[Tensor, "K B D"]) -> Float[Tensor, "K B"]:
        """log p(x, z) at positions (K, B, D), (K, B), without gradients; the guide does not run."""
        with torch.no_grad():
            return self._in_parts(position, lambda p, o: (self._joint(p, o),))[0]

    def slope(
        self, position: Float[Tensor, "K B D"]
    ) -> tuple[Float[Tensor, "K B"], Float[Tensor, "K B D"]]:
        """log p(x, z) at positions (K, B, D), (K, B), and its gradient, (K, B, D).

        The guide does not run.
        """
        value, force = self._in_parts(position, self._slope)
        return value, force

    def _in_parts(
        self, position: Tensor, evaluate: Callable[[Tensor, Observations], tuple[Tensor, ...]]
    ) -> list[Tensor]:
        """The result of ``evaluate`` at positions (K, B, D), computed in blocks of pairs."""
        columns = []
        for rows, obs in self.blocks:
            own = position[:, rows[0] : rows[-1] + 1]
            cells = [evaluate(part, obs) for part in own.split(max(1, self.chunk // len(rows)))]
            columns.append([torch.cat(field) for field in zip(*cells, strict=True)])
        return [torch.cat(field, 1) for field in zip(*columns, strict=True)]

    def _at(self, position: Tensor, obs: Observations) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with torch.enable_grad(), gradients_of(self.model):
            position = position.detach().requires_grad_()
            start, _, joint = self._densities(position, obs)
            pull, force = (gradient(value, position) for value in (start, joint))
        return start.detach(), (joint - start).detach(), pull, force - pull

    def _slope(self, position: Tensor, obs: Observations) -> tuple[Tensor, Tensor]:
        with torch.enable_grad(), gradients_of(self.model):
            position = position.detach().requires_grad_()
            joint = self._joint(position, obs)
            return joint.detach(), gradient(joint, position)

    def _densities(self, position: Tensor, obs: Observations) -> tuple[Tensor, Tensor, Tensor]:
        """log f_0, log p(z) and log p(x, z), (K, B) each."""
        latents = self.latents(position)
        log_p = self._log_p(latents, obs)
        log_q = {**log_p, **self._log_q(latents, obs)}
        volume = self.log_volume(position)
        start, prior = (summed({n: x[n] for n in self.shapes}) for x in (log_q, log_p))
        return volume + start, volume + prior, volume + summed(log_p)

    def _base(self, position: Tensor, obs: Observations) -> Tensor:
        """log f_0, (K, B)."""
        latents = self.latents(position)
        log_q = self._log_q(latents, obs)
        if len(log_q) < len(self.shapes):
            log_q = {**self._log_p(latents, obs), **log_q}
        return self.log_volume(position) + summed({n: log_q[n] for n in self.shapes})

    def _log_q(self, latents: dict[str, Tensor], obs: Observations) -> dict[str, Tensor]:
        """The guide's log-probability of every site that it has, (K, B) each."""
        if self.guide is None:
            return {}
        num = len(next(iter(latents.values())))
        with particles(num):
            q = guide_trace(poutine.condition(self.guide, data=latents), obs)
        return log_probs(q, (num, 1, len(obs)))

    def _joint(self, position: Tensor, obs: Observations) -> Tensor:
        """log p(x, z), (K, B)."""
        log_p = self._log_p(self.latents(position), obs)
        return self.log_volume(position) + summed(log_p)

    def _log_p(self, latents: dict[str, Tensor], obs: Observations) -> dict[str, Tensor]:
        """The model's log-probability of every site, (K, B) each."""
        num = len(next(iter(latents.values())))
        with particles(num):
            conditioned = poutine.condition(self.model, data=latents)
            p = model_trace(conditioned, obs, self.absent)
        return log_probs(p, (num, 1, len(obs)))

    def log_volume(self, position: Float[Tensor, "K B D"]) -> Float[Tensor, "K B"]:
        """log |d latents / d position|, (K, B)."""
        total = torch.zeros_like(position[..., 0])
        sizes = [shape.numel() for shape in self.shapes.values()]
        for (name, shape), part in zip(self.shapes.items(), position.split(sizes, -1), strict=True):
            if name not in self.bent:
                continue
            free = part.reshape(*part.shape[:-1], *shape)
            change = self.transforms[name]
            volume = change.log_abs_det_jacobian(free, change(free))
            total = total + sum_rightmost(volume, volume.dim() - 2)
        return total

    def _traced(self, num: int) -> tuple[Trace, list[str]]:
        """A trace of the model whose latents are drawn from f_0, and their names."""
        unscored = self.obs.scoring()
        with particles(num):
            data = {}
            if self.guide is not None:
                q = guide_trace(self.guide, self.obs)
                data = {n: q.nodes[n]["value"] for n in q.stochastic_nodes}
                check_own_latents("annealed_log_likelihood", None, q, num)
                _check_own_densities(self.guide, q)
            trace = model_trace(poutine.condition(self.model, data=data), unscored, self.absent)
        return trace, [*data, *trace.stochastic_nodes]


def _check_own_densities(guide: Guide, q: Trace) -> None:
    for name in q.stochastic_nodes:
        if q.nodes[name]["infer"].get("is_auxiliary"):
            raise ValueError(
                f"start='posterior' needs the density of the guide's own latents, and "
                f"{type(guide).__name__} draws them by way of {name!r}; use start='prior'."
            )
