"""The log-probabilities of a model and a guide, by site and row.

Model and guide are traced once; bounds, likelihoods and the variance of log weights are reductions
of these log-probabilities. Shapes: (K, S, B) with particles at dim -3, terms or strata at -2 and
data at -1; dims that are not in use are absent from the left or of size 1. Units: nats.

A site outside ``obs.plates()`` belongs to the data set: all rows share it, and it counts once. The
bound of every row has an equal part of it, so that the sum over rows is right.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from pyro import poutine
from pyro.distributions import Delta
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.poutine import Trace
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.plate import ROWS, Plate, of_rows
from ppl_mm.distributions import RandomMixture, kl
from ppl_mm.objectives.automatic import check_rows, explained_row_errors, set_up
from ppl_mm.objectives.handlers import Matched, SkipAbsent
from ppl_mm.objectives.sites import Site, added_up, check_own_latents, check_sites
from ppl_mm.programs.asked import declared_names, strata_of

__all__ = [
    "Parts",
    "absent_names",
    "divergence",
    "elbo_parts",
    "guide_trace",
    "log_weights",
    "model_trace",
    "particles",
    "replayed",
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
        p = model_trace(replayed(model, q), obs, absent_names(model, obs), on_model)
    check_sites(p, q, obs)
    return p, q


def replayed(model: Program, q: Trace) -> Program:
    """The model on the guide's draws; under Pyro's validation they are held to its own sites."""
    if is_validation_enabled():
        model = Matched(q)(model)
    return poutine.replay(model, trace=q)


def stratified(guide: Program, obs: Observations, number: int | None = None) -> Observations:
    """The rows under a plate of the guide's mixture components; unchanged for other guides.

    An autoguide is set up first.

    Args:
        guide: The guide; a mixture has a method ``strata``.
        obs: The rows, without a plate.
        number: The number of components of each row, at random; None for all.
    """
    set_up(guide, obs)
    return strata_of(guide, obs, number)


def guide_trace(guide: Program, obs: Observations) -> Trace:
    """Trace of a guide; its stochastic nodes are the latent sites.

    Raises:
        ValueError: For an autoguide of other rows.
    """
    with explained_row_errors(guide, obs):
        trace = prune_subsample_sites(poutine.trace(guide).get_trace(obs))
    check_rows(guide, trace, obs)
    return trace


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
    return frozenset(declared_names(model)) - frozenset(obs.names)


def particles(num_particles: int | None) -> AbstractContextManager[Any]:
    """The plate of K particles at dim -3; nothing for None."""
    if num_particles is None:
        return ExitStack()
    return Plate("particles", num_particles, dim=-3)


class Parts(NamedTuple):
    """The parts of a draw's ELBO.

    Attributes:
        rows: The part of every row, batch shape.
        whole: The part of what all rows share, () or (K, 1, 1); None where they share nothing.
    """

    rows: Tensor
    whole: Tensor | None

    def shared_by(self, num_rows: int) -> Float[Tensor, "*batch"]:
        """The ELBO of every row, which has an equal part of the whole."""
        return self.rows if self.whole is None else self.rows + self.whole / num_rows

    def mean(self) -> "Parts":
        """The mean over particles, (K, ...)."""
        rows = self.rows.mean(0)
        return Parts(rows, None if self.whole is None else self.whole.mean(0))

    def where(self, which: Bool[Tensor, "T 1"], other: "Parts") -> "Parts":
        """These parts in some terms, (T, 1), and others elsewhere."""
        rows = torch.where(which, self.rows, other.rows)
        if self.whole is None:
            return Parts(rows, None)
        rest = torch.zeros_like(self.whole) if other.whole is None else other.whole
        return Parts(rows, torch.where(which, self.whole, rest))


def elbo_parts(
    p: Trace,
    q: Trace,
    *,
    analytic: bool = True,
    divergences: Mapping[str, Float[Tensor, "*batch"]] | None = None,
) -> Parts:
    """log p(x_scored | z) - KL(q || p), site by site added up.

    Args:
        p: The model's trace.
        q: The guide's trace. Its auxiliary sites, which the model lacks, have a density but no
            prior.
        analytic: Whether a KL is taken in closed form where that is right.
        divergences: Site -> the divergence that takes the place of its KL.
    """
    values = [(p.nodes[name], _log_prob(p, name)) for name in p.observation_nodes]
    for name in q.stochastic_nodes:
        site = q.nodes[name]
        if divergences and name in divergences:
            value = -divergences[name]
        elif name not in p.nodes:
            value = -_log_prob(q, name)
        elif analytic and _in_order(name, p, q):
            value = -divergence(p.nodes[name], site)
        else:
            value = _log_prob(p, name) - _log_prob(q, name)
        values.append((site, value))
    rows, whole = torch.zeros(()), None
    for site, value in values:
        if of_rows(site):
            rows = rows + value
        else:
            value = added_up(value)
            whole = value if whole is None else whole + value
    return Parts(rows, whole)


def _log_prob(trace: Trace, name: str) -> Tensor:
    trace.compute_log_prob(lambda other, _: other == name)
    value: Tensor = trace.nodes[name]["log_prob"]
    return value


def _in_order(name: str, p: Trace, q: Trace) -> bool:
    """Return whether no possible parent of a site in the model is a possible child in the guide.

    Otherwise KL( q(z) || p(z | parents) ) would condition on draws that the guide makes given z.
    """
    if len(q.stochastic_nodes) == 1:
        return True
    model, guide = list(p.nodes), list(q.nodes)
    return not set(model[: model.index(name)]) & set(guide[guide.index(name) + 1 :])


@typed
def row_elbo(p: Trace, q: Trace) -> Float[Tensor, "*batch"]:
    """One draw's ELBO of every row (and term), batch shape of the traces' sites.

        sum over observed sites of log p(x_m | z)  -  KL(q || p)

    The KL is analytic if it is known, else log q(z) - log p(z) at the draw. Each of B rows has
    1 / B of the terms of sites outside the plate of rows, so the sum over rows has them once.
    """
    sizes = (
        f.size for n in p.nodes.values() for f in n.get("cond_indep_stack", ()) if f.name == ROWS
    )
    return elbo_parts(p, q).shared_by(next(sizes, 1))


def divergence(p_site: Site, q_site: Site) -> Float[Tensor, "*batch"]:
    """KL(q || p) of one latent site with the guide's scale and mask, batch shape."""
    scale, mask = q_site["scale"], q_site["mask"]
    q, p = q_site["fn"], p_site["fn"]
    try:
        if isinstance(q, Delta):  # the registered KL forgets the density that it may carry
            raise NotImplementedError
        value = kl(q, p)
    except NotImplementedError:
        draw = q_site["value"]
        value = q.log_prob(draw) - p.log_prob(draw)
        if isinstance(q, RandomMixture):  # rows of one component alone do not depend on others
            with suppress(NotImplementedError):
                value = torch.where(q.log_weight[0] == 0.0, kl(q.components[0], p), value)
    return scale_and_mask(value, scale=scale, mask=mask)


@typed
def log_weights(
    model: Program, guide: Program, obs: Observations, *, num_particles: int
) -> Float[Tensor, "K *S B"]:
    """log w = log p(x_scored, z) - log q(z) of every particle, (K, S, B) or (K, B).

    The dim of strata is there if ``obs`` has the plate.

    Raises:
        ValueError: For a latent outside the plate of rows: rows that share one have no weights of
            their own.
    """
    p, q = trace_pair(model, guide, obs, num_particles=num_particles)
    check_own_latents("log_weights", p, q, num_particles)
    total = elbo_parts(p, q, analytic=False).shared_by(len(obs))
    return total.squeeze(-2) if obs.plate is None else total
