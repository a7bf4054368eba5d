"""Pyro's own objectives in training: which of them can, and of which programs they are right.

Our objectives take a guide without some of the model's latents, which are then drawn from the model
and cancel. Pyro's count log p of such a latent and no log q, and what they return is no bound.
"""

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

from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.reweighted import Reweighted
from ppl_mm.objectives.sites import check_gradients

__all__ = ["check_matched", "check_trainable", "is_bound"]

_JIT = (JitTrace_ELBO, JitTraceEnum_ELBO, JitTraceGraph_ELBO, JitTraceMeanField_ELBO)


def is_bound(objective: ELBO) -> bool:
    """Whether an objective's value is a lower bound on log p of something; a surrogate if not."""
    found = getattr(objective, "is_bound", None)
    if found is not None:
        return bool(found)
    bounds = Trace_ELBO | TraceEnum_ELBO | TraceTMC_ELBO
    return isinstance(objective, bounds) and not isinstance(objective, TraceTailAdaptive_ELBO)


def check_trainable(objective: ELBO) -> None:
    """Raise for an objective that gives no loss to differentiate.

    Raises:
        TypeError: With its name, and what to use.
    """
    inner = getattr(objective, "elbo", objective)  # of Reweighted
    name = type(inner).__name__
    if isinstance(inner, _JIT):
        raise TypeError(
            f"{name} compiles functions of tensors, and these programs are functions of "
            f"Observations; use {name.removeprefix('Jit')}, with fit(compile=True) for speed."
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


def check_matched(objective: ELBO, p: Trace, q: Trace) -> None:
    """Raise where an objective's value or gradient would be wrong for these programs.

    Args:
        objective: Any; ours need draws with a gradient, Pyro's a guide with all of the latents.
        p: The model's trace, replayed on the guide's.
        q: The guide's.

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
        density = getattr(q.nodes[site]["fn"], "log_density", None)
        if site in p.nodes and density is not None and bool((density != 0).any()):
            raise ValueError(
                f"{name} is no bound here: it drops the density of the guide's transformed site "
                f"{site!r}. Use Trace_ELBO, or an objective of ppl_mm.objectives."
            )
