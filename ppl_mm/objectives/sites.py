"""Checks of a model's and a guide's sites, without which a number of theirs would be wrong."""

from typing import Any

import torch
from jaxtyping import Float
from pyro.distributions import Delta
from pyro.infer.util import is_validation_enabled
from pyro.poutine import Trace
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.batch.observed_elements import SCORES_ELEMENTS
from ppl_mm.batch.plate import of_rows

__all__ = [
    "Site",
    "added_up",
    "check_gradients",
    "check_own_latents",
    "check_sites",
    "of_each_row",
    "rows_in_one_site",
    "shared_latents",
    "shared_sites",
]

Site = dict[str, Any]
"""A node of a Pyro trace: its distribution ``fn``, ``value``, ``scale``, ``mask``, and others."""


def added_up(value: Float[Tensor, "*plates"]) -> Float[Tensor, "..."]:
    """The sum over a site's own plates, () or (K, 1, 1) under particles."""
    return value.sum((-2, -1)[-value.dim() :], keepdim=True) if value.dim() else value


def of_each_row(site: Site, num_rows: int) -> Float[Tensor, "*batch"]:
    """A site's log-probability of every row, which has an equal part of what all rows share."""
    value: Tensor = site["log_prob"]
    return value if of_rows(site) else added_up(value) / num_rows


def shared_latents(*traces: Trace) -> list[str]:
    """Latent sites outside the plate of rows, in the order in which they come."""
    return [n for trace in traces for n in trace.stochastic_nodes if not of_rows(trace.nodes[n])]


def shared_sites(*traces: Trace) -> bool:
    """Return whether there is any site, latent or observed, outside the plate of rows."""
    sites = [site for trace in traces for site in trace.nodes.values() if site["type"] == "sample"]
    return not all(of_rows(site) for site in sites)


def check_gradients(q: Trace) -> None:
    """Raise for a guide's site whose draws have no gradient, which our objectives need.

    Raises:
        ValueError: Naming the site.
    """
    for name in q.stochastic_nodes:
        fn = q.nodes[name]["fn"]
        if not fn.has_rsample:
            raise ValueError(
                f"the guide's site {name!r}, a {type(fn).__name__}, has no reparameterised draws, "
                "and ppl_mm's objectives differentiate draws: the gradient would be wrong. Sum it "
                "out, or train with pyro.infer's TraceGraph_ELBO or TraceEnum_ELBO; values alone "
                "are right, under torch.no_grad()."
            )


def rows_in_one_site(q: Trace) -> bool:
    """Return whether a guide draws all rows' latents at one site, as a full-covariance normal.

    Such autoguides have a density at an auxiliary site, which they take to pieces, one a latent.
    """
    nodes = [q.nodes[n] for n in q.stochastic_nodes]
    own = {of_rows(site) for site in nodes if site["infer"].get("is_auxiliary")}
    return own == {False} and any(isinstance(s["fn"], Delta) and of_rows(s) for s in nodes)


def check_own_latents(what: str, p: Trace | None, q: Trace, num_particles: int) -> None:
    """Raise if rows that have weights of their own share a latent.

    Args:
        what: The name of the caller, for the message.
        p: The model's trace; None for the guide's alone.
        q: The guide's trace.
        num_particles: The number of draws per row. One draw from the model's own prior has no
            weight, so it may be shared.

    Raises:
        ValueError: Naming the site.
    """
    names = shared_latents(q)
    if p is not None and num_particles > 1:
        names += shared_latents(p)
    if names:
        raise ValueError(
            f"{what} weighs the draws of each row by itself, and all rows share latent site "
            f"{names[0]!r}, which is outside obs.plates(). Draw it inside, one a row, or use an "
            "objective that adds up over rows, such as objectives.ELBOTerms."
        )


def check_sites(p: Trace, q: Trace, obs: Observations) -> None:
    """Raise if the guide draws what the model does not, or the model scores what it must not."""
    for name in q.stochastic_nodes:
        if name not in p.nodes and not q.nodes[name]["infer"].get("is_auxiliary"):
            raise ValueError(
                f"the guide draws site {name!r}, which the model lacks; it has "
                f"{', '.join(p.stochastic_nodes) or 'no latent site'}. (A modality that the data "
                "do not hold is no site of the model here: an autoguide must not draw it.)"
            )
    if not is_validation_enabled():
        return
    if torch.is_grad_enabled():
        check_gradients(q)
    p.compute_log_prob()
    for name in p.observation_nodes:
        if name in obs.names:
            _check_rows(name, p.nodes[name])
            if name in obs.elements and SCORES_ELEMENTS not in p.nodes[name]["infer"]:
                raise ValueError(
                    f"modality {name!r}: elements are missing of rows that are present, and the "
                    "model scores them. Sample it inside obs.plates(), which leaves them out."
                )
            _check_masked(name, p.nodes[name]["log_prob"], obs.scored[name])


def _check_rows(name: str, site: Site) -> None:
    if not of_rows(site):
        raise ValueError(
            f"modality {name!r}: expected one log-probability a row, of a site inside the plate "
            "of rows, and this one is outside. Sample it inside obs.plates(), with "
            ".to_event(...) over its own dimensions."
        )


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
