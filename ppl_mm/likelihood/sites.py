"""Sites of traces as densities: coordinates, log-probabilities and gradients."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine import Trace
from torch import Tensor, nn
from torch.distributions import Laplace, Transform, biject_to

from ppl_mm.batch.observations import Observations
from ppl_mm.distributions.gaussianised import NormalToLaplace

__all__ = ["coordinates", "gradient", "gradients_of", "log_probs", "remembering", "summed"]


def coordinates(fn: TorchDistribution) -> Transform:
    """The change from unconstrained coordinates to a site's values."""
    base = getattr(fn, "base_dist", fn)
    if isinstance(base, Laplace):
        loc, scale = (x.detach().flatten(0, -1 - fn.event_dim) for x in (base.loc, base.scale))
        if bool((loc == loc[:1]).all() & (scale == scale[:1]).all()):  # of all rows
            return NormalToLaplace(loc[0], scale[0])
    return biject_to(fn.support)


def log_probs(trace: Trace, batch: Sequence[int]) -> dict[str, Float[Tensor, "K B"]]:
    """Log-probability of every observed or conditioned site, (K, B) each."""
    trace.compute_log_prob(lambda name, site: site["is_observed"])
    return {
        name: trace.nodes[name]["log_prob"].expand(*batch).squeeze(1)
        for name in trace.observation_nodes
    }


def summed(log_p: dict[str, Float[Tensor, "K B"]]) -> Float[Tensor, "K B"]:
    """The log-probability of all sites together, (K, B)."""
    return torch.stack(list(log_p.values())).sum(0)


def remembering(obs: Observations, rows: Int[Tensor, " B"]) -> Observations:
    """Some rows for which every encoder runs once, however often a program asks."""
    part = obs[rows]
    part.memo = {}
    return part


def gradient(
    value: Float[Tensor, "K B"], position: Float[Tensor, "K B D"]
) -> Float[Tensor, "K B D"]:
    """The gradient of values (K, B), each with regard to its own position, (K, B, D)."""
    if not value.requires_grad:
        return torch.zeros_like(position)
    (force,) = torch.autograd.grad(
        value.sum(), position, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return force


def gradients_of(model: nn.Module) -> AbstractContextManager[Any]:
    """A context that differentiates a model in eval mode, without cuDNN, whose RNNs refuse it."""
    if not torch.cuda.is_available():
        return nullcontext()
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()
