"""The base of IWAE and DReG: particles, their weights over strata, and private latents.

    l[k, s] = sum over scored m of lambda_m log p(x_m | z)  +  beta ( log p(z) - log q(z | x) ),
    z = z[k, s] drawn from component s of the guide,  q the whole mixture

Shapes: (K, S, B) with particles, strata (1 where the guide is no mixture) and rows. Nats.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations, UnderStrata
from ppl_mm.distributions.mixture import log_density
from ppl_mm.objectives.handlers import OffSource
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.options import Form, PrivateSource
from ppl_mm.objectives.sites import Site, check_own_latents, check_sites, of_each_row
from ppl_mm.objectives.weights import (
    absent_names,
    guide_trace,
    model_trace,
    particles,
    replayed,
    stratified,
)
from ppl_mm.programs.asked import private_priors
from ppl_mm.programs.contracts import Guide, Model, Prior

__all__ = ["GuideSite", "ImportanceWeighted", "Weighted"]


class GuideSite(NamedTuple):
    """A latent site of the guide.

    Attributes:
        fn: The site's distribution.
        value: The draws, (K, S, B, *event).
        scale: The factor beta of the log-density, 0 in the rows that do not count; it broadcasts
            with (K, S, B).
    """

    fn: TorchDistribution
    value: Tensor
    scale: Tensor

    def log_prob(self) -> Float[Tensor, "K S B"]:
        """The scaled log-density, (K, S, B)."""
        return self.scale * log_density(self.fn, self.value)


class Weighted(NamedTuple):
    """Particles with their weights.

    Attributes:
        log_joint: Scaled log p(x, z), (K, S, B).
        sites: The guide's latent sites by name.
        log_pi: Log-probabilities of the strata, (S, B).
        obs: The rows under the plate of strata.
    """

    log_joint: Tensor
    sites: dict[str, GuideSite]
    log_pi: Tensor
    obs: Observations

    def log_weights(self) -> Float[Tensor, "K S B"]:
        """l[k, s] of every row, (K, S, B)."""
        return self.log_joint - torch.stack([s.log_prob() for s in self.sites.values()]).sum(0)


Link = Callable[[str, Tensor], Tensor]


@typed
class ImportanceWeighted(Objective):
    """Base of :class:`IWAE` and :class:`DReG`.

    Args:
        num_particles: The number K of draws from every stratum.
        form: ``"looser"``: sum_s pi_s log (1/K) sum_k w[k, s]; ``"tighter"``:
            log sum_s pi_s (1/K) sum_k w[k, s].
        private: The source of a private latent w_m in the strata that do not look at x_m.
            ``"posterior"``: its own encoder, with its density, as in the other strata.
            ``"auxiliary"``: the guide's learned auxiliary prior (MMVAE+), or ``"prior"``: p(w_m),
            both without their densities; these need a mixture guide.
        strata: The number of components of a mixture guide that each row draws from, at random in
            every step; None for all. The looser form's estimate stays unbiased, and a step has less
            work.
        weights: Modality -> lambda_m; latent sites may be named too.
        beta: The factor of log p(z) - log q(z).
    """

    def __init__(
        self,
        num_particles: int = 1,
        *,
        form: Form = "looser",
        private: PrivateSource = "posterior",
        strata: int | None = None,
        weights: Mapping[str, float] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(num_particles=num_particles, weights=weights, beta=beta)
        self.strata = strata
        if strata is not None and form == "tighter":
            raise ValueError("strata: the tighter form is no average over strata; it needs all.")
        self.form, self.private = form, private

    @property
    def is_bound(self) -> bool:
        """Whether this is a lower bound on log p(x_scored): no weights, beta or auxiliary priors.

        With learned auxiliary priors the value is a surrogate: it can exceed log p(x).
        """
        return super().is_bound and self.private != "auxiliary"

    def reduce(
        self, log_w: Float[Tensor, "K S B"], log_pi: Float[Tensor, "S #B"]
    ) -> Float[Tensor, " B"]:
        """The value of every row, (B,), from (K, S, B) log weights."""
        log_num = math.log(len(log_w))
        if self.form == "tighter":
            return torch.logsumexp((log_w + log_pi).flatten(0, 1), 0) - log_num
        each = torch.logsumexp(log_w, 0) - log_num
        return torch.where(log_pi > -torch.inf, log_pi.exp() * each, 0.0).sum(0)

    def value(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """The value of every row, (B,), and what it depends on; DReG's gradient is another."""
        weighted = self.weigh(model, guide, obs)
        value = self.reduce(weighted.log_weights(), weighted.log_pi)
        return torch.where(weighted.obs.any_data, value, 0.0)

    def by_term(
        self, model: Model, guide: Guide, obs: Observations
    ) -> dict[str, Float[Tensor, " B"]]:
        """The value, one term."""
        return {"bound": self.value(model, guide, obs)}

    def weigh(
        self, model: Model, guide: Guide, obs: Observations, link: Link | None = None
    ) -> Weighted:
        """Draw K particles from every stratum, and score them.

        Args:
            model: The generative story.
            guide: A program with the same latent sites.
            obs: The rows, without a plate.
            link: A function of a site's name and its draw, which returns the draw that the model
                sees.
        """
        scaling = self.scaling(model, obs)
        obs = stratified(guide, obs, self.strata)
        with scaling, self._off_source(guide, obs):
            with particles(self.num_particles):
                q = guide_trace(guide, obs)
            check_own_latents(type(self).__name__, None, q, self.num_particles)
            drawn = {n: q.nodes[n]["value"] for n in q.stochastic_nodes}
            for name, value in drawn.items():
                q.nodes[name]["value"] = value if link is None else link(name, value)
            log_joint = self._log_joint(model, obs, q)
        own = obs.log_weight if isinstance(obs, UnderStrata) else None
        log_pi = log_joint.new_zeros(1, len(obs)) if own is None else own
        sites = {name: _guide_site(q.nodes[name], value) for name, value in drawn.items()}
        return Weighted(log_joint, sites, log_pi, obs)

    def _off_source(self, guide: Guide, obs: Observations) -> AbstractContextManager[Any]:
        if self.private == "posterior":
            return nullcontext()
        if obs.plate is None:
            raise ValueError(
                f"private={self.private!r} is for the strata of a mixture guide, such as "
                f"guides.MixtureOfExperts; {type(guide).__name__} has none here."
            )
        return OffSource(obs.source, self._priors(guide))

    def _priors(self, guide: Guide) -> Mapping[str, Prior]:
        """The priors of the private latents off the source."""
        auxiliary = self.private == "auxiliary"
        priors = private_priors(guide, auxiliary)
        if not priors:
            kind = "auxiliary priors" if auxiliary else "private latents"
            raise ValueError(
                f"private={self.private!r} needs a guide with {kind}, such as "
                "guides.SharedPrivate(..., auxiliary='softmax')."
            )
        return priors

    def _log_joint(self, model: Model, obs: Observations, q: Trace) -> Tensor:
        """Scaled log p(x, z) of the particles, (K, S, B)."""
        with particles(self.num_particles):
            p = model_trace(replayed(model, q), obs, absent_names(model, obs))
        check_sites(p, q, obs)
        check_own_latents(type(self).__name__, p, q, self.num_particles)
        p.compute_log_prob()
        latent = sum(p.nodes[n]["log_prob"] for n in q.stochastic_nodes if n in p.nodes)
        return latent + sum(of_each_row(p.nodes[n], len(obs)) for n in p.observation_nodes)


def _guide_site(site: Site, value: Tensor) -> GuideSite:
    one = torch.ones((), dtype=value.dtype, device=value.device)
    scale = scale_and_mask(one, scale=site["scale"], mask=site["mask"])
    return GuideSite(site["fn"], value, scale)
