"""The densities between a start f_0 and p(x, z) of a Pyro model, and their gradients.

Shapes: K chains of B rows, D unconstrained coordinates of all latent sites side by side.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from pyro import poutine
from pyro.distributions.util import sum_rightmost
from torch import Tensor, nn
from torch.distributions import biject_to, constraints

from ppl_mm.batch.observations import Observations
from ppl_mm.objectives.sites import check_own_latents
from ppl_mm.objectives.weights import absent_names, guide_trace, model_trace, particles

__all__ = ["Path", "Point", "gradients_of"]


class Point(NamedTuple):
    """Where chains are, and the two log-densities there with their gradients.

    Attributes:
        position: (K, B, D).
        start: log f_0, (K, B).
        rise: r = log p(x, z) - log f_0, (K, B).
        start_force: Gradient of ``start``, (K, B, D).
        rise_force: Gradient of ``rise``, (K, B, D).
    """

    position: Tensor
    start: Tensor
    rise: Tensor
    start_force: Tensor
    rise_force: Tensor

    def log_density(self, beta: float) -> Tensor:
        """log f_0 + beta r, (K, B)."""
        return self.start + beta * self.rise

    def force(self, beta: float) -> Tensor:
        """Its gradient, (K, B, D)."""
        return self.start_force + beta * self.rise_force


class Path:
    """The densities between f_0 and p(x, z) of a Pyro model, in unconstrained coordinates.

    Args:
        model: A Pyro program of observations; all its latent sites are annealed.
        guide: Whose posterior is f_0; None for the model's prior. Latent sites that it lacks start
            at the prior.
        obs: The rows, with what is scored and what the guide may look at.
        chunk: At most so many (chain, row) pairs are decoded at a time.

    Raises:
        ValueError: For a latent site with a discrete support.
    """

    def __init__(self, model: nn.Module, guide: Any, obs: Observations, chunk: int) -> None:
        self.model, self.guide, self.obs, self.chunk = model, guide, obs, chunk
        self.absent = absent_names(model, obs)
        rows = torch.arange(len(obs), device=obs.device)
        self.blocks = [(part, obs[part]) for part in rows.split(max(1, chunk))]
        trace, names = self._traced(1)
        self.transforms: dict[str, Any] = {}
        self.shapes: dict[str, torch.Size] = {}
        self.bent: list[str] = []  # sites with a bounded support
        for name in names:
            site = trace.nodes[name]
            if site["fn"].support.is_discrete:
                raise ValueError(
                    f"latent site {name!r} is discrete ({site['fn'].support}); Hamiltonian "
                    "transitions need a density with a gradient."
                )
            support = site["fn"].support
            self.transforms[name] = biject_to(support)
            if getattr(support, "base_constraint", support) is not constraints.real:
                self.bent.append(name)
            free = self.transforms[name].inv(site["value"])
            dims = self.transforms[name].domain.event_dim
            self.shapes[name] = free.shape[free.dim() - max(dims, site["fn"].event_dim) :]

    def draw(self, num_chains: int) -> Point:
        """Chains at draws of f_0."""
        trace, _ = self._traced(num_chains)
        return self.at(self.position({n: trace.nodes[n]["value"] for n in self.shapes}))

    def position(self, latents: dict[str, Tensor]) -> Tensor:
        """Latents (K, 1, B, *event), or that broadcast to it, as positions (K, B, D)."""
        num = max(value.shape[0] for value in latents.values())
        parts = []
        for name, shape in self.shapes.items():
            free = self.transforms[name].inv(latents[name])
            free = free.expand(num, 1, len(self.obs), *shape)
            parts.append(free.reshape(num, len(self.obs), -1))
        return torch.cat(parts, -1)

    def latents(self, position: Tensor) -> dict[str, Tensor]:
        """Positions (K, B, D) as latents, site -> (K, 1, B, *event)."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        batch = (len(position), 1, position.shape[1])
        return {
            name: self.transforms[name](part.reshape(*batch, *shape))
            for (name, shape), part in zip(
                self.shapes.items(), position.split(sizes, -1), strict=True
            )
        }

    def at(self, position: Tensor) -> Point:
        """The point at positions (K, B, D)."""
        columns = []
        for rows, obs in self.blocks:
            own = position[:, rows[0] : rows[-1] + 1]
            cells = [self._at(part, obs) for part in own.split(max(1, self.chunk // len(rows)))]
            columns.append([torch.cat(field) for field in zip(*cells, strict=True)])
        return Point(position, *(torch.cat(f, 1) for f in zip(*columns, strict=True)))

    def _at(self, position: Tensor, obs: Observations) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with torch.enable_grad(), gradients_of(self.model):
            position = position.detach().requires_grad_()
            start, rise = self._densities(position, obs)
            forces = [_gradient(value, position) for value in (start, rise)]
        return start.detach(), rise.detach(), forces[0], forces[1]

    def _densities(self, position: Tensor, obs: Observations) -> tuple[Tensor, Tensor]:
        """log f_0 and r, (K, B) each."""
        latents, batch = self.latents(position), (len(position), 1, len(obs))
        with particles(len(position)):
            conditioned = poutine.condition(self.model, data=latents)
            p = model_trace(conditioned, obs, self.absent)
            q = None
            if self.guide is not None:
                q = guide_trace(poutine.condition(self.guide, data=latents), obs)
        log_p = _log_probs(p, batch)
        log_q = {} if q is None else _log_probs(q, batch)
        start = sum(
            (log_q.get(n, log_p[n]) for n in self.shapes), torch.zeros_like(position[..., 0])
        )
        rise = torch.zeros_like(start)
        for name, value in log_p.items():
            rise = rise + (value - log_q[name] if name in log_q else value)
        rise = rise - sum(log_p[n] for n in self.shapes if n not in log_q)
        return start + self._log_volume(position), rise

    def _log_volume(self, position: Tensor) -> Tensor:
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

    def _traced(self, num: int) -> tuple[Any, list[str]]:
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


def _check_own_densities(guide: Any, q: Any) -> None:
    for name in q.stochastic_nodes:
        if q.nodes[name]["infer"].get("is_auxiliary"):
            raise ValueError(
                f"start='posterior' needs the density of the guide's own latents, and "
                f"{type(guide).__name__} draws them by way of {name!r}; use start='prior'."
            )


def _log_probs(trace: Any, batch: Sequence[int]) -> dict[str, Tensor]:
    """Log-probability of every observed or conditioned site, (K, B) each."""
    trace.compute_log_prob(lambda name, site: site["is_observed"])
    return {
        name: trace.nodes[name]["log_prob"].expand(*batch).squeeze(1)
        for name in trace.observation_nodes
    }


def _gradient(value: Tensor, position: Tensor) -> Tensor:
    if not value.requires_grad:
        return torch.zeros_like(position)
    (force,) = torch.autograd.grad(
        value.sum(), position, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return force


def gradients_of(model: nn.Module) -> AbstractContextManager[Any]:
    """Where a model in eval mode can be differentiated: cuDNN has no gradients of its RNNs then."""
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()
