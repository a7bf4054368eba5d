"""The ELBO of a mixture posterior: with the mixture's density, or with its components' divergences.

Notation: components q_S with probabilities pi_S, q their mixture, z_S one draw from each.
"""

from collections.abc import Mapping
from contextlib import nullcontext

import torch
from jaxtyping import Float
from pyro.distributions.util import scale_and_mask
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations, UnderStrata
from ppl_mm.distributions import DiagonalPrior, StratifiedMixture, kl, product_of_experts
from ppl_mm.objectives.handlers import ByComponent
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.options import Divergence
from ppl_mm.objectives.weights import elbo_parts, stratified, trace_pair
from ppl_mm.programs.asked import posterior_of, prior_of, site_of
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["MixtureELBO"]


@typed
class MixtureELBO(Objective):
    """The ELBO over the strata of a mixture guide, with one of three divergences D.

        sum_S pi_S E_{q_S(z)} [ sum over scored m of lambda_m log p(x_m | z) ]  -  beta D

        mixture         D = KL(q || p), by the draws
        components      D = sum_S pi_S KL(q_S || p), in closed form
        jensen_shannon  D = pi_0 KL(p || f) + sum_S pi'_S KL(q_S || f),  f ~ p^pi_0 prod q_S^pi'_S

    The second divergence is the first plus the generalised Jensen-Shannon divergence of the
    components, which is between 0 and the log of their number. So ``mixture`` is the tighter bound;
    MoPoE's release trains with ``components``. Both are lower bounds on log p(x) for
    lambda = beta = 1. ``jensen_shannon`` is mmJSD's, whose dynamic prior is the geometric mean f of
    prior and experts, with pi_0 = pi'_S = 1 / (n + 1) for the n components that a row allows. With
    respect to the model's own prior it is a surrogate. Private latents add their own KL; a weight
    of their site is its factor: ``weights={"w_image": 3.0}``.

    Args:
        divergence: One of the three.
        num_particles: The number of draws per component; the value is their average.
        strata: The number of components that each row draws from, at random in every step; None for
            all (2^M - 1 for MoPoE). The estimate stays unbiased, and a step has less work.
        weights: Modality -> lambda_m; latent sites may be named too.
        beta: The factor of D and of private latents' KL.

    Raises:
        ValueError: For another divergence; when run, for "jensen_shannon" without a mixture guide.

    Sources: Sutter et al. 2021, arXiv:2105.02470 (MoPoE); Sutter et al. 2020, arXiv:2006.08242
    (mmJSD); Shi et al. 2019, arXiv:1911.03393.

    Example:
        >>> MixtureELBO("components").is_bound, MixtureELBO("jensen_shannon").is_bound
        (True, False)
    """

    def __init__(
        self,
        divergence: Divergence = "mixture",
        *,
        num_particles: int = 1,
        strata: int | None = None,
        weights: Mapping[str, float] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(num_particles=num_particles, weights=weights, beta=beta)
        self.divergence, self.strata = divergence, strata

    @property
    def is_bound(self) -> bool:
        """Whether the value is a lower bound on log p(x_scored), see the class."""
        return super().is_bound and self.divergence != "jensen_shannon"

    def bound(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """The value of every row, (B,)."""
        scaling = self.scaling(model, obs)
        obs = stratified(guide, obs, self.strata)
        sampled = self.divergence == "mixture"
        with scaling, nullcontext() if sampled else ByComponent():
            p, q = trace_pair(model, guide, obs, num_particles=self.num_particles)
            divergences = {}
            if self.divergence == "jensen_shannon":
                name = site_of(guide)
                scale, mask = q.nodes[name]["scale"], q.nodes[name]["mask"]
                divergences[name] = scale_and_mask(
                    jensen_shannon(guide, obs), scale=scale, mask=mask
                )
            parts = elbo_parts(p, q, analytic=not sampled, divergences=divergences)
            value = parts.shared_by(len(obs))
        value = value.expand(self.num_particles, obs.plate_size or 1, len(obs)).mean(0)  # (S, B)
        if not isinstance(obs, UnderStrata):
            return value[0]
        return torch.where(obs.log_weight > -torch.inf, obs.log_weight.exp() * value, 0.0).sum(0)


def jensen_shannon(guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
    """mmJSD's divergence of every row, (B,), from prior and experts to their geometric mean.

    The geometric mean has the precision sum_j pi_j / sigma_j^2 and the precision-weighted location.

    Raises:
        ValueError: For a guide that is no mixture of Normals.
    """
    own = prior_of(guide)
    normal = isinstance(own, DiagonalPrior) and own.family == "normal"
    mixture = posterior_of(guide, obs, "divergence='jensen_shannon'") if normal else None
    if not isinstance(own, DiagonalPrior) or not isinstance(mixture, StratifiedMixture):
        raise ValueError(
            "divergence='jensen_shannon' needs a mixture of Normal experts, such as "
            "guides.MixtureOfExperts."
        )
    components, allowed = mixture.components, mixture.log_weight > -torch.inf
    loc, scale = components.base_dist.loc, components.base_dist.scale
    share = 1.0 / (1.0 + allowed.sum(0, dtype=loc.dtype))  # pi_0 and every pi_S, (B,)
    widen = share[:, None].rsqrt()  # q^pi is proportional to a Normal of scale / sqrt(pi)
    prior = (own.loc, own.scale * widen)
    dynamic = product_of_experts(loc, scale * widen, allowed, prior)
    each = torch.where(allowed, kl(components, dynamic), 0.0).sum(0)
    return share * (each + kl(own().expand(dynamic.batch_shape), dynamic))
