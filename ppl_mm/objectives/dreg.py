"""Doubly reparameterised gradients of the importance-weighted bound, for mixtures too.

Notation, for one row: l[k, s] the log weights, p[k, s] their softmax (over k within a stratum in
the looser form, over k and s in the tighter), a = dL/dl (pi_s p or p), beta the factor of a site,
rho_c(z) = w_c q_c(z) / q(z) the responsibility of component c (1 where there is no mixture).

The total gradient of L has a path part through the draws, and for the guide's parameters a direct
part -beta a d log q(z). The draw z of stratum s comes from component s, so the direct part of that
component becomes a path part (integration by parts):

    E[ a rho_s d_phi log q_s(z) ] = E[ d_z( a rho_s ) d_phi z ]
    d_z( a rho_s ) = a (1 - p) rho_s d_z l + a d_z rho_s

The direct parts of the other components stay, as no draw of theirs can carry them. So the path
coefficient of d_z l is a (1 - beta rho_s (1 - p)), which is a p for one component and beta 1.

Sources: Tucker et al. 2019, arXiv:1810.04152 (one component); the mixture's correction is derived
above. Differs from the MMVAE and MMVAE+ releases, whose gradient hook never fires; and from using
the one-component formula for a mixture, which is biased where experts overlap and K > 1.
"""

import copy

import torch
from jaxtyping import Float
from pyro.distributions import Delta
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, TransformedDistribution

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import RandomMixture, StratifiedMixture
from ppl_mm.objectives.importance_weighted import GuideSite, ImportanceWeighted
from ppl_mm.objectives.objective import value_with_gradient
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["DReG"]


@typed
class DReG(ImportanceWeighted):
    """The value of :class:`IWAE`, and a gradient of less variance near good posteriors.

    The gradients of the model, of priors and of auxiliary priors are those of IWAE for the same
    draws. The guide's gradients have the expectation of IWAE's for any beta, both forms, and any
    guide of this library, even with overlapping experts. If the guide is no mixture and equals the
    exact posterior, they are zero for every draw. Far from the posterior, with very narrow Normal
    experts, their noise (of order 1 / scale) can exceed that of IWAE. No decoder runs twice.

    Args: see :class:`~ppl_mm.objectives.importance_weighted.ImportanceWeighted`.

    The guide's latent sites must be reparameterised and independent of each other.

    Raises:
        TypeError: For a guide's site without ``rsample``, or with transforms, whose parameters
            cannot be held fixed.

    Example:
        >>> DReG(10, beta=2.5).is_bound
        False
    """

    def bound(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """The value of every row, (B,), with the gradient above."""
        weights: dict[str, Tensor] = {}  # by site, what scales the gradient of its draws

        def link(name: str, value: Tensor) -> Tensor:
            if not value.requires_grad:
                return value
            linked = value.view_as(value)
            event = [1] * (value.dim() - 3)
            linked.register_hook(lambda g: g * weights[name].reshape(*g.shape[:3], *event))
            return linked

        weighted = self.weigh(model, guide, obs, link)
        densities = {name: _Density(site) for name, site in weighted.sites.items()}
        log_q = torch.stack([d.log_prob() for d in densities.values()]).sum(0)
        log_w = weighted.log_joint.detach() - log_q
        held = weighted.obs.any_data
        value = torch.where(held, self.reduce(log_w, weighted.log_pi), 0.0)
        if not torch.is_grad_enabled():
            return value
        a, p = self._normalised(log_w, weighted.log_pi)
        surrogate = (a * weighted.log_joint).sum((0, 1))
        for name, density in densities.items():
            weights[name] = 1.0 - density.site.scale * density.rho_s * (1.0 - p)
            surrogate = surrogate - density.surrogate(a, p)
        # A row with nothing draws from the prior, whose learned parameters must get nothing.
        return value_with_gradient(value, torch.where(held, surrogate, 0.0))

    def _normalised(self, log_w: Tensor, log_pi: Tensor) -> tuple[Tensor, Tensor]:
        """a = dL/dl and p, both (K, S, B)."""
        if self.form == "tighter":
            p = (log_w + log_pi).flatten(0, 1).softmax(0).reshape(log_w.shape)
            return p, p
        p = log_w.softmax(0)
        return log_pi.exp() * p, p


class _Density:
    """The density of a latent site of the guide, with what the gradient needs of it.

    Attributes:
        each: log q_c(z) with the parameters held fixed: a function of the draws, (K, S, C, B).
        rho: Responsibilities rho_c(z), no gradient, (K, S, C, B).
        own: 1 for the stratum's own component, broadcasts with rho.
        rho_s: The responsibility of the stratum's own component, (K, S, B).
    """

    def __init__(self, site: GuideSite) -> None:
        self.site = site
        self.mixture = isinstance(site.fn, StratifiedMixture)
        self.each = self._log_prob_each(_detached(site.fn), site.value)
        weighted = self.each.detach()
        self.own = weighted.new_ones(1, 1, 1)
        if self.mixture:
            weighted = weighted + site.fn.log_weight
            self.own = site.fn.own.to(weighted.dtype)
        self.log_total = torch.logsumexp(weighted, -2)
        self.rho = torch.exp(weighted - self.log_total.unsqueeze(-2))
        self.rho_s = (self.rho * self.own).sum(-2)

    def log_prob(self) -> Float[Tensor, "K S B"]:
        """The scaled log-density, (K, S, B), without gradient."""
        return self.site.scale * self.log_total

    def surrogate(
        self, a: Float[Tensor, "K S B"], p: Float[Tensor, "K S B"]
    ) -> Float[Tensor, " B"]:
        """The term of the density in the gradient's surrogate, which subtracts it, (B,)."""
        beta, rho, rho_s = self.site.scale, self.rho, self.rho_s.unsqueeze(-2)
        scaled = (beta * a).unsqueeze(-2)
        kept = 1.0 - (beta * (1.0 - p)).unsqueeze(-2) * rho_s
        path = scaled * (kept * rho + rho_s * (self.own - rho))
        total = (path * self.each).sum((0, 1, 2))
        if self.mixture:
            direct = self._log_prob_each(self.site.fn, self.site.value.detach())
            total = total + (scaled * rho * (1.0 - self.own) * direct).sum((0, 1, 2))
        return total

    def _log_prob_each(self, fn: TorchDistribution, value: Tensor) -> Tensor:
        return fn.log_prob_each(value) if self.mixture else fn.log_prob(value).unsqueeze(-2)


def _detached(fn: TorchDistribution) -> TorchDistribution:
    """The same distribution with its parameters held fixed."""
    if not fn.has_rsample or isinstance(fn, Delta | TransformedDistribution | RandomMixture):
        raise TypeError(
            f"DReG: a guide's site is a {type(fn).__name__}; it needs reparameterised draws, no "
            "transforms, and a mixture as a guide with strata (guides.Mixture). Use IWAE instead."
        )
    out = copy.copy(fn)
    for key, value in vars(fn).items():
        if isinstance(value, Tensor):
            vars(out)[key] = value.detach()
        elif isinstance(value, Distribution):
            vars(out)[key] = _detached(value)
    return out
