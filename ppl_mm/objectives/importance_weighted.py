"""What IWAE and DReG share: particles, their weights over strata, and private latents.

    l[k, s] = sum over scored m of lambda_m log p(x_m | z)  +  beta ( log p(z) - log q(z | x) ),
    z = z[k, s] drawn from component s of the guide,  q the whole mixture

Shapes: (K, S, B) with particles, strata (1 where the guide is no mixture) and rows. Nats.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import DrawnStrata, Observations, UnderStrata
from ppl_mm.distributions import StratifiedMixture
from ppl_mm.distributions.prior import diagonal
from ppl_mm.objectives.handlers import OffSource
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.sites import check_own_latents, check_sites, of_each_row
from ppl_mm.objectives.weights import (
    absent_names,
    guide_trace,
    model_trace,
    particles,
    replayed,
    stratified,
)

__all__ = ["Factor", "ImportanceWeighted", "Weighted"]


class Factor(NamedTuple):
    """One factor of the guide's density: a site, or ``u`` and the private sites together.

    Attributes:
        sites: The sites that it is a density of, each with its factor beta, 0 in the rows that
            do not count; broadcasts with (K, S, B).
        fn: Its distribution.
        value: The draws, (K, S, B, *event).
        scale: The factor of this log-density, as those of the sites.
    """

    sites: dict[str, Tensor]
    fn: Any
    value: Tensor
    scale: Tensor

    def log_prob(self) -> Tensor:
        """The scaled log-density, (K, S, B)."""
        return self.scale * self.fn.log_prob(self.value)


class Weighted(NamedTuple):
    """Particles with their weights.

    Attributes:
        log_joint: Scaled log p(x, z), (K, S, B).
        factors: Of the guide's density.
        log_pi: Log-probabilities of the strata, (S, B).
        obs: The rows under the plate of strata.
    """

    log_joint: Tensor
    factors: list[Factor]
    log_pi: Tensor
    obs: Observations

    def log_weights(self) -> Tensor:
        """l[k, s] of every row, (K, S, B)."""
        return self.log_joint - torch.stack([f.log_prob() for f in self.factors]).sum(0)


Link = Callable[[str, Tensor], Tensor]


@typed
class ImportanceWeighted(Objective):
    """Base of :class:`IWAE` and :class:`DReG`.

    Args:
        num_particles: K, draws from every stratum.
        form: ``"looser"``: sum_s pi_s log (1/K) sum_k w[k, s]; ``"tighter"``:
            log sum_s pi_s (1/K) sum_k w[k, s].
        private: Where a private latent w_m comes from in the strata that do not look at x_m:
            ``"posterior"``: its own encoder all the same, counted as anywhere; ``"auxiliary"``:
            the guide's learned auxiliary prior (MMVAE+), or ``"prior"``: p(w_m), neither of which
            is counted. The last two need a mixture guide.
        private_density: ``"own"``: w_m is scored under its own encoder. ``"joint"``: u and the
            source's w are scored together under every expert of the mixture (eq. 1 of MMVAE+'s
            text); needs experts of single modalities and private latents of one size.
        inner_draws: J; off the source log p(x_m | u, w_m) becomes the log of the mean over J
            draws of w_m.
        strata: How many of a mixture guide's components each row draws from, at random in every
            step; None for all. The looser form's estimate stays unbiased, at so much less work.
        weights: lambda_m by name; latent sites may be named too.
        beta: The factor of log p(z) - log q(z).
    """

    def __init__(
        self,
        num_particles: int = 1,
        *,
        form: str = "looser",
        private: str = "posterior",
        private_density: str = "own",
        inner_draws: int = 1,
        strata: int | None = None,
        weights: Mapping[str, float] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(num_particles=num_particles, weights=weights, beta=beta)
        for what, given, known in (
            ("form", form, ("looser", "tighter")),
            ("private", private, ("posterior", "auxiliary", "prior")),
            ("private_density", private_density, ("own", "joint")),
        ):
            if given not in known:
                raise ValueError(unknown_name(what, given, known))
        if private_density == "joint" and private == "posterior":
            raise ValueError(
                "private_density='joint' scores the source's private latents alone; it needs "
                "private='auxiliary' or 'prior'."
            )
        if inner_draws > 1 and private == "posterior":
            raise ValueError(
                "inner_draws: expected more than 1 only with private='auxiliary' or 'prior', got "
                f"{inner_draws} with private={private!r}."
            )
        self.strata = strata
        if strata is not None and form == "tighter":
            raise ValueError("strata: the tighter form is no average over strata; it needs all.")
        self.form, self.private = form, private
        self.private_density, self.inner_draws = private_density, inner_draws

    @property
    def is_bound(self) -> bool:
        """A lower bound on log p(x_scored), unless weights, beta or auxiliary priors say not.

        With learned auxiliary priors or the joint private density the value is a surrogate: it
        can exceed log p(x).
        """
        return super().is_bound and self.private != "auxiliary" and self.private_density == "own"

    def reduce(self, log_w: Tensor, log_pi: Tensor) -> Tensor:
        """The value of every row, (B,), from (K, S, B) log weights."""
        log_num = math.log(len(log_w))
        if self.form == "tighter":
            return torch.logsumexp((log_w + log_pi).flatten(0, 1), 0) - log_num
        each = torch.logsumexp(log_w, 0) - log_num
        return torch.where(log_pi > -torch.inf, log_pi.exp() * each, 0.0).sum(0)

    def weigh(
        self, model: Any, guide: Any, obs: Observations, link: Link | None = None
    ) -> Weighted:
        """Draw K particles from every stratum, and score them.

        Args:
            model: The generative story.
            guide: A program with the same latent sites.
            obs: The rows, without a plate.
            link: Stands between a site's draw and everything that the model makes of it.
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
            log_joint = self._log_joint(model, guide, obs, q)
        own = obs.log_weight if isinstance(obs, UnderStrata) else None
        log_pi = log_joint.new_zeros(1, len(obs)) if own is None else own
        return Weighted(log_joint, self._factors(guide, obs, q, drawn), log_pi, obs)

    def _off_source(self, guide: Any, obs: Observations) -> AbstractContextManager[Any]:
        if self.private == "posterior":
            return nullcontext()
        if obs.plate is None:
            raise ValueError(
                f"private={self.private!r} is for the strata of a mixture guide, such as "
                f"guides.MixtureOfExperts; {type(guide).__name__} has none here."
            )
        return OffSource(obs.source, self._priors(guide))

    def _priors(self, guide: Any) -> Mapping[str, Any]:
        """The priors of the private latents off the source."""
        kind = "auxiliary_priors" if self.private == "auxiliary" else "private_priors"
        priors = getattr(guide, kind, {})
        if not len(priors):
            raise ValueError(
                f"private={self.private!r} needs a guide with {kind}, such as "
                "guides.SharedPrivate(..., auxiliary='softmax')."
            )
        return dict(priors.items())

    def _log_joint(self, model: Any, guide: Any, obs: Observations, q: Trace) -> Tensor:
        """Scaled log p(x, z) of the particles, (K, S, B)."""
        k, j = self.num_particles, self.inner_draws
        if j > 1:
            self._repeat(guide, obs, q)
        with particles(k * j):
            p = model_trace(replayed(model, q), obs, absent_names(model, obs))
        check_sites(p, q, obs)
        check_own_latents(type(self).__name__, p, q, k * j)
        p.compute_log_prob()
        latent = sum(p.nodes[n]["log_prob"] for n in q.stochastic_nodes if n in p.nodes)
        observed = [p.nodes[n] for n in p.observation_nodes]
        if j == 1:
            return latent + sum(of_each_row(site, len(obs)) for site in observed)
        total = latent.unflatten(0, (k, j))[:, 0]
        for site in observed:
            inner = site["unscaled_log_prob"].unflatten(0, (k, j))
            mean = torch.logsumexp(inner, 1) - math.log(j)
            total = total + scale_and_mask(mean, scale=site["scale"], mask=site["mask"])
        return total

    def _repeat(self, guide: Any, obs: Observations, q: Trace) -> None:
        """Repeat every draw J times, private ones off the source with draws of their own."""
        priors = self._priors(guide)
        for name in q.stochastic_nodes:
            value = q.nodes[name]["value"]
            many = value[:, None].expand(len(value), self.inner_draws, *value.shape[1:])
            modality = name.removeprefix("w_")
            if modality != name and modality in obs.source:
                fresh = priors[modality]().rsample(many.shape[:-1])
                many = torch.where(obs.source[modality][..., None], many, fresh)
            q.nodes[name]["value"] = many.flatten(0, 1)

    def _factors(
        self, guide: Any, obs: Observations, q: Trace, drawn: dict[str, Tensor]
    ) -> list[Factor]:
        sites = list(q.stochastic_nodes)
        scales = {n: _scale(q.nodes[n], drawn[n]) for n in sites}
        if self.private_density == "joint" and obs.plate is not None:
            return [_joint_factor(guide, obs, q, drawn, scales)]
        return [Factor({n: scales[n]}, q.nodes[n]["fn"], drawn[n], scales[n]) for n in sites]


def _scale(site: Any, value: Tensor) -> Tensor:
    one = torch.ones((), dtype=value.dtype, device=value.device)
    return scale_and_mask(one, scale=site["scale"], mask=site["mask"])


def _joint_factor(
    guide: Any,
    obs: Observations,
    q: Trace,
    drawn: dict[str, Tensor],
    scales: dict[str, Tensor],
) -> Factor:
    """(u, w of the source) under every expert of the mixture: sum_c pi_c q_c(u) q_c(w)."""
    names = [subset[0] for subset in guide.family if len(subset) == 1]
    sizes = {guide.private_dim[n] for n in names}
    if len(names) < len(guide.family) or len(sizes) > 1:
        raise ValueError(
            "private_density='joint' needs a mixture of single experts and private latents of one "
            f"size, got the family {guide.family} and sizes {guide.private_dim}."
        )
    shared: StratifiedMixture = q.nodes["u"]["fn"]
    whole = obs.whole if isinstance(obs, DrawnStrata) else obs
    experts, own = [], torch.zeros(())
    for c, name in enumerate(names):
        base = guide.private_posterior(name, whole).base_dist
        shape = (len(names), *base.loc.shape[-2:])  # per stratum where masks are
        experts.append((base.loc.expand(shape)[c], base.scale.expand(shape)[c]))
        w = drawn[f"w_{name}"]
        own = own + torch.where(obs.source[name][..., None], w, 0.0) if name in obs.names else own
    loc, scale = (torch.stack(part) for part in zip(*experts, strict=True))
    u = shared.components.base_dist
    fn = StratifiedMixture(
        diagonal(guide.prior.family, torch.cat([u.loc, loc], -1), torch.cat([u.scale, scale], -1)),
        *(shared.log_weight, shared.drawn),
        batch_shape=shared.batch_shape,
    )
    value = torch.cat([drawn["u"], own.expand(*drawn["u"].shape[:-1], -1)], -1)
    return Factor(scales, fn, value, scales["u"])
