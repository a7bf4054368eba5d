"""The product of experts, MVAE's joint encoder.

    q(z | x_S)  proportional to  p(z) * prod over m in S of q_m(z | x_m)

M encoders serve all 2^M subsets; the empty one gives the prior. A product does not identify its
factors, so train it on subsets too (``objectives.subset_terms``).

Source: Wu & Goodman 2018, arXiv:1802.05335, section 2.1 and appendix B.
"""

from collections.abc import Sequence
from typing import Literal

import pyro.distributions as dist
from jaxtyping import Bool, Float
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.distributions import product_of_experts
from ppl_mm.distributions.prior import PriorLike
from ppl_mm.guides.experts import Experts
from ppl_mm.modality import Modality

__all__ = ["PriorExpert", "ProductOfExperts"]

PriorExpert = bool | Literal["several", "full"]
"""Whether the prior is a factor of a product, see :class:`ProductOfExperts`."""


@typed
class ProductOfExperts(Experts):
    """q(z | x_S) as the product of the experts in S, with the prior as one more expert or not.

    Args:
        modalities: The modalities, each with its encoder.
        latent_dim: Z, the size of the latent.
        prior_expert: Whether p(z) is a factor of a product. With True, as in MVAE, every posterior
            is narrower than the prior. With False a single expert is its own posterior. With
            ``"several"`` it is a factor of products of two experts or more (DMVAE), with
            ``"full"`` of the product of all (MoPoE's release).
        prior: The model's p(z), a Normal, see :class:`ppl_mm.guides.Experts`.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from ppl_mm import Modality, Observations, likelihoods, networks
        >>> x = Modality(
        ...     "x", likelihoods.Normal(scale=1.0),
        ...     encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ... )
        >>> guide = ProductOfExperts([x], latent_dim=2)
        >>> obs = Observations({"x": torch.randn(3, 4)})
        >>> guide.posterior(obs).mean.shape
        torch.Size([3, 2])
        >>> guide.posterior(obs.without("x")).stddev[0].tolist()
        [1.0, 1.0]
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        prior_expert: PriorExpert = True,
        prior: PriorLike = None,
    ) -> None:
        super().__init__(modalities, latent_dim, prior)
        self.prior_expert = prior_expert

    def combine(
        self,
        loc: Float[Tensor, "M B Z"],
        scale: Float[Tensor, "M B Z"],
        source: Bool[Tensor, "M *S B"],
    ) -> dist.TorchDistribution:
        """See :func:`ppl_mm.distributions.product_of_experts`."""
        prior = (self.prior.loc, self.prior.scale)
        return product_of_experts(loc, scale, source, prior, self._with_prior(source))

    def _with_prior(self, source: Tensor) -> bool | Tensor:
        if isinstance(self.prior_expert, str):
            enough = 2 if self.prior_expert == "several" else len(self.modalities)
            return source.sum(0) >= enough
        return self.prior_expert
