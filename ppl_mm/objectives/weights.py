"""From two programs to log-probabilities per site and row.

Model and guide are traced once; bounds, likelihoods and the variance of log weights are
reductions of what stands here. Shapes: (K, S, B) with particles at dim -3, terms or strata at
-2 and data at -1, dims not in use absent from the left or of size 1. Nats.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.poutine import Trace
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor

from ppl_mm.distributions import RandomMixture, kl
from ppl_mm.handlers import SkipAbsent
from ppl_mm.observations import Observations
from ppl_mm.plates import Plate
from ppl_mm.typed import typed

__all__ = [
    "absent_names",
    "check_sites",
    "divergence",
    "guide_trace",
    "log_weights",
    "model_trace",
    "particles",
    "reconstruction",
    "row_elbo",
    "stratified",
    "trace_pair",
]

Program = Callable[..., Any]  # any Pyro program of observations


@typed
def trace_pair(
    model: Program,
    guide: Program,
    obs: Observations,
    *,
    num_particles: int | None = None,
    on_model: tuple[AbstractContextManager[Any], ...] = (),
) -> tuple[Trace, Trace]:
    """Traces of the model and of the guide, the model replayed on the guide's draws.

    Args:
        model: The generative story.
        guide: A program with the same latent sites. Latent sites that it lacks (a user's
            hyper-prior) are drawn from the model, and cancel.
        obs: The batch, with its plate of terms or strata if any.
        num_particles: K, the size of a plate at dim -3; None for no such plate.
        on_model: Handlers for the model alone, such as a term's reference.

    Raises:
        ValueError: If the guide has a latent site that the model lacks.
    """
    with particles(num_particles):
        q = guide_trace(guide, obs)
        p = model_trace(poutine.replay(model, trace=q), obs, absent_names(model, obs), on_model)
    check_sites(p, q, obs)
    return p, q


def stratified(guide: Program, obs: Observations, number: int | None = None) -> Observations:
    """The rows with a plate of the guide's mixture components; as they are for other guides.

    Args:
        guide: Any guide; a mixture has a method ``strata``.
        obs: The rows, without a plate.
        number: How many components of each row, at random; None for all.
    """
    return guide.strata(obs, number) if hasattr(guide, "strata") else obs


def guide_trace(guide: Program, obs: Observations) -> Trace:
    """Trace of a guide; its stochastic nodes are the latent sites."""
    return prune_subsample_sites(poutine.trace(guide).get_trace(obs))


def model_trace(
    model: Program,
    obs: Observations,
    absent: frozenset[str],
    handlers: tuple[AbstractContextManager[Any], ...] = (),
) -> Trace:
    """Trace of a model without the sites of modalities that the data lack."""
    with ExitStack() as stack:
        for handler in handlers:
            stack.enter_context(handler)
        return prune_subsample_sites(poutine.trace(SkipAbsent(absent)(model)).get_trace(obs))


def absent_names(model: Program, obs: Observations) -> frozenset[str]:
    """The model's modalities that the data do not hold."""
    return frozenset(getattr(model, "names", ())) - frozenset(obs.names)


def particles(num_particles: int | None) -> AbstractContextManager[Any]:
    """The plate of K particles at dim -3; nothing for None."""
    if num_particles is None:
        return ExitStack()
    return Plate("particles", num_particles, dim=-3)


def check_sites(p: Trace, q: Trace, obs: Observations) -> None:
    """Raise if the guide draws what the model does not, or the model scores what it must not."""
    for name in q.stochastic_nodes:
        if name not in p.nodes and not q.nodes[name]["infer"].get("is_auxiliary"):
            raise ValueError(
                f"the guide draws site {name!r}, which the model lacks; it has "
                f"{', '.join(p.stochastic_nodes) or 'no latent site'}."
            )
    if not is_validation_enabled():
        return
    p.compute_log_prob()
    for name in p.observation_nodes:
        if name in obs.names:
            _check_masked(name, p.nodes[name]["log_prob"], obs.scored[name])


def _check_masked(name: str, log_prob: Tensor, scored: Tensor) -> None:
    if log_prob.dim() < 1 or log_prob.shape[-1] != scored.shape[-1]:
        raise ValueError(
            f"modality {name!r}: expected one log-probability a row, (..., B) with "
            f"B = {scored.shape[-1]}, got {tuple(log_prob.shape)}. Sample it inside "
            "obs.plates(), with .to_event(...) over its own dimensions."
        )
    if bool(torch.where(scored, 0.0, log_prob).any()):
        raise ValueError(
            f"modality {name!r}: the model scores rows in which it is missing or not asked for. "
            "Write: x, scored = obs.filled(name); pyro.sample(name, fn.mask(scored), obs=x)."
        )


@typed
def row_elbo(p: Trace, q: Trace) -> Tensor:
    """One draw's ELBO of every row (and term), batch shape of the traces' sites.

        sum over observed sites of log p(x_m | z)  -  KL(q || p)

    The KL is analytic where it is known, else log q(z) - log p(z) at the draw.
    """
    total = reconstruction(p)
    for name in q.stochastic_nodes:
        total = total - divergence(p.nodes[name], q.nodes[name])
    return total


def reconstruction(p: Trace) -> Tensor:
    """The sum over observed sites of log p(x_m | z), batch shape."""
    p.compute_log_prob(lambda name, site: site["is_observed"])
    return sum((p.nodes[name]["log_prob"] for name in p.observation_nodes), torch.zeros(()))


def divergence(p_site: Any, q_site: Any) -> Tensor:
    """KL(q || p) of one latent site with the guide's scale and mask, batch shape."""
    scale, mask = q_site["scale"], q_site["mask"]
    q, p = q_site["fn"], p_site["fn"]
    try:
        value = kl(q, p)
    except NotImplementedError:
        draw = q_site["value"]
        value = q.log_prob(draw) - p.log_prob(draw)
        if isinstance(q, RandomMixture):  # rows of one component alone do not depend on others
            with suppress(NotImplementedError):
                value = torch.where(q.log_weight[0] == 0.0, kl(q.components[0], p), value)
    return scale_and_mask(value, scale=scale, mask=mask)


@typed
def log_weights(model: Program, guide: Program, obs: Observations, *, num_particles: int) -> Tensor:
    """log w = log p(x_scored, z) - log q(z) of every particle, (K, S, B) or (K, B).

    The dim of strata is there where ``obs`` has the plate.
    """
    p, q = trace_pair(model, guide, obs, num_particles=num_particles)
    p.compute_log_prob()
    q.compute_log_prob()
    total = sum(p.nodes[name]["log_prob"] for name in p.observation_nodes)
    for name in q.stochastic_nodes:
        total = total + p.nodes[name]["log_prob"] - q.nodes[name]["log_prob"]
    assert isinstance(total, Tensor)
    return total.squeeze(-2) if obs.plate is None else total
