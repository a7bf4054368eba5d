"""One expert at a time: q(z | x_m) for a row whose source is the modality m alone.

The component of a mixture of experts (:class:`ppl_mm.guides.MixtureOfExperts`), in any family.
"""

import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float
from pyro.infer.util import is_validation_enabled
from torch import Tensor

from ppl_mm.batch.observations import Observations, UnderStrata
from ppl_mm.batch.unread import every
from ppl_mm.distributions import DiagonalPrior, LearnedScale, PseudoInputPrior, RowwiseReference
from ppl_mm.distributions.prior import diagonal
from ppl_mm.guides.experts import Experts

__all__ = ["SingleExpert"]


class SingleExpert(Experts):
    """q(z | x_m) as the encoder of m gives it; the prior for a row without a source.

    Raises:
        ValueError: For a row with several sources, if Pyro's validation is on; a mixture or a
            product says how they combine.
    """

    families = ("normal", "laplace")
    priors = (DiagonalPrior, LearnedScale, PseudoInputPrior)

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        """q(z | x_source) of every row: batch shape (B,) or (S, B), event shape (Z,)."""
        q = super().posterior(obs)
        if not isinstance(self.prior, PseudoInputPrior) or not obs.names:
            return q
        some = torch.stack([obs.source[n].expand(obs.shape) for n in obs.names]).any(0)
        if isinstance(obs, UnderStrata):  # strata that a row does not allow do not count
            some = some | (obs.log_weight == -torch.inf)
        return q if every(some) else RowwiseReference(some, q, self.prior())

    def combine(
        self,
        loc: Float[Tensor, "M B Z"],
        scale: Float[Tensor, "M B Z"],
        source: Bool[Tensor, "M *S B"],
    ) -> dist.TorchDistribution:
        """Pick the expert of each row's only source."""
        if is_validation_enabled() and bool((source.sum(0) > 1).any()):
            raise ValueError(
                "SingleExpert: a row has several modalities to condition on; use "
                "guides.MixtureOfExperts or guides.ProductOfExperts, or obs.given(one)."
            )
        if source.dim() == 3:
            loc, scale = loc[:, None], scale[:, None]
        mask, none = source[..., None], ~source.any(0)[..., None]
        picked_loc = torch.where(mask, loc, 0.0).sum(0)
        picked_scale = torch.where(mask, scale, 0.0).sum(0)
        if isinstance(self.prior, PseudoInputPrior):  # no diagonal one; ``posterior`` puts it there
            return diagonal("normal", picked_loc, torch.where(none, 1.0, picked_scale))
        return diagonal(
            self.prior.family,
            torch.where(none, self.prior.loc, picked_loc),
            torch.where(none, self.prior.scale, picked_scale),
        )
