"""Importance sampling of log p(x) in two stages: draws, then scores in chunks.

The draws do not depend on how the scores are cut into chunks, so neither does the result.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor

from ppl_mm.batch.observations import Observations, UnderStrata
from ppl_mm.batch.plate import of_rows
from ppl_mm.objectives.sites import check_own_latents, shared_latents
from ppl_mm.objectives.weights import absent_names, guide_trace, model_trace, particles
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.programs.asked import with_posterior
from ppl_mm.programs.contracts import Guide, Mixed, Model

__all__ = [
    "Draws",
    "LogWeights",
    "Sampler",
    "from_guide",
    "from_mixture",
    "from_prior",
    "log_weights_of",
    "shared_by",
]


class Draws(NamedTuple):
    """Latents of L = S * K draws, S strata of K each, strata first.

    Attributes:
        latents: Site -> value (L, 1, B, *event).
        log_q: Their log-density, (L, B).
        log_pi: Log-probabilities of the strata, (S, B).
        prior_share: Where they have it, ``log_q`` lacks a part of the density that is so many
            times the prior's p(z), (B,). Scores add it, as p(z) is one of them.
    """

    latents: dict[str, Tensor]
    log_q: Tensor
    log_pi: Tensor
    prior_share: Tensor | None = None

    def rows(self, rows: Int[Tensor, " _"]) -> "Draws":
        """The draws of some rows, of one of them more than once if it is named so."""
        latents = {name: x[:, :, rows] for name, x in self.latents.items()}
        share = None if self.prior_share is None else self.prior_share[rows]
        return Draws(latents, self.log_q[:, rows], self.log_pi[:, rows], share)


Sampler = Callable[[Model, Guide, Observations, int], Draws]


def from_guide(model: Model, guide: Guide, obs: Observations, num_samples: int) -> Draws:
    """K draws from the guide, given the rows' evidence.

    From a mixture they come in equal numbers from each of the C components that some row allows,
    ceil(K / C) of each, where K allows two of each (for the error); else from components at
    random. Rows of one pattern of evidence should come together.
    """
    under = guide.strata(obs) if isinstance(guide, Mixed) else obs
    if isinstance(guide, Mixed) and isinstance(under, UnderStrata):
        allowed = (under.log_weight > -torch.inf).any(1).tolist()
        family = [subset for subset, a in zip(guide.family, allowed, strict=True) if a]
        if 2 * len(family) <= num_samples:
            obs = obs.strata(family)
            num_samples = -(-num_samples // len(family))
    with particles(num_samples):
        trace = guide_trace(guide, obs)
    check_own_latents("log_likelihood", None, trace, num_samples)
    log_pi = obs.log_weight if isinstance(obs, UnderStrata) else None
    return _draws(trace, trace.stochastic_nodes, num_samples, obs, log_pi)


def from_prior(model: Model, guide: Guide, obs: Observations, num_samples: int) -> Draws:
    """K draws from the model's own latents, whatever the evidence."""
    unscored = obs.scoring()
    with particles(num_samples):
        trace = model_trace(model, unscored, absent_names(model, unscored))
    return _draws(trace, trace.stochastic_nodes, num_samples, obs, strata=None)


def from_mixture(prior_share: float) -> Sampler:
    """Defensive draws: (1 - prior_share) of the posterior's mass, the rest the prior's.

    Half of the draws come from each; both are weighted by the density of the whole mixture, so
    no weight exceeds p(x | z) / prior_share and the variance is finite whatever the guide. The
    prior is the guide's: what it draws from where it may look at nothing (but what the model
    conditions on).
    """

    def draw(model: Model, guide: Guide, obs: Observations, num_samples: int) -> Draws:
        with_posterior(guide, "proposal='defensive'")
        each = -(-num_samples // 2)
        halves = []
        least = obs.given(*(n for n in conditioned_on(model) if n in obs.names))
        for evidence in (obs, least):
            with particles(each):
                trace = guide_trace(guide, evidence)
            check_own_latents("log_likelihood", None, trace, each)
            halves.append(_draws(trace, trace.stochastic_nodes, each, evidence, None))
        latents = {n: torch.cat([half.latents[n] for half in halves]) for n in halves[0].latents}
        posterior = torch.cat([halves[0].log_q, _log_q(guide, obs, halves[1].latents)])
        prior = torch.cat([_log_q(guide, least, halves[0].latents), halves[1].log_q])
        shares = posterior.new_tensor([1.0 - prior_share, prior_share]).log()
        log_q = torch.logaddexp(posterior + shares[0], prior + shares[1])
        return Draws(latents, log_q, shares[:, None].expand(2, len(obs)))

    return draw


def _log_q(guide: Guide, obs: Observations, latents: dict[str, Tensor]) -> Tensor:
    """The guide's log-density of latents (K, 1, B, *event), (K, B)."""
    num = len(next(iter(latents.values())))
    with particles(num):
        trace = guide_trace(poutine.condition(guide, data=latents), obs)
    trace.compute_log_prob()
    total = sum(trace.nodes[n]["log_prob"] for n in latents)
    assert isinstance(total, Tensor)
    return total.expand(num, 1, len(obs)).squeeze(1)


def _draws(
    trace: Trace, sites: list[str], num_samples: int, obs: Observations, strata: Tensor | None
) -> Draws:
    trace.compute_log_prob(lambda name, site: name in sites)
    log_pi = torch.zeros(1, len(obs), device=obs.device) if strata is None else strata
    batch = (num_samples, len(log_pi), len(obs))
    latents, log_q = {}, torch.zeros((), device=log_pi.device)
    for name in sites:
        site = trace.nodes[name]
        dims = site["fn"].event_dim
        event = site["value"].shape[site["value"].dim() - dims :]
        value = site["value"].expand(*batch, *event).transpose(0, 1)
        latents[name] = value.reshape(-1, 1, len(obs), *event)
        log_q = log_q + site["log_prob"].expand(batch)
    log_q = log_q.expand(batch).transpose(0, 1).reshape(-1, len(obs))
    return Draws(latents, log_q, log_pi)


def shared_by(draws: Draws, num_rows: int) -> Draws:
    """The draws made for one row, given to ``num_rows`` rows."""
    latents = {n: v.expand(*v.shape[:2], num_rows, *v.shape[3:]) for n, v in draws.latents.items()}
    return Draws(latents, draws.log_q.expand(-1, num_rows), draws.log_pi.expand(-1, num_rows))


class LogWeights(NamedTuple):
    """Log importance weights in their parts; a target's weight is its sites' sum plus the rest.

    Attributes:
        sites: Modality -> log p(x_m | z), (L, B).
        latent: log p(z) - log q(z), (L, B).
        log_pi: Log-probabilities of the strata, (S, B).
        shared: Whether rows have draws of the model's own latents in common.
    """

    sites: dict[str, Tensor]
    latent: Tensor
    log_pi: Tensor
    shared: bool = False

    def of(self, names: Sequence[str]) -> Float[Tensor, "S K B"]:
        """log p(x_names, z) - log q(z) as (S, K, B)."""
        total = self.latent + sum(self.sites[n] for n in names if n in self.sites)
        return total.reshape(len(self.log_pi), -1, total.shape[1])


def log_weights_of(model: Model, obs: Observations, draws: Draws, chunk: int) -> LogWeights:
    """Score every draw of every row.

    Args:
        model: The model, run at the draws; latent sites that they lack are drawn and cancel.
        obs: The rows, with the modalities to score.
        draws: The draws of a sampler.
        chunk: The most (draw, row) pairs at a time.
    """
    num_draws, size = draws.log_q.shape
    columns, shared = [], False
    for rows in torch.arange(size).split(max(1, min(size, chunk))):
        part = obs if len(rows) == size else obs[rows]
        each = max(1, chunk // len(rows))
        cells = []
        for k in range(0, num_draws, each):
            cell, common = _score(model, part, draws, slice(k, k + each), rows)
            cells.append(cell)
            shared = shared or common
        columns.append({n: torch.cat([cell[n] for cell in cells]) for n in cells[0]})
    parts = {n: torch.cat([column[n] for column in columns], 1) for n in columns[0]}
    log_q, log_p = draws.log_q, sum(lp for n, lp in parts.items() if n in draws.latents)
    if draws.prior_share is not None:
        log_q = torch.logaddexp(log_q, draws.prior_share.log() + log_p)
    sites = {n: lp for n, lp in parts.items() if n not in draws.latents}
    return LogWeights(sites, log_p - log_q, draws.log_pi, shared)


def _score(
    model: Model, obs: Observations, draws: Draws, ks: slice, rows: Tensor
) -> tuple[dict[str, Tensor], bool]:
    """Log-probability of each site for some draws of some rows, site -> (k, b).

    And whether the rows share draws of a latent.
    """
    block = slice(int(rows[0]), int(rows[-1]) + 1)
    values = {name: value[ks, :, block] for name, value in draws.latents.items()}
    num = len(draws.log_q[ks])
    with particles(num):
        p = model_trace(poutine.condition(model, data=values), obs, absent_names(model, obs))
    p.compute_log_prob(lambda name, site: site["is_observed"])
    log_prob = {
        name: p.nodes[name]["log_prob"].expand(num, 1, len(obs)).squeeze(1)
        for name in p.observation_nodes
    }
    drawn = [p.nodes[name] for name in values if name in p.nodes]
    shared = bool(shared_latents(p)) or not all(of_rows(site) for site in drawn)
    p.nodes.clear()  # a trace is part of a cycle: its tensors would wait for the collector
    return log_prob, shared
