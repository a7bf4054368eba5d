"""Pyro's own objectives in training: the ones that can train, and the programs that suit them.

A guide may lack some of the model's latents. In our objectives these are drawn from the model and
cancel. Pyro's objectives count log p of such a latent and no log q, so their value is no bound.
"""

import pyro
import torch
from pyro.distributions import Delta
from pyro.infer import (
    ELBO,
    JitTrace_ELBO,
    JitTraceEnum_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceMeanField_ELBO,
    TraceTailAdaptive_ELBO,
    TraceTMC_ELBO,
)
from pyro.poutine import Trace

from ppl_mm.batch.observations import Observations
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.reweighted import Reweighted
from ppl_mm.objectives.sites import check_gradients
from ppl_mm.objectives.training_weights import TrainingWeights
from ppl_mm.objectives.weights import trace_pair
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.programs.conditioning import holds
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["check_matched", "check_trainable", "has_points", "is_bound", "looked_at"]

_JIT = (JitTrace_ELBO, JitTraceEnum_ELBO, JitTraceGraph_ELBO, JitTraceMeanField_ELBO)


def is_bound(objective: ELBO) -> bool:
    """Return whether an objective's value is a lower bound on a log p, and no surrogate."""
    if isinstance(objective, TrainingWeights):
        return objective.is_bound
    bounds = Trace_ELBO | TraceEnum_ELBO | TraceTMC_ELBO
    return isinstance(objective, bounds) and not isinstance(objective, TraceTailAdaptive_ELBO)


def has_points(q: Trace) -> bool:
    """Return whether a guide puts a latent at a point, as AutoDelta; log p(x, z) is no bound."""
    sites = {name: q.nodes[name] for name in q.stochastic_nodes}
    auxiliary = [name for name, site in sites.items() if site["infer"].get("is_auxiliary")]

    def drawn(name: str) -> bool:  # by way of its own auxiliary site, or of one for all latents
        return name not in auxiliary and any(a.startswith((name, "_")) for a in auxiliary)

    return any(isinstance(s["fn"], Delta) and not drawn(name) for name, s in sites.items())


def check_trainable(objective: ELBO) -> None:
    """Raise for an objective that gives no loss to differentiate.

    Raises:
        TypeError: With its name, and what to use.
    """
    inner = objective.elbo if isinstance(objective, Reweighted) else objective
    name = type(inner).__name__
    if isinstance(inner, _JIT):
        raise TypeError(
            f"{name} compiles functions of tensors, and these programs are functions of "
            f"Observations; use {name.removeprefix('Jit')}, which fit(...) records for speed."
        )
    if not hasattr(inner, "differentiable_loss"):
        raise TypeError(
            f"{name} has no differentiable_loss, by which fit trains; train with "
            "pyro.infer.SVI(..., loss=...), or use an objective of ppl_mm.objectives."
        )
    if isinstance(inner, TraceTailAdaptive_ELBO):
        raise TypeError(
            f"{name} gives a gradient and no value, which fit watches; train with "
            "pyro.infer.SVI(..., loss=...), or use objectives.IWAE."
        )


def looked_at(model: Model, guide: Guide, obs: Observations) -> tuple[Trace, Trace]:
    """Traces of a model and a guide for their structure, under Pyro's validation.

    A conditional model runs on the rows that hold what it conditions on, if there are any. Torch's
    random numbers stay as they are.
    """
    rows = holds(obs, conditioned_on(model))
    obs = obs if bool(rows.all()) or not bool(rows.any()) else obs[rows]
    devices = [obs.device] if obs.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad(), pyro.validation_enabled(True):
        return trace_pair(model, guide, obs)


def check_matched(objective: ELBO, p: Trace, q: Trace) -> None:
    """Raise if an objective's value or gradient would be wrong for these programs.

    Args:
        objective: The objective; ours need draws with a gradient, Pyro's a guide with all latents.
        p: The model's trace, replayed on the guide's.
        q: The guide's trace.

    Raises:
        ValueError: Naming the site.
    """
    inner = objective.elbo if isinstance(objective, Reweighted) else objective
    if isinstance(inner, Objective):
        check_gradients(q)
        return
    name = type(inner).__name__
    for site in p.stochastic_nodes:
        if site not in q.nodes:
            raise ValueError(
                f"{name} is no bound here: the guide lacks the model's latent site {site!r}, and "
                "its log p would count without a log q. Draw it in the guide, or use an objective "
                "of ppl_mm.objectives, in which it cancels."
            )
    if not isinstance(inner, TraceMeanField_ELBO):
        return
    for site in q.stochastic_nodes:
        fn = q.nodes[site]["fn"]
        if site in p.nodes and isinstance(fn, Delta) and bool((fn.log_density != 0).any()):
            raise ValueError(
                f"{name} is no bound here: it drops the density of the guide's transformed site "
                f"{site!r}. Use Trace_ELBO, or an objective of ppl_mm.objectives."
            )
