"""MEME's objective: each modality's encoder is the prior of another's, in every direction.

Notation, for direction i of one row that holds the modalities O: z_1, ..., z_M drawn from
e_i(z | x_i), and

    l_m    = sum over the other j in O of log p(x_j | z_m)
    r_m    = log p(x_i | z_m) + log p_i(z_m | x_others) - log e_i(z_m | x_i)
    log Z  = logsumexp_m l_m - log M                  estimates log q(x_others | x_i)
    w_m    = softmax_m l_m                            weights that make e_i the posterior given all

with the conditional priors p_i of :mod:`ppl_mm.objectives.directions`.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from jaxtyping import Float
from pyro.distributions.util import scale_and_mask
from pyro.poutine.runtime import Message
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import (
    PseudoInputPrior,
    RandomMixture,
    RowwiseReference,
    StratifiedMixture,
    kl,
)
from ppl_mm.objectives.directions import Direction, DirectionPrior, HasPseudoInputs
from ppl_mm.objectives.handlers import ByComponent
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.options import (
    Combine,
    DirectionEstimator,
    DirectionKL,
    DirectionPriorKind,
    Preset,
)
from ppl_mm.objectives.sites import Site, check_own_latents
from ppl_mm.objectives.weights import trace_pair
from ppl_mm.programs.asked import declared_names, prior_of
from ppl_mm.programs.conditionals import Alternatives, Conditional
from ppl_mm.programs.contracts import Guide, Mixed, Model

if TYPE_CHECKING:
    from ppl_mm.systems.system import System

__all__ = ["MutualSupervisionELBO"]

_PRESETS: dict[Preset, dict[str, Any]] = {
    "bound": {"stop_gradient": False},
    "paper": {"estimator": "single"},
    "code": {"alpha": 10.0, "kl": "analytic", "estimator": "single", "combine": "sum"},
}


@typed
class MutualSupervisionELBO(Objective):
    """The semi-supervised bound of MEME, averaged over the directions that a row allows.

        L_i  =  sum_m w_m (r_m - l_m)  +  alpha log Z          (symmetric)
        L_i  =  M w_1 (r_1 - l_1)      +  alpha log Z          (single: the same expectation)
        L    =  1/|O| sum over i in O of L_i

    For alpha = 1 each E[L_i] is a lower bound on log p_i(x_i | x_others), for every M, tight if
    e_i(z | x_i) p(x_others | z) is proportional to p(x_i | z) p_i(z | x_others); so L bounds the
    average of these conditional log-likelihoods, not log p(x). It does not grow with M: M = 1 is
    the plain ELBO, which does not look at x_others. For a row that holds one modality alone, l is
    0 and L = mean_m r_m (r_1 if single) bounds log of the integral of p(x_i | z) p_i(z), p_i the
    others' pseudo-inputs. A row with nothing contributes 0. A row may hold any modalities.

    Args:
        num_particles: The number M of draws from each encoder.
        alpha: The factor of log Z. The release has 10: with ``stop_gradient`` and alpha = 1 a
            direction has no gradient, through l, for the others' reconstruction, since those of
            w_m l_m and log Z cancel (draw by draw if symmetric).
        kl: ``"sample"``: log e_i - log p_i at the draws. ``"analytic"``: in their place, for every
            m, the closed KL(e_i || p_i) in the rows in which p_i is one Normal (two modalities, or
            the product); another objective, and no bound.
        estimator: ``"symmetric"``, which has less variance, or ``"single"``.
        stop_gradient: Whether gradients hold w fixed.
        combine: ``"mean"`` over the directions, or ``"sum"`` as in the release, which is no bound.
        conditional_prior: ``"mixture"`` or ``"product"`` of the other encoders.
        weights: Modality -> lambda_m, factors of log p(x_m | z) in l and r.
        beta: The factor of log p_i - log e_i, or of the KL.

    It needs a model with a :class:`ppl_mm.distributions.PseudoInputPrior`, and as guide a
    ``guides.MixtureOfExperts`` with the same prior, see :func:`ppl_mm.systems.meme`. It also
    defines the system's likelihoods (:meth:`alternatives`).

    Source: Joy et al. 2022, arXiv:2106.12570, eqs. 1 and 3 to 5. Differs: eq. 1's ratio has q(t|s)
    below, as in the appendix; eqs. 16 and 18 lack the 1/K of log Z, without which the value
    exceeds the evidence; log p(t), a constant, is left out.

    Example:
        >>> MutualSupervisionELBO(11).is_bound, MutualSupervisionELBO.preset("code").is_bound
        (True, False)
    """

    def __init__(
        self,
        num_particles: int = 11,
        *,
        alpha: float = 1.0,
        kl: DirectionKL = "sample",
        estimator: DirectionEstimator = "symmetric",
        stop_gradient: bool = True,
        combine: Combine = "mean",
        conditional_prior: DirectionPriorKind = "mixture",
        weights: Mapping[str, float] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(num_particles=num_particles, weights=weights, beta=beta)
        self.alpha, self.kl, self.estimator = alpha, kl, estimator
        self.stop_gradient, self.combine = stop_gradient, combine
        self.conditional_prior = conditional_prior

    @classmethod
    @typed
    def preset(cls, name: Preset, **options: Any) -> Self:
        """``"bound"``, ``"paper"`` or ``"code"``; other options override.

        ======  =====  ========  =========  =============  =======
        name    alpha  kl        estimator  stop_gradient  combine
        ======  =====  ========  =========  =============  =======
        bound   1      sample    symmetric  False          mean
        paper   1      sample    single     True           mean
        code    10     analytic  single     True           sum
        ======  =====  ========  =========  =============  =======
        """
        return cls(**{**_PRESETS[name], **options})

    @property
    def is_bound(self) -> bool:
        """A lower bound on the average of log p_i(x_i | x_others), see the class."""
        plain = self.alpha == 1.0 and self.kl == "sample" and self.combine == "mean"
        return super().is_bound and plain

    def bound(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """The value of every row, (B,)."""
        scaling = self.scaling(model, obs)
        declared, mixture = _checked(model, guide)
        obs = mixture.strata(obs)  # direction i along the plate
        prior = DirectionPrior(declared.prior, obs, obs.source, self.conditional_prior)
        with scaling, _OwnExpert():
            p, q = trace_pair(
                model, guide, obs, num_particles=self.num_particles, on_model=(prior,)
            )
        check_own_latents(type(self).__name__, p, q, self.num_particles)
        p.compute_log_prob()
        q.compute_log_prob()
        each = [self._divergence(p.nodes[n], q.nodes[n]) for n in q.stochastic_nodes]
        r = -torch.stack(each).sum(0)  # (M, S, B)
        others = torch.zeros_like(r)
        active = obs.false_mask()
        for name in p.observation_nodes:
            own, log_prob = obs.source[name], p.nodes[name]["log_prob"]
            r = r + torch.where(own, log_prob, 0.0)
            others = others + torch.where(own, 0.0, log_prob)
            active = active | own
        value = torch.where(active, self._reduce(r, others), 0.0).sum(0)
        return value / active.sum(0).clamp(min=1) if self.combine == "mean" else value

    def _divergence(self, p_site: Site, q_site: Site) -> Tensor:
        """log e_i - log p_i at the draws, or their KL where it is known, (M, S, B)."""
        value: Tensor = q_site["log_prob"] - p_site["log_prob"]
        posterior, prior = q_site["fn"], p_site["fn"]
        rows: Tensor | None = None
        if isinstance(prior, RowwiseReference):
            prior, rows = prior.first, prior.rows
        if self.kl == "sample" or isinstance(prior, RandomMixture):
            return value
        closed = kl(posterior, prior)
        closed = scale_and_mask(closed, scale=q_site["scale"], mask=q_site["mask"])
        return closed if rows is None else torch.where(rows, closed, value)

    def _reduce(self, r: Tensor, others: Tensor) -> Tensor:
        """L_i from r and l, (S, B)."""
        log_z = others.logsumexp(0) - math.log(len(others))
        if self.estimator == "single":
            r, others, ratio = r[:1], others[:1], torch.exp(others[:1] - log_z)
        else:
            ratio = others.softmax(0)
        ratio = ratio.detach() if self.stop_gradient else ratio
        return (ratio * (r - others)).sum(0) + self.alpha * log_z

    def alternatives(
        self, system: "System", target: tuple[str, ...], given: tuple[str, ...]
    ) -> Alternatives:
        """The conditionals of log p(x_target | x_given), see :mod:`ppl_mm.programs.conditionals`.

            log 1/|A| sum over i in A of  p_i(x_i | x_rest, x_B) p(x_rest | x_B),  rest = A but i

        with p(x_rest | x_B) by the chain rule in the order in which the modalities are declared.
        For two modalities: each conditional is its direction's, log p(x_i) that of the other's
        pseudo-inputs, and log p(x_1, x_2) the equal mixture of the two directions' joints. The
        model with its own prior is another joint density: that of
        ``System(model, guide, IWAE())``.
        """
        model = cast(HasPseudoInputs, system.model)
        names = model.names

        def conditional(i: str, *held: str) -> Conditional:
            held = tuple(n for n in names if n in held or n in given)
            return Conditional((i,), held, Direction(model, i, held, self.conditional_prior))

        orders = []
        for last in target:
            rest = [n for n in names if n in target and n != last]
            orders.append([*rest, last])
        return [[conditional(n, *order[:k]) for k, n in enumerate(order)] for order in orders]


class _OwnExpert(ByComponent):
    """Give every direction its own expert; rows with nothing to look at do not count."""

    def _pyro_sample(self, msg: Message) -> None:
        mixed = isinstance(msg["fn"], StratifiedMixture)
        super()._pyro_sample(msg)
        if mixed and isinstance(msg["fn"], RowwiseReference):
            msg["fn"] = msg["fn"].first


def _checked(model: Model, guide: Guide) -> tuple[HasPseudoInputs, Mixed]:
    """The programs, once they are those that the objective needs."""
    prior = prior_of(model)
    if not isinstance(prior, PseudoInputPrior) or len(prior.names) < 2:
        raise ValueError(
            "MutualSupervisionELBO needs a model of two modalities at least whose prior is a "
            "PseudoInputPrior, such as systems.meme's."
        )
    singles = tuple((n,) for n in declared_names(guide))
    if not isinstance(guide, Mixed) or guide.family != singles:
        raise ValueError(
            "MutualSupervisionELBO needs a guide that is a mixture of every modality's expert, "
            f"guides.MixtureOfExperts; got {type(guide).__name__}."
        )
    return cast(HasPseudoInputs, model), guide
